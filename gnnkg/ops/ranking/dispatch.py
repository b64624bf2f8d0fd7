"""The public op: inputs are checked and a backend is chosen by the rule of ``gnnkg.ops.backends``."""

from __future__ import annotations

from importlib import import_module

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnnkg.ops import backends
from gnnkg.ops.ranking.reference import RankCounts


@torch.no_grad()
def rank_counts(
    scores: Float[Tensor, "Q N"],
    truth: Int[Tensor, " B"],
    known: tuple[Int[Tensor, " B+1"], Int[Tensor, " T"]],
    row: Int[Tensor, " B"] | None = None,
) -> RankCounts:
    """How many candidates score above truth[b], and how many the same, in row ``row[b]`` of the scores.

    ``known`` is a ``gnnkg.graph.Known``: the tails to leave out, ascending for each truth, which it may hold and which always
    takes part. ``row`` is for queries with several truths; None: every truth has its own row, in order. Raises ValueError
    where shapes disagree or an id is out of range.
    """
    starts, tails = known
    if row is None:
        if len(scores) != len(truth):
            raise ValueError(
                f"{len(scores)} rows of scores for {len(truth)} truths: say by row= which belongs to which"
            )
        row = torch.arange(len(truth), device=truth.device)
    if len(row) != len(truth) or len(starts) != len(truth) + 1:
        raise ValueError(
            f"{len(truth)} truths need as many rows, not {len(row)}, and one more start of known tails, not {len(starts)}"
        )
    if bool((starts.diff() < 0).any()) or int(starts[0]) != 0 or int(starts[-1]) != len(tails):
        raise ValueError(f"the starts of known tails must ascend from 0 to their number, {len(tails)}")
    _within("truth", truth, scores.shape[1])
    _within("known tail", tails, scores.shape[1])
    _within("row", row, scores.shape[0])
    backend = import_module(f"gnnkg.ops.ranking.{backends.choose(scores)}")
    if scores.dtype in (torch.float16, torch.bfloat16):
        scores = scores.float()
    return backend.rank_counts(scores, truth.long(), (starts.long(), tails.long()), row.long())


def _within(name: str, ids: Tensor, limit: int) -> None:
    if not len(ids):
        return
    low, high = (int(end) for end in ids.aminmax())
    if low < 0 or high >= limit:
        raise ValueError(f"each {name} must lie in [0, {limit}), but there is {low if low < 0 else high}")
