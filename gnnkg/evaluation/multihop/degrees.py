"""How true something is, between 0 and 1, from a model's scores; and what holds of "and" and "or".

All degrees are kept as their logarithms, in [-inf, 0], in which neither near-certain nor near-impossible answers tie.
"""

from __future__ import annotations

from functools import reduce
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

Scale = Literal["softmax", "sigmoid", "minmax"]
"""of the scores of a query's N candidates: their share, exp(s) / sum exp; each by itself, 1 / (1 + exp(-s)); or from 0 for
the worst to 1 for the best of those that are finite"""
Logic = Literal["product", "min"]
"""a and b: a b, or the smaller; a or b: a + b - a b, or the larger"""


def degrees(scores: Float[Tensor, "B N"], scale: Scale) -> Float[Tensor, "B N"]:
    """log of the degree to which each candidate answers its query, of which none is NaN. Raises ValueError for another scale.

    A score that is NaN counts as the worst. By softmax candidates of infinite scores share all there is, and where all are the
    worst none answers.
    """
    scores = scores.masked_fill(scores.isnan(), -torch.inf)
    if scale == "softmax":
        best = scores == torch.inf
        scores = torch.where(best.any(1, keepdim=True), torch.where(best, 0.0, -torch.inf).to(scores), scores)
        found = functional.log_softmax(scores, dim=1)
        return found.masked_fill(found.isnan(), -torch.inf)
    if scale == "sigmoid":
        return functional.logsigmoid(scores)
    if scale == "minmax":
        finite = scores.isfinite()
        low = scores.masked_fill(~finite, torch.inf).amin(1, keepdim=True)
        high = scores.masked_fill(~finite, -torch.inf).amax(1, keepdim=True)
        found = torch.where(high > low, (scores - low) / (high - low), torch.ones_like(scores))
        return torch.where(finite, found, (scores > 0).to(scores)).log()
    raise ValueError(f"scores are scaled by softmax, sigmoid or minmax, not {scale!r}")


def both(a: Float[Tensor, "*#X"], b: Float[Tensor, "*#X"], logic: Logic) -> Float[Tensor, "*X"]:
    """log of "a and b" (a t-norm). Raises ValueError for another logic."""
    if logic == "product":
        return a + b
    if logic == "min":
        return torch.minimum(a, b)
    raise ValueError(f"the logic is product or min, not {logic!r}")


def either(a: Float[Tensor, "*#X"], b: Float[Tensor, "*#X"], logic: Logic) -> Float[Tensor, "*X"]:
    """log of "a or b" (the co-norm)."""
    if logic == "product":
        return torch.logaddexp(a, b + torch.log1p(-a.exp()))  # a + b (1 - a)
    if logic == "min":
        return torch.maximum(a, b)
    raise ValueError(f"the logic is product or min, not {logic!r}")


def all_of(parts: list[Tensor], logic: Logic) -> Tensor:
    """log of "all of them"."""
    return reduce(lambda a, b: both(a, b, logic), parts)


def any_of(parts: list[Tensor], logic: Logic) -> Tensor:
    """log of "any of them"."""
    return reduce(lambda a, b: either(a, b, logic), parts)
