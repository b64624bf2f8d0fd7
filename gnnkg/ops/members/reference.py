"""The definitions, in torch."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
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
