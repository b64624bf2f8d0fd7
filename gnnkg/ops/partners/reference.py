"""The definition, in torch."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def partners(
    scores: Float[Tensor, "B C"],
    known: Bool[Tensor, "B C"],
    near: Bool[Tensor, "B C"],
    others: Bool[Tensor, "B C"],
    draw: Float[Tensor, "B C"],
    below_mean: bool = False,
) -> Int[Tensor, "B C"]:
    """As ``gnnkg.ops.partners.partners``, whose docstring says what is computed."""
    partner = torch.arange(scores.shape[1], device=scores.device).expand_as(scores)
    if near.any():
        partner = torch.where(near, _lowest(scores, known, draw, below_mean), partner)
    return torch.where(others, _another(others, draw), partner)


def _lowest(scores: Tensor, known: Tensor, draw: Tensor, below_mean: bool) -> Int[Tensor, "B C"]:
    columns = known.any(0).nonzero().squeeze(1)
    among, known = scores[:, columns], known[:, columns]
    count = known.sum(1, keepdim=True)
    order = among.argsort(dim=1, stable=True)  # what is no number last
    order = order.gather(1, (~known).gather(1, order).byte().argsort(dim=1, stable=True))  # the known ones first
    if below_mean:
        mean = among.double().masked_fill(~known, 0).sum(1, keepdim=True) / count  # of equal scores, that score
        size = ((among <= mean) & known).sum(1, keepdim=True).clamp(min=1)
    else:
        size = (count + 1) // 2
    drawn = (draw * size).long().minimum(size - 1)
    return columns[order.gather(1, drawn)]


def _another(chosen: Tensor, draw: Tensor) -> Int[Tensor, "B C"]:
    columns = torch.arange(chosen.shape[1], device=chosen.device).expand(chosen.shape)
    number = chosen.cumsum(1) - 1  # of a chosen column among those of its row, from 0
    total = number[:, -1:] + 1
    drawn = (draw * (total - 1)).long().minimum(total - 2).clamp(min=0)
    drawn = torch.where((drawn >= number) & (total > 1), drawn + 1, drawn)
    column = columns.new_zeros(len(chosen), chosen.shape[1] + 1)  # of each number; the others are written behind
    column.scatter_(1, torch.where(chosen, number, chosen.shape[1]), columns)
    return column.gather(1, drawn)


def shares(
    draw: Float[Tensor, "B C"], quantiles: Float[Tensor, " Q"], mixed: Bool[Tensor, "B C"], larger: bool
) -> Float[Tensor, "B C"]:
    """As ``gnnkg.ops.partners.shares``, whose docstring says what is computed."""
    place = draw * (len(quantiles) - 1)
    below = place.long().clamp(max=len(quantiles) - 2)
    drawn = quantiles[below].lerp(quantiles[below + 1], place - below)
    return torch.where(mixed, torch.maximum(drawn, 1 - drawn) if larger else drawn, 1)
