from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.core import Scorer, Space
from gnnkg.ops import matching
from gnnkg.ops.matching import Mix, Tail
from gnnkg.ops.root_margin import root_margin
from gnnkg.scorers.spaces import initial_range, uniform


class TransE(Scorer):
    """A translation: f(h, r, t) = gamma - || h + r - t ||_p, with p = 1 or 2.

    Bordes et al., "Translating Embeddings for Modeling Multi-relational Data", NeurIPS 2013; margin and initial range,
    U(+-(gamma + 2) / dim), as in the RotatE code. With p = 2 the norm is sqrt(sum + 1e-12), which has derivatives at zero.
    """

    curvature = "concave"
    chains = True
    reads_rows = True

    def __init__(self, dim: int = 100, gamma: float = 9.0, p: Literal[1, 2] = 1) -> None:
        super().__init__()
        if p not in (1, 2):
            raise ValueError(f"TransE measures with p = 1 or 2, not {p}")
        self.gamma = gamma
        self.p = p
        self.space = Space(dim, dim, init=uniform(initial_range(gamma, dim)), inverse=torch.neg)

    def query(self, head: Float[Tensor, "B D"], relation: Float[Tensor, "B W"]) -> Float[Tensor, "B Q"]:
        return head + relation

    def match(self, query: Float[Tensor, "B Q"], tail: Tail, mix: Mix | None = None) -> Float[Tensor, "B X"]:
        if self.p == 1:
            return matching.l1(query, tail, mix, margin=self.gamma)
        return root_margin(self.gamma, matching.squared(query, tail, mix))

    def match_both(
        self, query: Float[Tensor, "B Q"], tail: Tail, mix: Mix
    ) -> tuple[Float[Tensor, "B X"], Float[Tensor, "B X"]]:
        if self.p == 1:
            return matching.both("l1", query, tail, mix, margin=self.gamma)
        plain, mutated = matching.both("squared", query, tail, mix)
        plain = root_margin(self.gamma, plain)  # one after the other: the sums are given back at once
        return plain, root_margin(self.gamma, mutated)
