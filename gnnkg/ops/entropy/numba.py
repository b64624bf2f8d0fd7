"""Cross-entropy on CPU: a task is a block of queries, whose scores stay in the first-level cache. The gradient takes each
exponential again.

exp(x), x <= 0, is 2^n exp(r) with n = round(x log2(e)) and |r| <= log(2) / 2: 2^n is written into the bits of a float, and exp(r) a
polynomial of least maximum error (2e-9). Below -87 it stays at exp(-87), 2e-38.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gnnkg.ops import cpu
from gnnkg.ops.simd import as_float, wide

BLOCK = 8  # queries in a task
ZERO, LEAST, LOG2E = np.float32(0), np.float32(-87), np.float32(1.4426950408889634)
LN2_HIGH, LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
E0, E1, E2, E3, E4, E5, E6 = (
    np.float32(c) for c in (1, 1.00000003632, 0.49999992079, 0.1666642017, 0.04166822564, 0.00837481578, 0.00138368418)
)
EXPONENT, PLACE, SIGN = np.int32(127), np.int32(23), np.int32(31)
LARGEST, LOWEST = np.int32(0x7FFFFFFF), np.int32(-0x7F800001)
"""the bits that tell numbers below zero apart in size, and what stands for -infinity"""
EVERY = torch.ones(1, 1, dtype=torch.bool)


def forward(
    scores: Float[Tensor, "B C"], value: Float[Tensor, "B C"], mask: Bool[Tensor, "B C"] | None
) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"], Float[Tensor, " B"], Float[Tensor, " B"]]:
    """The losses, and for the gradients m = max_j s_j, 1 / sum_j exp(s_j - m) and sum_j y_j, over the columns that take part."""
    out, top, inverse, total = (cpu.empty(len(scores)) for _ in range(4))
    arrays = scores.contiguous(), *_rows(value, mask), out, top, inverse, total
    cpu.run(_forward if mask is None else _masked_forward, -(-len(scores) // BLOCK), 8 * scores.numel(), *arrays)
    return out, top, inverse, total


def backward(
    scores: Float[Tensor, "B C"],
    value: Float[Tensor, "B C"],
    mask: Bool[Tensor, "B C"] | None,
    top: Float[Tensor, " B"],
    inverse: Float[Tensor, " B"],
    total: Float[Tensor, " B"],
    gradient: Float[Tensor, " B"],
) -> Float[Tensor, "B C"]:
    out = cpu.empty(*scores.shape)
    arrays = scores.contiguous(), *_rows(value, mask), top, inverse, total, gradient.contiguous(), out
    cpu.run(_backward if mask is None else _masked_backward, -(-len(scores) // BLOCK), 8 * scores.numel(), *arrays)
    return out


def _rows(value: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Labels as one row where all queries have the same, and the mask; contiguous."""
    if value.stride(0) == 0 or len(value) == 1:
        value = value[:1]
    return value.contiguous(), EVERY if mask is None else mask.contiguous()


def _ordered(function: Callable[..., Any]) -> Any:
    """A part of the kernels whose sums keep their order: in another, scores far from zero would cost digits."""
    return cpu.kernel(function, {"contract"}, forceinline=True)


@_ordered
def _minus(a, b):
    return a - b


@_ordered
def _exp(x):
    x = LEAST if x < LEAST else x
    n = np.rint(x * LOG2E)
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    p = E0 + r * (E1 + r * (E2 + r * (E3 + r * (E4 + r * (E5 + r * E6)))))
    return p * as_float(np.int32(np.int32(np.int32(n) + EXPONENT) << PLACE))


def _kernels(masked):
    @cpu.kernel
    def forward(first, last, scores, value, mask, out, top, inverse, total):
        wide()
        num_queries, num_columns = scores.shape
        for b in range(first * BLOCK, min(last * BLOCK, num_queries)):
            s, y, m = scores[b], value[b if len(value) > 1 else 0], mask[b if masked else 0]
            words, top_word = s.view(np.int32), LOWEST
            for j in range(num_columns):  # as integers of the same order: with floats it would be no vector loop
                here = words[j] ^ ((words[j] >> SIGN) & LARGEST)
                here = here if not masked or m[j] else LOWEST
                top_word = here if here > top_word else top_word
            most = as_float(top_word ^ ((top_word >> SIGN) & LARGEST))
            summed = ZERO
            for j in range(num_columns):
                each = _exp(_minus(s[j], most))
                summed += each if not masked or m[j] else ZERO
            log_sum, loss, weight = np.log(summed), ZERO, ZERO
            for j in range(num_columns):
                part = y[j] * _minus(log_sum, _minus(s[j], most))
                loss += part if not masked or m[j] else ZERO
                weight += y[j] if not masked or m[j] else ZERO
            out[b], top[b], inverse[b], total[b] = loss, most, np.float32(1) / summed, weight

    @cpu.kernel
    def backward(first, last, scores, value, mask, top, inverse, total, gradient, out):
        wide()
        num_queries, num_columns = scores.shape
        for b in range(first * BLOCK, min(last * BLOCK, num_queries)):
            s, y, m, row = scores[b], value[b if len(value) > 1 else 0], mask[b if masked else 0], out[b]
            g, most, weight = gradient[b], top[b], total[b] * inverse[b]
            for j in range(num_columns):
                each = g * (weight * _exp(_minus(s[j], most)) - y[j])
                row[j] = each if not masked or m[j] else ZERO

    return forward, backward


_forward, _backward = _kernels(False)
_masked_forward, _masked_backward = _kernels(True)
