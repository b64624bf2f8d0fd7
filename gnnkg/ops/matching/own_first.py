"""Candidates behind each query's own tail."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.ops.matching.gathered import Gathered


@dataclass(frozen=True)
class OwnFirst:
    """Matching it gives (B, 1 + K): first the own tail, which no mask mutates, then the candidates, which many queries may share.
    So scores are written once, where joining them would copy all.
    """

    own: Float[Tensor, "B D"]
    rest: Float[Tensor, "S K D"] | Gathered

    def __mul__(self, factor: float) -> OwnFirst:
        return OwnFirst(self.own * factor, self.rest * factor)

    def halves(self) -> tuple[OwnFirst, OwnFirst]:
        """The two halves of the vectors."""
        rest = self.rest.halves() if isinstance(self.rest, Gathered) else self.rest.chunk(2, dim=-1)
        first, second = self.own.chunk(2, dim=-1)
        return OwnFirst(first, rest[0]), OwnFirst(second, rest[1])


def behind(own: Float[Tensor, "B 1"], scores: list[Tensor]) -> list[Float[Tensor, "B X"]]:
    """Each of the scores (B, K) behind those of own tails. The list is emptied, so that each is given back once it is copied."""
    return [torch.cat([own, scores.pop(0)], dim=1) for _ in range(len(scores))]
