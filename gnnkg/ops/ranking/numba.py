"""Rank counts on CPU: every score is compared where it lies, then the known tails are taken back by looking them up."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnnkg.ops import cpu
from gnnkg.ops.ranking.reference import RankCounts

CANDIDATES = 512  # of a task, where scores lie candidate by candidate


@cpu.kernel
def _count_rows(first, last, scores, own, above, equal):
    """scores (B, N); a task is a query."""
    num_candidates = scores.shape[1]
    for b in range(first, last):
        row, truth = scores[b], own[b]
        num_above, num_equal = np.int32(0), np.int32(0)  # counters as wide as a score, for speed
        for n in range(num_candidates):
            num_above = np.int32(num_above + np.int32(not (row[n] <= truth)))  # so that a NaN counts
            num_equal = np.int32(num_equal + np.int32(row[n] == truth))
        above[b], equal[b] = num_above, num_equal


@cpu.kernel
def _count_columns(first, last, scores, own, above, equal):
    """scores (N, B); above and equal (tasks, B); a task is CANDIDATES candidates."""
    num_candidates, num_queries = scores.shape
    for task in range(first, last):
        above[task] = 0
        equal[task] = 0
        more, same = above[task], equal[task]
        for n in range(task * CANDIDATES, min((task + 1) * CANDIDATES, num_candidates)):
            row = scores[n]
            for b in range(num_queries):
                more[b] += np.int32(not (row[b] <= own[b]))
                same[b] += np.int32(row[b] == own[b])


@cpu.kernel
def _leave_out(first, last, scores, own, truth, starts, tails, above, equal, candidates):
    """Takes the known tails, and the truth itself, out of the counts; scores (B, N) in any layout; a task is a query."""
    for b in range(first, last):
        start, stop = starts[b], starts[b + 1]
        remaining = scores.shape[1]
        if own[b] == own[b]:
            equal[b] -= 1
        else:
            above[b] -= 1
        for i in range(start, stop):
            tail = tails[i]
            if tail == truth[b] or (i > start and tail == tails[i - 1]):
                continue
            remaining -= 1
            if scores[b, tail] == own[b]:
                equal[b] -= 1
            elif not (scores[b, tail] <= own[b]):
                above[b] -= 1
        candidates[b] = remaining


def rank_counts(
    scores: Float[Tensor, "B N"], truth: Int[Tensor, " B"], known: tuple[Int[Tensor, " B+1"], Int[Tensor, " T"]]
) -> RankCounts:
    """See ``reference.py``."""
    starts, tails = known
    num_queries, num_candidates = scores.shape
    own = scores.gather(1, truth.unsqueeze(1)).squeeze(1)
    by_candidate = scores.t().is_contiguous() and not scores.is_contiguous()
    if by_candidate:
        num_tasks = -(-num_candidates // CANDIDATES)
        partial = torch.empty(2, num_tasks, num_queries, dtype=torch.int32)
        cpu.run(_count_columns, num_tasks, scores.numel(), scores.t(), own, partial[0], partial[1])
        above, equal = partial.sum(1)
    else:
        scores = scores.contiguous()
        above, equal = torch.empty(2, num_queries, dtype=torch.int64)
        cpu.run(_count_rows, num_queries, scores.numel(), scores, own, above, equal)
    candidates = torch.empty(num_queries, dtype=torch.int64)
    arguments = scores, own, truth.contiguous(), starts.contiguous(), tails.contiguous(), above, equal, candidates
    cpu.run(_leave_out, num_queries, len(tails), *arguments)
    return RankCounts(above, equal, candidates)
