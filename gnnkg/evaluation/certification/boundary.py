"""Counting where the noise is on the vector that NBFNet starts from: messages are passed again for every draw."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnnkg.core import FromBoundary, Scorer
from gnnkg.evaluation.certification.counting import Counted

BLOCK = 32
"""draws whose messages are passed at once"""


@dataclass(frozen=True)
class BoundaryCounter:
    """Counts the draws under which fewer than ``top`` rivals score as much as the truth, or more, or NaN.

    ``enough``: where fewer successes than this remain possible, counting stops; 0: never. Nothing is pruned: no bound is known of
    what messages make of the noise.
    """

    scorer: Scorer
    lookup: FromBoundary
    top: int = 1
    enough: int = 0

    @torch.no_grad()
    def __call__(
        self,
        head: Int[Tensor, " 1"],
        relation: Int[Tensor, " 1"],
        truth: int,
        rivals: Int[Tensor, " K"],
        noise: Float[Tensor, "n D"],
    ) -> Counted:
        successes, left = 0, len(noise)
        for draws in noise.split(BLOCK):
            moved = self.lookup.shifted(lambda *_, draws=draws: draws)
            scores = self.scorer(moved(head.expand(len(draws)), relation.expand(len(draws))))
            ahead = ~(scores[:, rivals] < scores[:, truth].unsqueeze(1))
            successes += int((ahead.sum(1) < self.top).sum())
            left -= len(draws)
            if successes + left < self.enough:
                return Counted(successes + left, stopped=True, left_out=0, close=0)
        return Counted(successes, stopped=False, left_out=0, close=0)
