"""The update on CPU: one pass forwards, which keeps the sum before the norm, and one backwards.

A task is a block of nodes with all their states. The gradients of the norm's weight and bias are summed within a task and then over
tasks in their order, whatever the number of threads.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor

from gnnkg.ops import cpu
from gnnkg.ops.update.reference import EPSILON

NODES = 16  # in a task
ZERO, ONE, TINY = np.float32(0), np.float32(1), np.float32(EPSILON)


class Kernels(NamedTuple):
    forward: Any
    backward: Any


@cache
def kernels(has_parts: bool, has_norm: bool, has_shortcut: bool) -> Kernels:
    """The loops for what is given; conditions on it are decided when a kernel compiles."""

    @cpu.kernel
    def forward(first, last, own, parts, scales, weight, bias, shortcut, total, out):
        num_nodes, num_states, width = own.shape
        inverse = ONE / np.float32(width)
        for task in range(first, last):
            for n in range(task * NODES, min((task + 1) * NODES, num_nodes)):
                for b in range(num_states):
                    row, result = total[n, b], out[n, b]
                    for d in range(width):
                        row[d] = own[n, b, d]
                    if has_parts:
                        for k in range(scales.shape[1]):
                            scale, part = scales[n, k], parts[n, b, k]
                            for d in range(width):
                                row[d] += scale * part[d]
                    if has_norm:
                        mean = ZERO
                        for d in range(width):
                            mean += row[d]
                        mean *= inverse
                        variance = ZERO
                        for d in range(width):
                            away = row[d] - mean
                            variance += away * away
                        factor = ONE / np.sqrt(variance * inverse + TINY)
                        for d in range(width):
                            result[d] = (row[d] - mean) * factor * weight[d] + bias[d]
                    else:
                        for d in range(width):
                            result[d] = row[d]
                    for d in range(width):
                        value = result[d]
                        value = ZERO if value <= ZERO else value  # a NaN comes through
                        if has_shortcut:
                            value += shortcut[n, b, d]
                        result[d] = value

    @cpu.kernel
    def backward(first, last, gradient, total, scales, weight, bias, d_own, d_parts, d_weight, d_bias):
        num_nodes, num_states, width = total.shape
        inverse = ONE / np.float32(width)
        for task in range(first, last):
            if has_norm:
                sum_weight, sum_bias = d_weight[task], d_bias[task]
                for d in range(width):
                    sum_weight[d] = sum_bias[d] = ZERO
            for n in range(task * NODES, min((task + 1) * NODES, num_nodes)):
                for b in range(num_states):
                    row, given, result = total[n, b], gradient[n, b], d_own[n, b]
                    if has_norm:
                        mean = ZERO
                        for d in range(width):
                            mean += row[d]
                        mean *= inverse
                        variance = ZERO
                        for d in range(width):
                            away = row[d] - mean
                            variance += away * away
                        factor = ONE / np.sqrt(variance * inverse + TINY)
                        along, level = ZERO, ZERO
                        for d in range(width):
                            normed = (row[d] - mean) * factor
                            passed = ZERO if normed * weight[d] + bias[d] <= ZERO else given[d]
                            sum_weight[d] += passed * normed
                            sum_bias[d] += passed
                            passed *= weight[d]
                            result[d] = passed
                            level += passed
                            along += passed * normed
                        level *= inverse
                        along *= inverse
                        for d in range(width):
                            normed = (row[d] - mean) * factor
                            result[d] = factor * (result[d] - level - normed * along)
                    else:
                        for d in range(width):
                            result[d] = ZERO if row[d] <= ZERO else given[d]
                    if has_parts:
                        for k in range(scales.shape[1]):
                            scale, part = scales[n, k], d_parts[n, b, k]
                            for d in range(width):
                                part[d] = scale * result[d]

    return Kernels(forward, backward)


def forward(
    own: Float[Tensor, "N B D"],
    parts: Float[Tensor, "N B K D"] | None,
    scales: Float[Tensor, "N K"] | None,
    weight: Float[Tensor, " D"] | None,
    bias: Float[Tensor, " D"] | None,
    shortcut: Float[Tensor, "N B D"] | None,
) -> tuple[Float[Tensor, "N B D"], Float[Tensor, "N B D"]]:
    """The result, and the sum before the norm. Inputs are float32 and contiguous."""
    loops = kernels(parts is not None, weight is not None, shortcut is not None)
    total, out = cpu.empty(*own.shape), cpu.empty(*own.shape)
    arrays = own, _or_empty(parts, 4), _or_empty(scales, 2), _or_empty(weight, 1), _or_empty(bias, 1)
    cpu.run(loops.forward, _tasks(own), 8 * own.numel(), *arrays, _or_empty(shortcut, 3), total, out)
    return out, total


def backward(
    gradient: Float[Tensor, "N B D"],
    total: Float[Tensor, "N B D"],
    scales: Float[Tensor, "N K"] | None,
    weight: Float[Tensor, " D"] | None,
    bias: Float[Tensor, " D"] | None,
) -> tuple[
    Float[Tensor, "N B D"], Float[Tensor, "N B K D"] | None, Float[Tensor, " D"] | None, Float[Tensor, " D"] | None
]:
    """The gradients of own, parts, weight and bias."""
    loops = kernels(scales is not None, weight is not None, False)
    num_nodes, num_states, width = total.shape
    d_own = cpu.empty(*total.shape)
    d_parts = None if scales is None else cpu.empty(num_nodes, num_states, scales.shape[1], width)
    sums = [cpu.empty(_tasks(total) if weight is not None else 0, width) for _ in range(2)]
    arrays = gradient, total, _or_empty(scales, 2), _or_empty(weight, 1), _or_empty(bias, 1)
    cpu.run(loops.backward, _tasks(total), 12 * total.numel(), *arrays, d_own, _or_empty(d_parts, 4), *sums)
    d_weight, d_bias = (None, None) if weight is None else (each.sum(0) for each in sums)
    return d_own, d_parts, d_weight, d_bias


def _tasks(like: Tensor) -> int:
    return -(-like.shape[0] // NODES)


def _or_empty(tensor: Tensor | None, dims: int) -> Tensor:
    """An array for a kernel that will not read it."""
    return cpu.empty(*[0] * dims) if tensor is None else tensor
