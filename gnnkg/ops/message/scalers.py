"""How many messages a node gets, and PNA's factors of it."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnnkg.ops.message.adjacency import Adjacency


def degrees(edges: Adjacency, weight: Float[Tensor, " E"] | None = None) -> Int[Tensor, " N"]:
    """The number of in-edges of each node whose weight is not 0."""
    if weight is None:
        return edges.starts.diff()
    return torch.bincount(edges.target[weight != 0], minlength=edges.num_nodes)


def degree_scales(count: Int[Tensor, " N"], dtype: torch.dtype = torch.float32) -> Float[Tensor, "N 3"]:
    """PNA's scalers of nodes that get ``count`` messages: 1, s and 1 / max(s, .01), where s = log(count + 1) / its mean.

    Corso et al., NeurIPS 2020, eq. 5. ``count`` is the in-degree, without the message of a boundary condition.
    """
    log = torch.log1p(count.to(dtype))
    scale = log / log.mean().clamp(min=torch.finfo(dtype).tiny)
    return torch.stack([torch.ones_like(scale), scale, 1 / scale.clamp(min=1e-2)], 1)
