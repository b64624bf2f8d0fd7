"""Rank counts on CPU: each score is compared where it lies, then the known tails are looked up and taken back."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnnkg.ops import cpu
from gnnkg.ops.ranking.reference import RankCounts


@cpu.kernel
def _count(first, last, scores, truth, starts, tails, row, above, equal, candidates):
    """A task is a truth."""
    num_candidates = scores.shape[1]
    for b in range(first, last):
        score, answer = scores[row[b]], truth[b]
        own = score[answer]
        more, same = np.int32(0), np.int32(0)  # counters as wide as a score, for speed
        for n in range(num_candidates):
            more = np.int32(more + np.int32(not (score[n] <= own)))  # so that a NaN counts
            same = np.int32(same + np.int32(score[n] == own))
        more -= np.int32(own != own)  # the truth is no rival of its own
        same -= np.int32(own == own)
        num_left_out = 0
        for i in range(starts[b], starts[b + 1]):
            tail = tails[i]
            if tail == answer or (i > starts[b] and tail == tails[i - 1]):
                continue
            more -= np.int32(not (score[tail] <= own))
            same -= np.int32(score[tail] == own)
            num_left_out += 1
        above[b], equal[b], candidates[b] = more, same, num_candidates - num_left_out


def rank_counts(
    scores: Float[Tensor, "Q N"],
    truth: Int[Tensor, " B"],
    known: tuple[Int[Tensor, " B+1"], Int[Tensor, " T"]],
    row: Int[Tensor, " B"],
) -> RankCounts:
    counts = RankCounts(*torch.empty(3, len(truth), dtype=torch.int64))
    arrays = [array.contiguous() for array in (scores, truth, *known, row)]
    cpu.run(_count, len(truth), len(truth) * scores.shape[1], *arrays, *counts)
    return counts
