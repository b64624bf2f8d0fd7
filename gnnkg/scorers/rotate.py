from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.core import Scorer, Space
from gnnkg.ops import matching
from gnnkg.ops.matching import Mix, Tail
from gnnkg.scorers.spaces import complex_product, initial_range, uniform


class RotatE(Scorer):
    """A rotation of each complex component: f(h, r, t) = gamma - sum_d | h_d e^(i theta_d) - t_d |, theta = pi r / range.

    Sun et al., "RotatE: Knowledge Graph Embedding by Relational Rotation in Complex Space", ICLR 2019. ``dim`` counts complex
    numbers: entities are 2 * dim wide, relations dim. All start from U(-range, range), range = (gamma + 2) / dim, so that
    relation vectors fill the circle.
    """

    curvature = "concave"
    chains = True
    reads_rows = True

    def __init__(self, dim: int = 100, gamma: float = 9.0) -> None:
        super().__init__()
        self.gamma = gamma
        span = initial_range(gamma, dim)
        self.radians = math.pi / span
        self.space = Space(2 * dim, dim, init=uniform(span), inverse=torch.neg, complex=True, joined=True)

    def query(self, head: Float[Tensor, "B D"], relation: Float[Tensor, "B W"]) -> Float[Tensor, "B Q"]:
        angle = relation * self.radians
        return complex_product(head, torch.cat([angle.cos(), angle.sin()], dim=-1))

    def match(self, query: Float[Tensor, "B Q"], tail: Tail, mix: Mix | None = None) -> Float[Tensor, "B X"]:
        return matching.modulus(query, tail, mix, margin=self.gamma)

    def match_both(
        self, query: Float[Tensor, "B Q"], tail: Tail, mix: Mix
    ) -> tuple[Float[Tensor, "B X"], Float[Tensor, "B X"]]:
        return matching.both("modulus", query, tail, mix, margin=self.gamma)
