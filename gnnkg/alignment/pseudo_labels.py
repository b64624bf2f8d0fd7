from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Int
from torch import Tensor

from gnnkg.data.alignment import Links


@dataclass(frozen=True)
class Probation:
    """When pairs that a model believes in become seeds (the iterative training of MCLEA, MEAformer and SNAG).

    From epoch ``begin`` on, every ``every`` epochs, the mutual-nearest pairs of all entities outside the seeds are looked at: by
    cosine as published, or as ``csls`` corrects it. Every ``renew``-th look replaces the candidates, the others leave those that
    are there again, and every ``promote``-th look the survivors join the seeds. Links of validation and test are never read; their
    entities are in the pools like all others.

    As published, they join ``for_good``, and their entities leave the pools: at last those are left who have no partner, and are
    each other's. Otherwise all entities outside the seeds stay in the pools, and the survivors take the place of those who joined
    before, so that mistakes can be undone (as in BootEA, Sun et al., IJCAI 2018).

    Raises ValueError where survivors would join right after a replacement, without probation, or a number is out of range.
    """

    begin: int = 0
    every: int = 5
    renew: int = 5
    promote: int = 10
    nearest: Literal["cosine", "csls"] = "cosine"
    for_good: bool = True

    def __post_init__(self) -> None:
        if min(self.every, self.renew, self.promote) < 1 or self.promote % self.renew == 1 % self.renew:
            raise ValueError(
                f"every, renew and promote must be at least 1, and a promotion must not come right after a replacement: "
                f"not {self.every}, {self.renew} and {self.promote}"
            )
        if self.begin < 0:
            raise ValueError(f"pseudo-labels begin at an epoch from 0 on, not at {self.begin}")

    def looks_after(self, epoch: int) -> bool:
        """Whether pairs are looked at once so many epochs are done."""
        return epoch > self.begin and (epoch - self.begin) % self.every == 0


class PseudoLabels:
    """Pairs on ``Probation``, and those that have joined the seeds."""

    def __init__(self, probation: Probation) -> None:
        self.probation = probation
        self.looks = 0
        self.candidates: Links = torch.empty(0, 2, dtype=torch.int64)
        self.promoted: Links = torch.empty(0, 2, dtype=torch.int64)

    def pools(self, seeds: Links, num_left: int, num_right: int) -> tuple[Int[Tensor, " X"], Int[Tensor, " Y"]]:
        """The left and right entities that are in no seed and were not promoted for good."""
        taken = torch.cat([seeds, self.promoted]) if self.probation.for_good else seeds
        free = [torch.ones(count, dtype=torch.bool) for count in (num_left, num_right)]
        for side, column in zip(free, taken.unbind(1), strict=True):
            side[column] = False
        return free[0].nonzero().squeeze(1), free[1].nonzero().squeeze(1)

    def look(self, mutual: Links) -> bool:
        """Takes in the mutual-nearest pairs of the pools; whether some were promoted."""
        if self.looks % self.probation.renew == 0:
            self.candidates = mutual
        else:
            again = {tuple(pair) for pair in mutual.tolist()}
            kept = [tuple(pair) in again for pair in self.candidates.tolist()]
            self.candidates = self.candidates[torch.tensor(kept, dtype=torch.bool)]
        self.looks += 1
        if self.looks % self.probation.promote or not len(self.candidates):
            return False
        before = self.promoted if self.probation.for_good else self.promoted[:0]
        self.promoted = torch.cat([before, self.candidates])
        self.candidates = self.candidates[:0]
        return True

    def state_dict(self) -> dict[str, Any]:
        return {"looks": self.looks, "candidates": self.candidates, "promoted": self.promoted}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.looks, self.candidates, self.promoted = state["looks"], state["candidates"], state["promoted"]
