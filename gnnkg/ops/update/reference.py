"""The definition of a layer's update, in torch."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

EPSILON = 1e-5
"""of the layer norm, as in torch"""


def update(
    own: Float[Tensor, "N B D"],
    parts: Float[Tensor, "N B K D"] | None = None,
    scales: Float[Tensor, "N K"] | None = None,
    norm: tuple[Float[Tensor, " D"], Float[Tensor, " D"]] | None = None,
    shortcut: Float[Tensor, "N B D"] | None = None,
) -> Float[Tensor, "N B D"]:
    """As ``gnnkg.ops.update.update``, whose docstring says what is computed."""
    if parts is not None and scales is not None:
        own = own + (parts * scales[:, None, :, None]).sum(2)
    if norm is not None:
        own = functional.layer_norm(own, own.shape[-1:], *norm, eps=EPSILON)
    own = torch.relu(own)
    return own if shortcut is None else own + shortcut
