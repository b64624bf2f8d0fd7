"""The definition, in torch; differentiable any number of times."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

SMALL = 1e-12
"""below the root, which so has derivatives at zero"""


def root_margin(
    gamma: float,
    squares: Float[Tensor, "B X"],
    weight: Float[Tensor, ""] | None,
    other: Float[Tensor, "B X"] | None,
    other_weight: Float[Tensor, ""] | None,
) -> Float[Tensor, "B X"]:
    root = (squares + SMALL).sqrt()
    out = gamma - (root if weight is None else weight * root)
    if other is None:
        return out
    return out - (other if other_weight is None else other_weight * other)
