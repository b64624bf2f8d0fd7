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
        scores = correct(Similarity(left[asking], right[asked], memory))
        own = torch.arange(len(links), device=links.device)
        there, back = _ranks(scores, own), _ranks(scores.transposed, own)
        return AlignmentRanks(there, back, (len(links), len(links)))
    there = _ranks(correct(Similarity(left[asking], right, memory)), asked)
    back = _ranks(correct(Similarity(right[asked], left, memory)), asking)
    return AlignmentRanks(there, back, (len(right), len(left)))


def _ranks(scores: Correction, truth: Int[Tensor, " L"]) -> Float[Tensor, " L"]:
    """The realistic rank of each row's truth among the columns."""
    ranks = []
    for block in scores.blocks():
        own = truth[block.rows]
        nothing = torch.zeros(len(own) + 1, dtype=torch.int64, device=own.device), own[:0]
        counts = rank_counts(block.scores, own, nothing)
        ranks.append(1 + counts.above.double() + counts.equal.double() / 2)
    return torch.cat(ranks).cpu()
