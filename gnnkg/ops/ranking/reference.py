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
    """How each truth compares with the candidates that are not known answers."""

    above: Int[Tensor, " B"]
    equal: Int[Tensor, " B"]
    """other candidates of the truth's score"""
    candidates: Int[Tensor, " B"]
    """how many were compared, the truth included"""


def rank_counts(
    scores: Float[Tensor, "Q N"],
    truth: Int[Tensor, " B"],
    known: tuple[Int[Tensor, " B+1"], Int[Tensor, " T"]],
    row: Int[Tensor, " B"],
) -> RankCounts:
    starts, tails = known
    scores = scores[row]
    query = torch.arange(len(truth), device=scores.device)
    left_out = torch.zeros_like(scores, dtype=torch.bool)
    left_out[torch.repeat_interleave(query, starts.diff()), tails] = True
    left_out[query, truth] = True  # the truth is no rival of its own
    own = scores[query, truth].unsqueeze(1)
    above = ~(scores <= own) & ~left_out
    equal = (scores == own) & ~left_out
    return RankCounts(above.sum(1), equal.sum(1), (~left_out).sum(1) + 1)
