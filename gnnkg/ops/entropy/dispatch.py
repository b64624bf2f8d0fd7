"""The public op: a backend is chosen. Where there is no fused kernel, the definition serves."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gnnkg.ops import backends
from gnnkg.ops.entropy import reference


def cross_entropy(
    scores: Float[Tensor, "B C"], value: Float[Tensor, "B C"], mask: Bool[Tensor, "B C"] | None = None
) -> Float[Tensor, " B"]:
    """- sum_j value_j log softmax(scores)_j, over the columns of ``mask`` (None: all); 0 without any.

    Labels and mask are broadcast to the scores. Differentiable any number of times.
    """
    value = value.expand(scores.shape)
    mask = None if mask is None else mask.expand(scores.shape)
    fused = scores.dtype == value.dtype == torch.float32 and not value.requires_grad
    if not (fused and scores.numel() and backends.choose(scores, value, mask) == "numba"):
        return reference.cross_entropy(scores, value, mask)
    return _CrossEntropy.apply(scores, value, mask)


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        from gnnkg.ops.entropy import numba

        out, *sums = numba.forward(scores, value, mask)
        ctx.save_for_backward(scores, value, mask, *sums)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor):  # type: ignore[override]  # torch declares *args
        from gnnkg.ops.entropy import numba

        scores, value, mask, *sums = ctx.saved_tensors
        if not torch.is_grad_enabled():
            top, inverse, total = sums
            return numba.backward(scores, value, mask, top, inverse, total, gradient), None, None
        # to be differentiated again
        if mask is None:
            return gradient.unsqueeze(1) * (value.sum(1, keepdim=True) * torch.softmax(scores, 1) - value), None, None
        shown = scores.masked_fill(
            ~mask & mask.any(1, keepdim=True), -torch.inf
        )  # a query without columns stays finite
        kept = torch.where(mask, value, 0)
        each = gradient.unsqueeze(1) * (kept.sum(1, keepdim=True) * torch.softmax(shown, 1) - kept)
        return torch.where(mask, each, 0), None, None
