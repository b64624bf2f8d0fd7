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
    scores: Float[Tensor, "B N"], truth: Int[Tensor, " B"], known: tuple[Int[Tensor, " B+1"], Int[Tensor, " T"]]
) -> RankCounts:
    """``known`` is a ``gnnkg.graph.Known``, ascending for each query; it may hold the truth, which always takes part.

    Scores may lie in memory query by query or candidate by candidate. Raises ValueError where shapes disagree or an id is
    not in [0, N).
    """
    starts, tails = known
    _check(scores, truth, starts, tails)
    backend = import_module(f"gnnkg.ops.ranking.{backends.choose(scores)}")
    if scores.dtype in (torch.float16, torch.bfloat16):
        scores = scores.float()
    return backend.rank_counts(scores, truth.long(), (starts.long(), tails.long()))


def _check(scores: Tensor, truth: Tensor, starts: Tensor, tails: Tensor) -> None:
    num_queries, num_candidates = scores.shape
    if truth.shape != (num_queries,) or starts.shape != (num_queries + 1,):
        raise ValueError(
            f"scores of {num_queries} queries need as many truths and one more start of known tails, "
            f"not {tuple(truth.shape)} and {tuple(starts.shape)}"
        )
    if int(starts[0]) != 0 or int(starts[-1]) != len(tails) or bool((starts.diff() < 0).any()):
        raise ValueError(f"starts of known tails must ascend from 0 to their number, {len(tails)}")
    for name, ids in (("truth", truth), ("known tail", tails)):
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < num_candidates:
            raise ValueError(f"each {name} must lie in [0, {num_candidates}), but there is {_outside(ids, num_candidates)}")


def _outside(ids: Tensor, limit: int) -> int:
    return int(ids.min()) if int(ids.min()) < 0 else int(ids.max())
