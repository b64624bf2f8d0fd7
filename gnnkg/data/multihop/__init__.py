"""Multi-hop queries: their algebra, their answers by facts, and where sets of them come from.

query       Anchor, Hop, Intersection, Union        structures  1p 2p 3p 2i 3i ip pi 2u up
symbolic    answers that facts alone give           answered    queries with easy and hard answers
query2box   the published set of Query2box          sampled     queries out of any data set
written     a query as text                         tokens      the words of such a text
"""

from gnnkg.data.multihop.answered import AnsweredQueries
from gnnkg.data.multihop.query import Anchor, Hop, Intersection, Query, Union
from gnnkg.data.multihop.query2box import load_queries
from gnnkg.data.multihop.sampled import sample_queries
from gnnkg.data.multihop.structures import STRUCTURES
from gnnkg.data.multihop.symbolic import answers
from gnnkg.data.multihop.written import Written, parse_query

__all__ = [
    "STRUCTURES",
    "Anchor",
    "AnsweredQueries",
    "Hop",
    "Intersection",
    "Query",
    "Union",
    "Written",
    "answers",
    "load_queries",
    "parse_query",
    "sample_queries",
]
