"""Answering multi-hop queries with a trained link predictor.

beam     Beam: fuzzy beam search, with any model       chain    Chain: in closed form, for translations and rotations
degrees  scores to [0, 1], t-norms and co-norms        links    link scores in blocks; perturbed entities
batch    queries of one structure as tensors           ranking  evaluate_queries(): hard answers ranked
asking   ask(): a written query answered in labels
"""

from gnnkg.evaluation.multihop.asking import QueryAnswer, ask
from gnnkg.evaluation.multihop.batch import QueryBatch
from gnnkg.evaluation.multihop.beam import Beam, Found
from gnnkg.evaluation.multihop.chain import Chain
from gnnkg.evaluation.multihop.links import Links, Perturbed
from gnnkg.evaluation.multihop.ranking import QueryEvaluation, Row, check_noise, evaluate_queries

__all__ = [
    "Beam",
    "Chain",
    "Found",
    "Links",
    "Perturbed",
    "QueryAnswer",
    "QueryBatch",
    "QueryEvaluation",
    "Row",
    "ask",
    "check_noise",
    "evaluate_queries",
]
