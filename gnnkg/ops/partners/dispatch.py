"""The public ops: a backend is chosen. Where there is no fused kernel, the definition serves."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gnnkg.ops import backends
from gnnkg.ops.partners import reference

ALONE = "a column is to be mixed with a known one of its row, which has none"


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
    if backends.choose(scores, draw) != "numba" or not scores.numel():
        if bool((near.any(1) & ~known.any(1)).any()):
            raise ValueError(ALONE)
        return reference.partners(scores, known, near, others, draw, below_mean)
    from gnnkg.ops.partners import numba

    found = numba.partners(scores.float(), known, near, others, draw.float(), below_mean)
    if int(found.min()) < 0:
        raise ValueError(ALONE)
    return found


def shares(
    draw: Float[Tensor, "B C"], quantiles: Float[Tensor, " Q"], mixed: Bool[Tensor, "B C"], larger: bool = True
) -> Float[Tensor, "B C"]:
    """How much of its own each column keeps that is ``mixed``, and 1 for the others: random numbers of a distribution.

    ``draw`` is uniform in [0, 1), and ``quantiles`` are the distribution's at 0, 1 / (Q - 1), ..., 1; between two of them it is
    taken to be uniform. ``larger``: of a share l the larger of l and 1 - l.

    Raises ValueError for fewer than two quantiles, and where draws and columns are not of one shape.
    """
    if draw.shape != mixed.shape:
        raise ValueError(f"expected a draw a column, and there are {tuple(draw.shape)} for {tuple(mixed.shape)}")
    if len(quantiles) < 2:
        raise ValueError(f"a distribution needs its quantiles at 0 and 1 at least, and there are {len(quantiles)}")
    if backends.choose(draw, quantiles) != "numba" or {draw.dtype, quantiles.dtype} != {torch.float32}:
        return reference.shares(draw, quantiles, mixed, larger)
    from gnnkg.ops.partners import numba

    return numba.shares(draw, quantiles, mixed, larger)
