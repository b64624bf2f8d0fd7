"""The definition of filtered rank counts, in torch, with a mask of the scores' size.

From the counts follow the ranks: optimistic 1 + above, pessimistic 1 + above + equal, realistic 1 + above + equal / 2. A NaN
never helps a model: a candidate of score NaN is above, and every candidate is above a truth of score NaN.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class RankCounts(NamedTuple):
    """How the truth of each query compares with the candidates that are not known answers."""

    above: Int[Tensor, " B"]
    equal: Int[Tensor, " B"]
    """other candidates of the truth's score"""
    candidates: Int[Tensor, " B"]
    """how many were compared, the truth included"""


def rank_counts(
    scores: Float[Tensor, "B N"], truth: Int[Tensor, " B"], known: tuple[Int[Tensor, " B+1"], Int[Tensor, " T"]]
) -> RankCounts:
    """``known`` is a ``gnnkg.graph.Known``, ascending for each query; it may hold the truth, which always takes part."""
    starts, tails = known
    query = torch.arange(len(scores), device=scores.device)
    left_out = torch.zeros_like(scores, dtype=torch.bool)
    left_out[torch.repeat_interleave(query, starts.diff()), tails] = True
    left_out[query, truth] = True  # not compared with itself
    own = scores[query, truth].unsqueeze(1)
    above = ~(scores <= own) & ~left_out
    equal = (scores == own) & ~left_out
    return RankCounts(above.sum(1), equal.sum(1), (~left_out).sum(1) + 1)
