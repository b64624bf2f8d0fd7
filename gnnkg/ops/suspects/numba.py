"""Suspects on CPU; a task is a block of queries. Sums are in double precision."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gnnkg.ops import cpu
from gnnkg.ops.suspects.reference import Kinds

BLOCK = 16  # queries in a task
ONE = np.float32(1)


def suspects(
    scores: Float[Tensor, "B C"],
    value: Float[Tensor, "B C"],
    mask: Bool[Tensor, "B C"] | None,
    truth: Int[Tensor, " B"],
    mu: float,
    additive: bool,
    below_mean: bool,
) -> Kinds:
    num_queries, tasks, work = len(scores), -(-len(scores) // BLOCK), 4 * scores.numel()
    kinds = Kinds(*(torch.empty(scores.shape, dtype=torch.bool) for _ in range(3)))
    count, mean, squares = (np.empty(num_queries) for _ in range(3))
    least, scores = np.empty(num_queries, np.float32), scores.contiguous()
    mask = torch.ones(scores.shape, dtype=torch.bool) if mask is None else mask.contiguous()
    given = scores, value.contiguous(), mask, truth.contiguous()
    cpu.run(_measure, tasks, work, *given, kinds.known, kinds.others, count, least, mean, squares)
    with np.errstate(all="ignore"):  # what is infinite or no number makes no suspects
        if additive:
            slack: np.ndarray | np.float32 = np.float32(mu)
        else:
            total = count.sum()
            among = squares.sum() + (count * (mean - (count * mean).sum() / total) ** 2).sum()
            slack = (mu / 5 * np.where(count == 1, np.sqrt(among / total), mean - least)).astype(np.float32)
        lowest = least - slack
        highest = mean.astype(np.float32) if below_mean else np.full(num_queries, np.inf, np.float32)
    cpu.run(_divide, tasks, work, scores, lowest, highest, kinds.suspects, kinds.others)
    return kinds


@cpu.kernel
def _measure(first, last, scores, value, mask, truth, known, negatives, count, least, mean, squares):
    """Which columns are known and which negatives, and of each query's known tails their number, the least and the mean of their
    scores, and the sum of squared differences from it.
    """
    num_queries, num_columns = scores.shape
    for b in range(first * BLOCK, min(last * BLOCK, num_queries)):
        s, number, total, lowest = scores[b], 0, 0.0, np.float32(np.inf)
        for c in range(num_columns):
            own = c == truth[b]
            known[b, c] = own or (value[b, c] == ONE and not mask[b, c])
            negatives[b, c] = mask[b, c] and not own
            if known[b, c]:
                number += 1
                total += np.float64(s[c])
                if s[c] < lowest or s[c] != s[c]:  # a score that is no number stays
                    lowest = s[c]
        middle, far = total / number, 0.0
        for c in range(num_columns):
            if known[b, c]:
                far += (np.float64(s[c]) - middle) ** 2
        count[b], least[b], mean[b], squares[b] = number, lowest, middle, far


@cpu.kernel
def _divide(first, last, scores, low, high, suspects, others):
    """Negatives, which ``others`` holds, between low and high become suspects."""
    num_queries, num_columns = scores.shape
    for b in range(first * BLOCK, min(last * BLOCK, num_queries)):
        for c in range(num_columns):
            between = scores[b, c] >= low[b] and scores[b, c] <= high[b]
            suspects[b, c] = others[b, c] and between
            others[b, c] = others[b, c] and not between
