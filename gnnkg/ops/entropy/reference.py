"""The definition, in torch; differentiable any number of times."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def cross_entropy(
    scores: Float[Tensor, "B C"], value: Float[Tensor, "B C"], mask: Bool[Tensor, "B C"] | None = None
) -> Float[Tensor, " B"]:
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
        value = torch.where(mask, value, 0)
    log_share = torch.log_softmax(scores, dim=1)
    if mask is not None:
        log_share = torch.where(mask, log_share, 0)
    return -(value * log_share).sum(1)
