"""The public op: inputs are checked and a backend is chosen. Where there is no fused kernel, the definition serves."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnnkg.ops import backends
from gnnkg.ops.blend import reference


def blend(
    own: Float[Tensor, "B D"],
    tail: Float[Tensor, "S K D"],
    first: Int[Tensor, " X"],
    second: Int[Tensor, "B X"],
    share: Float[Tensor, "B X"],
    period: float | None = None,
) -> Float[Tensor, "B X D"]:
    """out[b, x] = share * ours + (1 - share) * theirs, of the columns first[x] and second[b, x] of query b.

    With a ``period`` the first half of a vector are phases: theirs are taken by the shorter way around. A share of 1 gives ours to
    the last bit. Columns and shares get no gradient. Raises ValueError for shapes that do not fit.
    """
    num_queries, num_tables, width = len(own), len(tail), own.shape[-1]
    if tail.shape[-1] != width or num_queries % max(num_tables, 1) or second.shape != (num_queries, len(first)):
        raise ValueError(
            f"expected own (B, D), tail (S, K, D), S dividing B, and second of shape (B, {len(first)}), not "
            f"{tuple(own.shape)}, {tuple(tail.shape)} and {tuple(second.shape)}"
        )
    if period is not None and width % 2:
        raise ValueError(f"vectors are [phase | modulus], of an even width; this width is {width}")
    share = share.detach()
    fused = (
        num_tables == num_queries
        and backends.choose(own, tail, share) == "numba"
        and own.dtype == tail.dtype == share.dtype == torch.float32
    )
    if not fused:
        return reference.blend(own, tail, first, second, share, period)
    return _Blend.apply(own, tail, first, second, share, period)


class _Blend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, tail: Tensor, first: Tensor, second: Tensor, share: Tensor, period) -> Tensor:
        from gnnkg.ops.blend import numba

        given = [each.contiguous() for each in (own, tail, first, second, share)]
        ctx.num_candidates = tail.shape[1]
        ctx.save_for_backward(*given[2:])
        return numba.forward(*given, period)  # type: ignore[arg-type]  # five tensors

    @staticmethod
    def backward(ctx: Any, gradient: Tensor):  # type: ignore[override]  # torch declares *args
        return *_Gradient.apply(gradient, *ctx.saved_tensors, ctx.num_candidates), None, None, None, None


class _Gradient(torch.autograd.Function):
    """The gradient as an operation of its own, so that a second differentiation fails with advice."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, first: Tensor, second: Tensor, share: Tensor, num_candidates: int):
        from gnnkg.ops.blend import numba

        return numba.backward(gradient.contiguous(), first, second, share, num_candidates)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None):  # type: ignore[override]  # torch declares *args
        raise backends.one_derivative("the fused blend")
