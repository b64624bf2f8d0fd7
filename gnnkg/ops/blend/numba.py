"""The blend on CPU, one query a task: its columns, some tens of vectors, stay in the cache while they are mixed.

Two columns of a query may share a partner; their gradients are added up within the task, in the order of the columns.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from gnnkg.ops import cpu

ZERO, ONE = np.float32(0), np.float32(1)


class Kernels(NamedTuple):
    forward: Any
    backward: Any


@cache
def kernels(has_period: bool) -> Kernels:
    """The loops for numbers, or for vectors whose first half are phases."""

    @cpu.kernel
    def forward(start, end, own, tail, first, second, share, period, out):
        width = own.shape[1]
        for b in range(start, end):
            for x in range(len(first)):
                ours = own[b] if first[x] == 0 else tail[b, first[x] - 1]
                theirs = own[b] if second[b, x] == 0 else tail[b, second[b, x] - 1]
                kept, result = share[b, x], out[b, x]
                for d in range(width):
                    result[d] = theirs[d] + kept * (ours[d] - theirs[d])
                if has_period:
                    for d in range(width // 2):
                        turns = np.rint((theirs[d] - ours[d]) / period)
                        result[d] -= (ONE - kept) * period * turns
                if kept == ONE:
                    for d in range(width):
                        result[d] = ours[d]

    @cpu.kernel
    def backward(start, end, gradient, first, second, share, d_own, d_tail):
        width = d_own.shape[1]
        for b in range(start, end):
            d_own[b] = ZERO
            d_tail[b] = ZERO
            for x in range(len(first)):
                given, kept = gradient[b, x], share[b, x]
                ours = d_own[b] if first[x] == 0 else d_tail[b, first[x] - 1]
                for d in range(width):
                    ours[d] += kept * given[d]
                if kept != ONE:
                    theirs = d_own[b] if second[b, x] == 0 else d_tail[b, second[b, x] - 1]
                    for d in range(width):
                        theirs[d] += (ONE - kept) * given[d]

    return Kernels(forward, backward)


def forward(
    own: Float[Tensor, "B D"],
    tail: Float[Tensor, "B K D"],
    first: Int[Tensor, " X"],
    second: Int[Tensor, "B X"],
    share: Float[Tensor, "B X"],
    period: float | None,
) -> Float[Tensor, "B X D"]:
    """The mixed columns. Floats are float32; everything is contiguous."""
    out = cpu.empty(len(own), len(first), own.shape[1])
    loops = kernels(period is not None)
    cpu.run(loops.forward, len(own), out.numel(), own, tail, first, second, share, np.float32(period or 0), out)
    return out


def backward(
    gradient: Float[Tensor, "B X D"],
    first: Int[Tensor, " X"],
    second: Int[Tensor, "B X"],
    share: Float[Tensor, "B X"],
    num_candidates: int,
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B K D"]]:
    """The gradients of own and tail."""
    num_queries, _, width = gradient.shape
    d_own, d_tail = cpu.empty(num_queries, width), cpu.empty(num_queries, num_candidates, width)
    work = 2 * gradient.numel() + d_tail.numel()
    cpu.run(kernels(False).backward, num_queries, work, gradient, first, second, share, d_own, d_tail)
    return d_own, d_tail
