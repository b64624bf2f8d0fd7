"""The definition of the blend, in torch."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def blend(
    own: Float[Tensor, "B D"],
    tail: Float[Tensor, "S K D"],
    first: Int[Tensor, " X"],
    second: Int[Tensor, "B X"],
    share: Float[Tensor, "B X"],
    period: float | None = None,
) -> Float[Tensor, "B X D"]:
    """As ``gnnkg.ops.blend.blend``, whose docstring says what is computed."""
    num_queries = len(own)
    columns = torch.cat([own.unsqueeze(1), tail.repeat_interleave(num_queries // len(tail), 0)], 1)  # (B, 1 + K, D)
    ours = columns.index_select(1, first)
    row = columns.shape[1] * torch.arange(num_queries, device=own.device).unsqueeze(1)
    theirs = columns.flatten(0, 1).index_select(0, (row + second).flatten()).view_as(ours)
    if period is not None:
        turns = ((theirs - ours) / period).detach().round()
        turns[..., turns.shape[-1] // 2 :] = 0
        theirs = theirs - period * turns
    return theirs.lerp(ours, share.unsqueeze(2))
