"""How well links are found: each linked entity asks for its partner among candidates, in both directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnnkg.evaluation.alignment.correction import Correct, Correction, plain
from gnnkg.evaluation.alignment.similarity import MEMORY, Similarity
from gnnkg.evaluation.metrics import metrics
from gnnkg.ops.ranking import rank_counts

Candidates = Literal["linked", "all"]
"""``linked``: the partners of the links that are judged, as the literature does; ``all``: every entity of the other side"""


@dataclass(frozen=True)
class AlignmentRanks:
    """Ranks of the partners, realistic where scores tie: from left to right and back, one a link."""

    left_to_right: Float[Tensor, " L"]
    right_to_left: Float[Tensor, " L"]
    candidates: tuple[int, int]
    """among how many each partner was looked for: right ones, and left ones"""

    def metrics(
        self, direction: Literal["left to right", "right to left", "both"] = "left to right"
    ) -> dict[str, float]:
        """MRR, hits@1, hits@3, hits@10 ... of one direction, as the literature gives them, or of all queries."""
        asked = {
            "left to right": [(self.left_to_right, self.candidates[0])],
            "right to left": [(self.right_to_left, self.candidates[1])],
        }
        chosen = asked.get(direction, [*asked["left to right"], *asked["right to left"]])
        ranks = torch.cat([ranks for ranks, _ in chosen])
        return metrics(ranks, torch.cat([torch.full((len(ranks),), count) for ranks, count in chosen]))


@torch.no_grad()
def evaluate_alignment(
    left: Float[Tensor, "N D"],
    right: Float[Tensor, "M D"],
    links: Int[Tensor, "L 2"],
    correct: Correct = plain,
    candidates: Candidates = "linked",
    memory: int = MEMORY,
) -> AlignmentRanks:
    """Ranks of each link's right entity for its left one and back, by cosine as ``correct`` corrects it (``csls``, ``sinkhorn``).

    ``left`` and ``right`` are the vectors of all entities of either side. An entity in several links is asked for once each, and
    its other partners are rivals. Memory is bounded by ``memory`` bytes besides the vectors. Raises ValueError without a link.
    """
    if not len(links):
        raise ValueError("there are no links to judge by")
    asking, asked = links[:, 0], links[:, 1]
    if candidates == "linked":
        (lefts, at_left), (rights, at_right) = (_linked(column) for column in (asking, asked))
        scores = correct(Similarity(left[lefts], right[rights], memory))
        there, back = _ranks(scores, at_right, at_left), _ranks(scores.transposed, at_left, at_right)
        return AlignmentRanks(there, back, (len(rights), len(lefts)))
    there = _ranks(correct(Similarity(left[asking], right, memory)), asked)
    back = _ranks(correct(Similarity(right[asked], left, memory)), asking)
    return AlignmentRanks(there, back, (len(right), len(left)))


def _linked(column: Int[Tensor, " L"]) -> tuple[Int[Tensor, " X"], Int[Tensor, " L"]]:
    """Each entity of a column of links once, and where those of the links stand among these."""
    entities, place = column.unique(return_inverse=True)
    if len(entities) == len(column):  # as they stand
        return column, torch.arange(len(column), device=column.device)
    return entities, place


def _ranks(
    scores: Correction, truth: Int[Tensor, " L"], asking: Int[Tensor, " L"] | None = None
) -> Float[Tensor, " L"]:
    """The realistic rank of each link's truth among the columns; ``asking``: its row (None: the links are the rows)."""
    asking = torch.arange(len(truth), device=truth.device) if asking is None else asking
    ranks = torch.empty(len(truth), dtype=torch.float64)
    for block in scores.blocks():
        here = ((asking >= block.rows.start) & (asking < block.rows.stop)).nonzero().squeeze(1)
        own, rows = truth[here], asking[here] - block.first
        nothing = torch.zeros(len(own) + 1, dtype=torch.int64, device=own.device), own[:0]
        whole = len(rows) == len(block.scores) and bool((rows[1:] > rows[:-1]).all())
        counts = rank_counts(block.scores if whole else block.scores[rows], own, nothing)
        ranks[here.cpu()] = (1 + counts.above.double() + counts.equal.double() / 2).cpu()
    return ranks
