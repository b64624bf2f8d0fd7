"""The definition, in torch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Kinds(NamedTuple):
    """What the columns of a score matrix hold; those that neither take part nor are known are of no kind."""

    known: Bool[Tensor, "B C"]
    """a known tail of the query: its truth, and what is labelled 1 and takes no part"""
    suspects: Bool[Tensor, "B C"]
    """the negatives that may be true"""
    others: Bool[Tensor, "B C"]
    """the other negatives"""


def suspects(
    scores: Float[Tensor, "B C"],
    value: Float[Tensor, "B C"],
    mask: Bool[Tensor, "B C"] | None,
    truth: Int[Tensor, " B"],
    mu: float,
    additive: bool,
    below_mean: bool,
) -> Kinds:
    """As ``gnnkg.ops.suspects.suspects``, whose docstring says what is computed."""
    active = torch.ones_like(value, dtype=torch.bool) if mask is None else mask
    own = torch.zeros_like(active).scatter(1, truth.unsqueeze(1), True)
    known, negatives = ((value == 1) & ~active) | own, active & ~own
    count = known.sum(1, keepdim=True)
    least = torch.where(known, scores, torch.inf).amin(1, keepdim=True)
    mean = torch.where(known, scores.double(), 0).sum(1, keepdim=True) / count  # of equal scores, that score
    if additive or not len(scores):  # of no scores there is no deviation
        slack = torch.full_like(mean, mu)
    else:
        slack = mu / 5 * torch.where(count == 1, scores[known].double().std(correction=0), mean - least)
    flagged = negatives & (scores >= least - slack.to(scores.dtype))
    if below_mean:
        flagged = flagged & (scores <= mean.to(scores.dtype))
    return Kinds(known, flagged, negatives & ~flagged)
