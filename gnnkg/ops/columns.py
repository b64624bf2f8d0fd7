"""Some columns of a matrix."""

from __future__ import annotations

from jaxtyping import Int, Shaped
from torch import Tensor


def columns_of(matrix: Shaped[Tensor, "B C"], chosen: Int[Tensor, " X"]) -> Shaped[Tensor, "B X"]:
    """matrix[:, chosen], of different columns in ascending order. On CPU it shares the memory where they are the first ones."""
    if chosen.is_cpu and len(chosen) and int(chosen[-1]) == len(chosen) - 1:
        return matrix[:, : len(chosen)]
    return matrix.index_select(1, chosen)
