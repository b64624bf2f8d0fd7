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

    Inputs are float32 and contiguous (gradients may be strided), and no axis is empty; no weight stands for ones.
    ``numba.py`` takes weights of fewer rows too, which queries share: query b takes row b * G // B.
    ``numba_drawn.py`` and ``triton_drawn.py`` are like it, but take a ``Drawn`` after ``op`` and own tails (B, D) in the place of
    the weight, and give these a gradient too. Those of Numba also give ``both`` sums, of candidates as they are and of weighted or
    mutated ones, and ``backward`` then takes both gradients.
    """

    @staticmethod
    def forward(
        op: str,
        query: Float[Tensor, "B D"],
        scale: Float[Tensor, "B U"] | None,
        tail: Float[Tensor, "S K D"],
        weight: Weight | None,
    ) -> Float[Tensor, "B K"]: ...

    @staticmethod
    def backward(
        op: str,
        query: Float[Tensor, "B D"],
        scale: Float[Tensor, "B U"] | None,
        tail: Float[Tensor, "S K D"],
        weight: Weight | None,
        gradient: Float[Tensor, "B K"],
    ) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B U"] | None, Float[Tensor, "S K D"]]: ...


def ones(op: str, query: Float[Tensor, "B D"]) -> Float[Tensor, "B U"]:
    """The weights that no weight stands for, as numbers."""
    return query.new_ones(len(query), query.shape[1] // 2 if op == "modulus" else query.shape[1])


class Distance(torch.autograd.Function):
    """``Distance.apply(backend, options, both, query, scale, tail, weight)``: ``backend.forward(*options, query, ...)``.

    No gradient for a weight; own tails in its place get theirs.
    """

    @staticmethod
    def forward(
        ctx: Any,
        backend: Any,
        options: tuple[Any, ...],
        both: bool,
        query: Tensor,
        scale: Tensor | None,
        tail: Tensor,
        weight: Tensor | None,
    ):
        query, tail = query.contiguous(), tail.contiguous()
        scale, weight = (None if x is None else x.contiguous() for x in (scale, weight))
        ctx.backend, ctx.options = backend, options
        ctx.save_for_backward(query, scale, tail, weight)
        if not (query.numel() and tail.numel()):
            shape = query.shape[0], tail.shape[1]
            return (query.new_zeros(shape), query.new_zeros(shape)) if both else query.new_zeros(shape)
        return backend.forward(*options, query, scale, tail, weight, *([True] if both else []))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor):  # type: ignore[override]  # torch declares *args
        return None, None, None, *_Gradient.apply(ctx.backend, ctx.options, *ctx.saved_tensors, *gradients)


class _Gradient(torch.autograd.Function):
    """The gradient as an operation of its own, so that a second differentiation fails with advice."""

    @staticmethod
    def forward(
        ctx: Any,
        backend: Any,
        options: tuple[Any, ...],
        query: Tensor,
        scale: Tensor | None,
        tail: Tensor,
        weight: Tensor | None,
        *gradients: Tensor,
    ):
        inputs = query, scale, tail, weight
        if not (query.numel() and tail.numel()):
            return tuple(None if x is None else torch.zeros_like(x) for x in inputs)
        found = backend.backward(*options, *inputs, *gradients)
        return (*found, None)[: len(inputs)]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None):  # type: ignore[override]  # torch declares *args
        raise backends.one_derivative("the fused matching")
