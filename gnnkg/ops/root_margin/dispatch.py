"""The public op: a backend is chosen. Where there is no fused kernel, the definition serves."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.ops import backends
from gnnkg.ops.root_margin import reference


def root_margin(
    gamma: float,
    squares: Float[Tensor, "B X"],
    weight: Float[Tensor, ""] | None = None,
    other: Float[Tensor, "B X"] | None = None,
    other_weight: Float[Tensor, ""] | None = None,
) -> Float[Tensor, "B X"]:
    """gamma - weight * sqrt(squares + 1e-12) - other_weight * other; without ``other`` its part is 0, a weight of None is 1.

    Differentiable any number of times. Raises ValueError where ``other`` has another shape than ``squares``, or a weight of its own
    and is not given.
    """
    if other is None and other_weight is not None:
        raise ValueError("a weight of another sum is given, and the sum is not")
    if other is not None and other.shape != squares.shape:
        raise ValueError(f"sums of one shape make scores, not {tuple(squares.shape)} and {tuple(other.shape)}")
    given = squares, weight, other, other_weight
    alike = all(each is None or each.dtype == torch.float32 for each in given)
    if not (alike and squares.numel() and backends.choose(*given) == "numba"):
        return reference.root_margin(gamma, *given)
    return _RootMargin.apply(gamma, *given)


class _RootMargin(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gamma: float, *given: Tensor | None) -> Tensor:
        from gnnkg.ops.root_margin import numba

        ctx.gamma = gamma
        ctx.save_for_backward(*given)
        return numba.forward(gamma, *given)  # type: ignore[arg-type]  # four tensors, of which three may miss

    @staticmethod
    def backward(ctx: Any, gradient: Tensor):  # type: ignore[override]  # torch declares *args
        from gnnkg.ops.root_margin import numba

        given = ctx.saved_tensors
        if not torch.is_grad_enabled():
            return None, *numba.gradients(gradient, *given)
        asked = ctx.needs_input_grad[1:]  # to be differentiated again
        wanted = [each for each, needed in zip(given, asked, strict=True) if needed]
        out = reference.root_margin(ctx.gamma, *given)
        found = iter(torch.autograd.grad(out, wanted, gradient, create_graph=True))
        return None, *(next(found) if needed else None for needed in asked)
