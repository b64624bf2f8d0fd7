from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from gnnkg.data.alignment import Links


class PseudoLabels:
    """Pairs that a model believes in become seeds after a probation (the iterative training of MCLEA, MEAformer and SNAG).

    Every ``every`` epochs the mutual-nearest pairs of all entities outside the seeds are looked at. Every ``renew``-th look
    replaces the candidates, the others leave those that are there again, and every ``promote``-th look the survivors join the
    seeds for good. Links of validation and test are never read; their entities are in the pools like all others.

    Raises ValueError where survivors would join right after a replacement, without probation, or a number is below 1.
    """

    def __init__(self, every: int = 5, renew: int = 5, promote: int = 10) -> None:
        if min(every, renew, promote) < 1 or promote % renew == 1 % renew:
            raise ValueError(
                f"every, renew and promote must be at least 1, and a promotion must not come right after a replacement: "
                f"not {every}, {renew} and {promote}"
            )
        self.every, self.renew, self.promote = every, renew, promote
        self.looks = 0
        self.candidates: Links = torch.empty(0, 2, dtype=torch.int64)
        self.promoted: Links = torch.empty(0, 2, dtype=torch.int64)

    def pools(self, seeds: Links, num_left: int, num_right: int) -> tuple[Int[Tensor, " X"], Int[Tensor, " Y"]]:
        """The left and right entities that are in no seed and were not promoted."""
        taken = torch.cat([seeds, self.promoted])
        free = [torch.ones(count, dtype=torch.bool) for count in (num_left, num_right)]
        for side, column in zip(free, taken.unbind(1), strict=True):
            side[column] = False
        return free[0].nonzero().squeeze(1), free[1].nonzero().squeeze(1)

    def look(self, mutual: Links) -> bool:
        """Takes in the mutual-nearest pairs of the pools; whether some were promoted."""
        if self.looks % self.renew == 0:
            self.candidates = mutual
        else:
            again = {tuple(pair) for pair in mutual.tolist()}
            kept = [tuple(pair) in again for pair in self.candidates.tolist()]
            self.candidates = self.candidates[torch.tensor(kept, dtype=torch.bool)]
        self.looks += 1
        if self.looks % self.promote or not len(self.candidates):
            return False
        self.promoted = torch.cat([self.promoted, self.candidates])
        self.candidates = self.candidates[:0]
        return True

    def state_dict(self) -> dict[str, Any]:
        return {"looks": self.looks, "candidates": self.candidates, "promoted": self.promoted}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.looks, self.candidates, self.promoted = state["looks"], state["candidates"], state["promoted"]
