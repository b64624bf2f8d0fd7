"""The fast backends as torch operations with one derivative."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.ops import backends

Weight = Float[Tensor, "B U"] | Float[Tensor, "S K U"]


class Form(NamedTuple):
    """What ``numba.py`` is asked for beside the op."""

    both: bool = False
    """the sums without weights too"""
    margin: float | None = None
    """what the sums are taken from"""


@runtime_checkable
class Backend(Protocol):
    """What ``numba.py`` and ``triton.py`` provide: out[b, k] = sum_u weight_u phi(query[b]_u - scale[b]_u tail[k]_u).

    Inputs are float32 and contiguous (gradients may be strided), and no axis is empty; no weight stands for ones.
    ``triton_drawn.py`` is like it, but takes a ``Drawn`` after ``op`` and own tails (B, D) in the place of the weight, and gives
    these a gradient too. ``numba.py`` is asked for a ``Form``, and takes own tails after the weight, of which queries may share
    rows: query b has row b * G // B; of both sums ``backward`` takes both gradients. Own tails that come first, (B, 1 + K),
    follow. ``numba_drawn.py`` is like it, but takes no weight, and a ``Drawn`` after ``op``.
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
    """``Distance.apply(backend, options, query, scale, tail, ...)``: ``backend.forward(*options, query, ...)``, one sum or two.

    Inputs are contiguous: made so in here, they would be others than those that are differentiated by.
    """

    @staticmethod
    def forward(ctx: Any, backend: Any, options: tuple[Any, ...], *inputs: Tensor | None):
        ctx.backend, ctx.options = backend, options
        ctx.save_for_backward(*inputs)
        return backend.forward(*options, *inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor):  # type: ignore[override]  # torch declares *args
        inputs = ctx.saved_tensors
        return None, None, *_Gradient.apply(ctx.backend, ctx.options, len(inputs), *inputs, *gradients)


class _Gradient(torch.autograd.Function):
    """The gradient as an operation of its own, so that a second differentiation fails with advice."""

    @staticmethod
    def forward(ctx: Any, backend: Any, options: tuple[Any, ...], number: int, *given: Any):
        found = backend.backward(*options, *given)
        return (*found, *(None for _ in range(number - len(found))))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None):  # type: ignore[override]  # torch declares *args
        raise backends.one_derivative("the fused matching")
