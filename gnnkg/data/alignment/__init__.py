"""Two graphs and who is who in them: the data of entity alignment.

pair        AlignmentData: two data sets and links between their entities, in three parts
published   load_alignment("dbp15k/zh_en"), or a folder; load_side(), one of two graphs
folders     folders in the layouts of EVA/DBP15K and of OpenEA
languages   the bundled graph in two languages
links       files of links, and a validation part carved out of the seeds
"""

from gnnkg.data.alignment.folders import ATTRIBUTES, from_eva, from_openea
from gnnkg.data.alignment.languages import cldr_in_two_languages
from gnnkg.data.alignment.links import carve_links, read_links
from gnnkg.data.alignment.pair import AlignmentData, Links
from gnnkg.data.alignment.published import alignment_names, load_alignment, load_side

__all__ = [
    "ATTRIBUTES",
    "AlignmentData",
    "Links",
    "alignment_names",
    "carve_links",
    "cldr_in_two_languages",
    "from_eva",
    "from_openea",
    "load_alignment",
    "load_side",
    "read_links",
]
