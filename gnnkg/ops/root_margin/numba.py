"""Scores from sums on CPU, in one pass there and one back. A task is a run of numbers."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor

from gnnkg.ops import cpu
from gnnkg.ops.root_margin.reference import SMALL
from gnnkg.ops.simd import wide

RUN = 4096
"""numbers in a task, which stay in the first-level cache"""
TINY, ONE, HALF, ZERO = np.float32(SMALL), np.float32(1), np.float32(0.5), np.float32(0)


class Kernels(NamedTuple):
    forward: Any
    backward: Any


@cache
def kernels(two: bool) -> Kernels:
    """The loops for one sum, or for two; of one, any numbers will do as the other."""

    @cpu.kernel
    def forward(first, last, gamma, squares, weight, other, other_weight, out):
        wide()
        here = slice(first * RUN, min(last * RUN, len(out)))
        s, o, result = squares[here], other[here], out[here]
        for i in range(len(result)):
            each = gamma - weight * np.sqrt(s[i] + TINY)
            result[i] = each - other_weight * o[i] if two else each

    @cpu.kernel
    def backward(first, last, gradient, squares, weight, other, other_weight, d_squares, d_other, totals):
        """``totals`` (tasks, 2): what is to be summed for the gradients of the weights."""
        wide()
        for task in range(first, last):
            here = slice(task * RUN, min((task + 1) * RUN, len(gradient)))
            g, s, o, ds, do = gradient[here], squares[here], other[here], d_squares[here], d_other[here]
            of_root, of_other = ZERO, ZERO
            for i in range(len(g)):
                root = np.sqrt(s[i] + TINY)
                of_root -= g[i] * root
                ds[i] = -HALF * weight * g[i] / root
            if two:
                for i in range(len(g)):
                    of_other -= g[i] * o[i]
                    do[i] = -other_weight * g[i]
            totals[task, 0], totals[task, 1] = of_root, of_other

    return Kernels(forward, backward)


def forward(
    gamma: float,
    squares: Float[Tensor, "B X"],
    weight: Float[Tensor, ""] | None,
    other: Float[Tensor, "B X"] | None,
    other_weight: Float[Tensor, ""] | None,
) -> Float[Tensor, "B X"]:
    out = cpu.empty(*squares.shape)
    arrays = *_sums(squares, weight, other, other_weight), out.view(-1)
    cpu.run(kernels(other is not None).forward, -(-out.numel() // RUN), 2 * out.numel(), np.float32(gamma), *arrays)
    return out


def gradients(
    gradient: Float[Tensor, "B X"],
    squares: Float[Tensor, "B X"],
    weight: Float[Tensor, ""] | None,
    other: Float[Tensor, "B X"] | None,
    other_weight: Float[Tensor, ""] | None,
) -> tuple[Tensor | None, ...]:
    """Those of squares, weight, other and other_weight."""
    size, num_tasks, two = squares.numel(), -(-squares.numel() // RUN), other is not None
    d_squares, totals = cpu.empty(*squares.shape), cpu.empty(num_tasks, 2)
    d_other = cpu.empty(*squares.shape) if two else d_squares
    arrays = gradient.contiguous().view(-1), *_sums(squares, weight, other, other_weight)
    cpu.run(kernels(two).backward, num_tasks, 4 * size, *arrays, d_squares.view(-1), d_other.view(-1), totals)
    of_root, of_other = totals.double().sum(0).float()
    return (
        d_squares,
        None if weight is None else of_root,
        d_other if two else None,
        None if other_weight is None else of_other,
    )


def _sums(
    squares: Tensor, weight: Tensor | None, other: Tensor | None, other_weight: Tensor | None
) -> tuple[Tensor, np.float32, Tensor, np.float32]:
    """Both sums as they lie in memory, each with its weight."""
    flat = squares.contiguous().view(-1)
    return flat, _number(weight), flat if other is None else other.contiguous().view(-1), _number(other_weight)


def _number(weight: Tensor | None) -> np.float32:
    return ONE if weight is None else np.float32(weight.item())
