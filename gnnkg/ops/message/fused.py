"""The fast backends as a torch operation with one derivative."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import torch
from torch import Tensor

from gnnkg.ops import backends
from gnnkg.ops.message.adjacency import Adjacency
from gnnkg.ops.message.reference import Aggregate, Message


class Inputs(NamedTuple):
    """What a backend is given: contiguous, x, relation and boundary of one type (float32 or bfloat16), weight of float32."""

    x: Tensor
    """(M, B, D), of the nodes that messages come from"""
    relation: Tensor
    """(R, B, D), or (R, 1, D) where all states share it"""
    weight: Tensor | None
    """(E,)"""
    boundary: Tensor | None
    """(N, B, D)"""


class Needs(NamedTuple):
    """Which gradients are wanted."""

    x: bool
    relation: bool
    weight: bool
    boundary: bool


@runtime_checkable
class Backend(Protocol):
    """What ``numba.py`` and ``triton.py`` provide. No axis of x is empty; there may be no edge at all."""

    @staticmethod
    def forward(
        inputs: Inputs, edges: Adjacency, message: Message, aggregate: Aggregate
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """out, and what the backward pass wants to have kept beside inputs and out (which edge was the largest ...)."""
        ...

    @staticmethod
    def backward(
        gradient: Tensor,
        inputs: Inputs,
        edges: Adjacency,
        message: Message,
        aggregate: Aggregate,
        out: Tensor,
        kept: tuple[Tensor, ...],
        needs: Needs,
    ) -> Inputs:
        """The gradients, of the types and shapes of the inputs; any value where none is needed. ``gradient`` is contiguous."""
        ...


class Propagate(torch.autograd.Function):
    """``Propagate.apply(backend, edges, message, aggregate, x, relation, weight, boundary)``"""

    @staticmethod
    def forward(
        ctx: Any, backend: Backend, edges: Adjacency, message: Message, aggregate: Aggregate, *given: Tensor | None
    ) -> Tensor:
        inputs = Inputs(*(None if tensor is None else tensor.contiguous() for tensor in given))  # type: ignore[arg-type]  # None is not contiguous
        out, kept = backend.forward(inputs, edges, message, aggregate)
        ctx.how = backend, edges, message, aggregate
        ctx.save_for_backward(out, *inputs, *kept)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor):  # type: ignore[override]  # torch declares *args
        needs = Needs(*ctx.needs_input_grad[4:])
        return None, None, None, None, *_Gradient.apply(*ctx.how, needs, gradient, *ctx.saved_tensors)


class _Gradient(torch.autograd.Function):
    """The gradient as an operation of its own, so that a second differentiation fails with advice."""

    @staticmethod
    def forward(
        ctx: Any,
        backend: Backend,
        edges: Adjacency,
        message: Message,
        aggregate: Aggregate,
        needs: Needs,
        gradient: Tensor,
        out: Tensor,
        *saved: Tensor | None,
    ):
        inputs, kept = Inputs(*saved[:4]), cast(tuple[Tensor, ...], saved[4:])  # type: ignore[arg-type]
        found = backend.backward(gradient.contiguous(), inputs, edges, message, aggregate, out, kept, needs)
        return tuple(value if needed else None for value, needed in zip(found, needs, strict=True))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None):  # type: ignore[override]  # torch declares *args
        raise backends.one_derivative("the fused message passing")
