"""Rank counts on GPU, in Triton: one program a truth, which reads its row of scores once and then looks up the known tails."""

from __future__ import annotations

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from gnnkg.ops.ranking.reference import RankCounts


@triton.jit
@no_type_check
def _count(
    scores, truth, starts, tails, row, above, equal, candidates,
    num_candidates, query_stride, candidate_stride, block: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(0).to(tl.int64)
    scores += tl.load(row + b) * query_stride
    answer = tl.load(truth + b)
    own = tl.load(scores + answer * candidate_stride)
    more = tl.zeros((block,), dtype=tl.int64)
    same = tl.zeros((block,), dtype=tl.int64)
    for n0 in range(0, num_candidates, block):
        n = n0 + tl.arange(0, block).to(tl.int64)
        inside = (n < num_candidates) & (n != answer)
        score = tl.load(scores + n * candidate_stride, mask=inside, other=0.0)
        more += tl.where(inside & ((score <= own) == 0), 1, 0)  # so that a NaN counts
        same += tl.where(inside & (score == own), 1, 0)
    compared = tl.zeros((block,), dtype=tl.int64)
    start, stop = tl.load(starts + b), tl.load(starts + b + 1)
    for i0 in range(start, stop, block):
        i = i0 + tl.arange(0, block)
        tail = tl.load(tails + i, mask=i < stop, other=0)
        before = tl.load(tails + i - 1, mask=(i < stop) & (i > start), other=-1)
        known = (i < stop) & (tail != answer) & (tail != before)
        score = tl.load(scores + tail * candidate_stride, mask=known, other=0.0)
        more -= tl.where(known & ((score <= own) == 0), 1, 0)
        same -= tl.where(known & (score == own), 1, 0)
        compared += tl.where(known, 1, 0)
    tl.store(above + b, tl.sum(more, axis=0))
    tl.store(equal + b, tl.sum(same, axis=0))
    tl.store(candidates + b, num_candidates - tl.sum(compared, axis=0))


def rank_counts(
    scores: Float[Tensor, "Q N"],
    truth: Int[Tensor, " B"],
    known: tuple[Int[Tensor, " B+1"], Int[Tensor, " T"]],
    row: Int[Tensor, " B"],
) -> RankCounts:
    counts = RankCounts(*torch.empty(3, len(truth), dtype=torch.int64, device=scores.device))
    if len(truth):
        arrays = [array.contiguous() for array in (truth, *known, row)]
        options: dict[str, Any] = {"block": 1024, "enable_fp_fusion": True}
        arguments = [scores, *arrays, *counts, scores.shape[1], *scores.stride()]
        with torch.cuda.device_of(scores):
            _count[(len(truth),)](*arguments, **options)
    return counts
