"""Who is who: similarities of left and right entities, made comparable, ranked and matched. Tensors in, tensors out.

similarity  cosines, block by block        correction  what makes the rows and columns comparable
csls        hubs are less similar          sinkhorn    every entity has one partner
ranking     H@1, H@10, MRR both ways       matching    mutual-best pairs, one to one
"""

from gnnkg.evaluation.alignment.correction import Correction, plain
from gnnkg.evaluation.alignment.csls import csls
from gnnkg.evaluation.alignment.matching import Pairs, mutual_best, nearest
from gnnkg.evaluation.alignment.ranking import AlignmentRanks, Candidates, evaluate_alignment
from gnnkg.evaluation.alignment.similarity import Similarity
from gnnkg.evaluation.alignment.sinkhorn import sinkhorn

__all__ = [
    "AlignmentRanks",
    "Candidates",
    "Correction",
    "Pairs",
    "Similarity",
    "csls",
    "evaluate_alignment",
    "mutual_best",
    "nearest",
    "plain",
    "sinkhorn",
]
