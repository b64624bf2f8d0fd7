"""The public op: a backend is chosen. Where there is no fused kernel, the definition serves."""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor

from gnnkg.ops import backends
from gnnkg.ops.partners import reference


def partners(
    scores: Float[Tensor, "B C"],
    known: Bool[Tensor, "B C"],
    near: Bool[Tensor, "B C"],
    others: Bool[Tensor, "B C"],
    draw: Float[Tensor, "B C"],
    below_mean: bool = False,
) -> Int[Tensor, "B C"]:
    """The column that each column is mixed with; itself where it is in neither ``near`` nor ``others``.

    One of ``near`` takes one of the ``known`` columns of its row that score lowest, uniformly: of n the (n + 1) // 2 lowest, or
    those not above their mean. One of ``others`` takes another of them in its row, uniformly; itself where it is the only one.
    ``draw`` is uniform in [0, 1).

    Raises ValueError for other shapes than the scores', and for a row of ``near`` without a known column.
    """
    if any(each.shape != scores.shape for each in (known, near, others, draw)):
        shapes = ", ".join(str(tuple(each.shape)) for each in (known, near, others, draw))
        raise ValueError(f"expected masks and draws of the scores' shape {tuple(scores.shape)}, not {shapes}")
    if bool((near.any(1) & ~known.any(1)).any()):
        raise ValueError("a column is to be mixed with a known one of its row, which has none")
    if backends.choose(scores, draw) != "numba" or not scores.numel():
        return reference.partners(scores, known, near, others, draw, below_mean)
    from gnnkg.ops.partners import numba

    return numba.partners(scores.float(), known, near, others, draw.float(), below_mean)
