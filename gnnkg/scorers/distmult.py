from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gnnkg.core import Space
from gnnkg.scorers.products import Product
from gnnkg.scorers.spaces import initial_range, uniform


class DistMult(Product):
    """A diagonal bilinear form: f(h, r, t) = sum_d h_d r_d t_d.

    Yang et al., "Embedding Entities and Relations for Learning and Inference in Knowledge Bases", ICLR 2015.
    Symmetric in h and t while inverses are tied; learned reciprocal relations lift that. ``gamma`` only sets the initial
    range, U(+-(gamma + 2) / dim).
    """

    curvature = "affine"

    def __init__(self, dim: int = 100, gamma: float = 24.0) -> None:
        super().__init__()
        self.space = Space(dim, dim, init=uniform(initial_range(gamma, dim)), inverse=_same)

    def query(self, head: Float[Tensor, "B D"], relation: Float[Tensor, "B W"]) -> Float[Tensor, "B Q"]:
        return head * relation


def _same(relation: Float[Tensor, "B W"]) -> Float[Tensor, "B W"]:
    return relation
