"""The definitions, in torch."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def ranges(keys: Int[Tensor, " M"], low: Int[Tensor, " B"], width: int) -> tuple[Int[Tensor, " B"], Int[Tensor, " B"]]:
    """As ``gnnkg.ops.members.ranges``, whose docstring says what is computed."""
    return torch.searchsorted(keys, low), torch.searchsorted(keys, low + width)


def members(keys: Int[Tensor, " M"], low: Int[Tensor, " B"], wanted: Int[Tensor, "S K"]) -> Bool[Tensor, "B K"]:
    """As ``gnnkg.ops.members.members``, whose docstring says what is computed."""
    sought = low.unsqueeze(1) + wanted.repeat_interleave(len(low) // max(len(wanted), 1), 0)
    if not len(keys):
        return torch.zeros_like(sought, dtype=torch.bool)
    return keys[torch.searchsorted(keys, sought).clamp_(max=len(keys) - 1)] == sought


def others(
    keys: Int[Tensor, " M"],
    low: Int[Tensor, " B"],
    width: int,
    own: Int[Tensor, " B"],
    uniform: Float[Tensor, "B P"],
) -> tuple[Int[Tensor, "B P"], Bool[Tensor, "B P"]]:
    """As ``gnnkg.ops.members.others``, whose docstring says what is computed."""
    if not len(keys):
        return own.unsqueeze(1).expand(uniform.shape).clone(), torch.zeros_like(uniform, dtype=torch.bool)
    first, end = ranges(keys, low, width)
    mine = torch.searchsorted(keys, low + own)  # where the own number stands, if it does
    held = (keys[mine.clamp(max=len(keys) - 1)] == low + own) & (mine < end)
    count, number = (end - first - held.long()).unsqueeze(1), uniform.shape[1]
    place = torch.arange(number, device=keys.device).expand(uniform.shape)
    drawn = ((place + uniform) * count / number).long()
    place = torch.where(count > number, drawn.minimum(count - 1), place)
    there = place < count
    place = first.unsqueeze(1) + place
    place = place + (held.unsqueeze(1) & (place >= mine.unsqueeze(1)))  # behind the own number, which is left out
    found = keys[place.clamp(0, len(keys) - 1)] - low.unsqueeze(1)
    return torch.where(there, found, own.unsqueeze(1)), there
