"""The fast backends as torch operations with one derivative."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.ops import backends

Weight = Float[Tensor, "B U"] | Float[Tensor, "S K U"]


@runtime_checkable
class Backend(Protocol):
    """What ``numba.py`` and ``triton.py`` provide: out[b, k] = sum_u weight_u phi(query[b]_u - scale[b]_u tail[k]_u).

    Inputs are float32 and contiguous, and no axis is empty.
    """

    @staticmethod
    def forward(
        op: str,
        query: Float[Tensor, "B D"],
        scale: Float[Tensor, "B U"] | None,
        tail: Float[Tensor, "S K D"],
        weight: Weight,
    ) -> Float[Tensor, "B K"]: ...

    @staticmethod
    def backward(
        op: str,
        query: Float[Tensor, "B D"],
        scale: Float[Tensor, "B U"] | None,
        tail: Float[Tensor, "S K D"],
        weight: Weight,
        gradient: Float[Tensor, "B K"],
    ) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B U"] | None, Float[Tensor, "S K D"]]: ...


class Distance(torch.autograd.Function):
    """``Distance.apply(backend, op, query, scale, tail, weight)``; no gradient for the weight."""

    @staticmethod
    def forward(ctx: Any, backend: Backend, op: str, query: Tensor, scale: Tensor | None, tail: Tensor, weight: Tensor):
        query, tail, weight = query.contiguous(), tail.contiguous(), weight.contiguous()
        scale = None if scale is None else scale.contiguous()
        ctx.backend, ctx.op = backend, op
        ctx.save_for_backward(query, scale, tail, weight)
        if not (query.numel() and tail.numel()):
            return query.new_zeros(query.shape[0], tail.shape[1])
        return backend.forward(op, query, scale, tail, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor):  # type: ignore[override]  # torch declares *args
        return None, None, *_Gradient.apply(ctx.backend, ctx.op, gradient, *ctx.saved_tensors), None


class _Gradient(torch.autograd.Function):
    """The gradient as an operation of its own, so that a second differentiation fails with advice."""

    @staticmethod
    def forward(
        ctx: Any,
        backend: Backend,
        op: str,
        gradient: Tensor,
        query: Tensor,
        scale: Tensor | None,
        tail: Tensor,
        weight: Tensor,
    ):
        if not (gradient.numel() and tail.numel()):
            return torch.zeros_like(query), None if scale is None else torch.zeros_like(scale), torch.zeros_like(tail)
        return backend.backward(op, query, scale, tail, weight, gradient.contiguous())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None):  # type: ignore[override]  # torch declares *args
        raise backends.one_derivative("the fused matching")
