"""Partners and shares on CPU; a task is a block of queries."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gnnkg.ops import cpu

BLOCK = 16  # queries in a task


def partners(
    scores: Float[Tensor, "B C"],
    known: Bool[Tensor, "B C"],
    near: Bool[Tensor, "B C"],
    others: Bool[Tensor, "B C"],
    draw: Float[Tensor, "B C"],
    below_mean: bool,
) -> Int[Tensor, "B C"]:
    """-1 where no column of the row is known."""
    out = torch.empty(scores.shape, dtype=torch.int64)
    given = [each.contiguous() for each in (scores, known, near, others, draw)]
    cpu.run(_partners, -(-len(scores) // BLOCK), 8 * scores.numel(), *given, below_mean, out)
    return out


@cpu.kernel
def _sort(values, columns, ascending):
    """Columns by their values, what is no number last, equal ones in their order: each goes behind all that come before it."""
    for i in range(len(values)):
        place, value = 0, values[i]
        if value == value:
            for j in range(len(values)):
                place += values[j] < value
            for j in range(i):
                place += values[j] == value
        else:
            for j in range(len(values)):
                place += values[j] == values[j] or j < i
        ascending[place] = columns[i]


@cpu.kernel
def _partners(first, last, scores, known, near, others, draw, below_mean, out):
    num_queries, num_columns = scores.shape
    columns, lowest, chosen = (
        np.empty(num_columns, np.int64),
        np.empty(num_columns, np.int64),
        np.empty(num_columns, np.int64),
    )
    values = np.empty(num_columns, np.float32)
    for b in range(first * BLOCK, min(last * BLOCK, num_queries)):
        s, result = scores[b], out[b]
        count, total, wanted = 0, 0, 0
        # without branches, which could not be foreseen: what does not count leaves its place to the next
        for c in range(num_columns):
            columns[count], values[count] = c, s[c]
            count += known[b, c]
            chosen[total] = c
            total += others[b, c]
            wanted += near[b, c]
        size = (count + 1) // 2
        if wanted:
            _sort(values[:count], columns, lowest)
            if below_mean:
                size = _up_to_mean(values[:count], s, lowest)
        number = 0
        for c in range(num_columns):
            result[c] = c
            if near[b, c]:
                result[c] = lowest[min(np.int64(draw[b, c] * np.float32(size)), size - 1)] if count else -1
            if others[b, c]:
                if total > 1:
                    drawn = min(np.int64(draw[b, c] * np.float32(total - 1)), total - 2)
                    result[c] = chosen[drawn + (drawn >= number)]
                number += 1


@cpu.kernel
def _up_to_mean(values, scores, ascending):
    """How many columns are not above the mean of all; one at least."""
    total, size = 0.0, 0
    for value in values:
        total += np.float64(value)
    while size < len(values) and np.float64(scores[ascending[size]]) <= total / len(values):
        size += 1
    return max(size, 1)


def shares(
    draw: Float[Tensor, "B C"], quantiles: Float[Tensor, " Q"], mixed: Bool[Tensor, "B C"], larger: bool
) -> Float[Tensor, "B C"]:
    out = cpu.empty(*draw.shape)
    given = draw.contiguous(), quantiles.contiguous(), mixed.contiguous()
    cpu.run(_shares, -(-len(draw) // BLOCK), 4 * draw.numel(), *given, larger, out)
    return out


@cpu.kernel
def _shares(first, last, draw, quantiles, mixed, larger, out):
    num_queries, num_columns = draw.shape
    steps, one = len(quantiles) - 1, np.float32(1)
    for b in range(first * BLOCK, min(last * BLOCK, num_queries)):
        for c in range(num_columns):
            place = draw[b, c] * np.float32(steps)
            below = min(np.int64(place), steps - 1)
            low, high = quantiles[below], quantiles[below + 1]
            share = low + (place - np.float32(below)) * (high - low)
            if larger:
                share = max(share, one - share)
            out[b, c] = share if mixed[b, c] else one
