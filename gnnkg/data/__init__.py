"""Data sets: readers of files and tables, published data sets by name, and an audit of what they hold.

dataset = load("fb15k-237")              a published data set, or a folder of one's own
dataset = from_files("facts.csv", columns=("head", "tail", "relation"))
dataset = from_dgl(graph, "train_mask", "val_mask", "test_mask")      a DGL graph
audit(dataset).leaks                     whether held-out facts can be looked up in training facts
"""

from gnnkg.data.assemble import SharedFacts
from gnnkg.data.audit import Audit, audit
from gnnkg.data.cache import DatasetNotFound, WrongChecksum
from gnnkg.data.carve import carve_validation
from gnnkg.data.categories import relation_categories
from gnnkg.data.dataset import Dataset, Feature
from gnnkg.data.dgl_graph import from_dgl
from gnnkg.data.files import from_files, from_folder, from_tables
from gnnkg.data.lines import FaultyLine
from gnnkg.data.load import FolderPassedOver, dataset_names, load
from gnnkg.data.names import AmbiguousName, UnknownName
from gnnkg.data.report import Fault, Report, SplitReport
from gnnkg.data.split import split_facts
from gnnkg.data.text import SkippedLines
from gnnkg.data.triples import DataError
from gnnkg.interchange import DataLeftOut

__all__ = [
    "AmbiguousName",
    "Audit",
    "DataError",
    "DataLeftOut",
    "Dataset",
    "DatasetNotFound",
    "Fault",
    "FaultyLine",
    "Feature",
    "FolderPassedOver",
    "Report",
    "SharedFacts",
    "SkippedLines",
    "SplitReport",
    "UnknownName",
    "WrongChecksum",
    "audit",
    "carve_validation",
    "dataset_names",
    "from_dgl",
    "from_files",
    "from_folder",
    "from_tables",
    "load",
    "relation_categories",
    "split_facts",
]
