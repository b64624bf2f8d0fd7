"""The public op: inputs are checked and a backend is chosen. Where there is no fused kernel, the definition serves."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.ops import backends
from gnnkg.ops.update import reference


def update(
    own: Float[Tensor, "N B D"],
    parts: Float[Tensor, "N B K D"] | None = None,
    scales: Float[Tensor, "N K"] | None = None,
    norm: tuple[Float[Tensor, " D"], Float[Tensor, " D"]] | None = None,
    shortcut: Float[Tensor, "N B D"] | None = None,
) -> Float[Tensor, "N B D"]:
    """shortcut + relu(norm(own + sum_k scales_k * parts_k)); what is None is left out.

    ``norm`` is the weight and the bias of a layer norm. Scales are constants, of each node: they get no gradient. Raises
    ValueError where only one of parts and scales is given.
    """
    if (parts is None) != (scales is None):
        raise ValueError("parts and scales go together: give both or neither")
    if scales is not None:
        scales = scales.detach()
    given = [tensor for tensor in (own, parts, scales, shortcut, *(norm or ())) if tensor is not None]
    fused = backends.choose(*given) == "numba" and all(tensor.dtype == torch.float32 for tensor in given)
    if not fused or not own.numel():
        return reference.update(own, parts, scales, norm, shortcut)
    return _Update.apply(own, parts, scales, *(norm or (None, None)), shortcut)


class _Update(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, parts, scales, weight, bias, shortcut) -> Tensor:
        from gnnkg.ops.update import numba

        given = [None if each is None else each.contiguous() for each in (own, parts, scales, weight, bias, shortcut)]
        out, total = numba.forward(*given)  # type: ignore[arg-type]  # own is there
        ctx.num_parts = None if parts is None else parts.shape[2]
        ctx.shortcut = shortcut is not None
        ctx.save_for_backward(total, given[2], weight, bias)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor):  # type: ignore[override]  # torch declares *args
        return _Gradient.apply(ctx.num_parts, ctx.shortcut, gradient, *ctx.saved_tensors)


class _Gradient(torch.autograd.Function):
    """The gradient as an operation of its own, so that a second differentiation fails with advice."""

    @staticmethod
    def forward(ctx: Any, num_parts: int | None, shortcut: bool, gradient: Tensor, total: Tensor, scales, weight, bias):
        from gnnkg.ops.update import numba

        own, parts, d_weight, d_bias = numba.backward(gradient.contiguous(), total, scales, weight, bias)
        return own, parts, None, d_weight, d_bias, gradient if shortcut else None

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None):  # type: ignore[override]  # torch declares *args
        raise backends.one_derivative("the fused update")
