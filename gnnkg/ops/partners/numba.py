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
def _partners(first, last, scores, known, near, others, draw, below_mean, out):
    num_queries, num_columns = scores.shape
    lowest, chosen = np.empty(num_columns, np.int64), np.empty(num_columns, np.int64)
    for b in range(first * BLOCK, min(last * BLOCK, num_queries)):
        s, result = scores[b], out[b]
        count, total, sum_known = 0, 0, 0.0
        for c in range(num_columns):
            if known[b, c]:
                place = count  # known columns by their scores, equal ones in their order
                while place > 0 and s[lowest[place - 1]] > s[c]:
                    lowest[place] = lowest[place - 1]
                    place -= 1
                lowest[place] = c
                count += 1
                sum_known += np.float64(s[c])
            if others[b, c]:
                chosen[total] = c
                total += 1
        size = (count + 1) // 2
        if below_mean:
            mean = sum_known / max(count, 1)
            size = 0
            while size < count and np.float64(s[lowest[size]]) <= mean:
                size += 1
            size = max(size, 1)
        number = 0
        for c in range(num_columns):
            result[c] = c
            if near[b, c]:
                result[c] = lowest[min(np.int64(draw[b, c] * np.float32(size)), size - 1)] if count else -1
            if others[b, c]:
                if total > 1:
                    drawn = min(np.int64(draw[b, c] * np.float32(total - 1)), total - 2)
                    result[c] = chosen[drawn + 1 if drawn >= number else drawn]
                number += 1


def shares(
    draw: Float[Tensor, "B C"], quantiles: Float[Tensor, " Q"], mixed: Bool[Tensor, "B C"], larger: bool
) -> Float[Tensor, "B C"]:
    out = torch.empty(draw.shape)
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
