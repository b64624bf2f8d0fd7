"""The definition, in torch."""

from __future__ import annotations

from math import prod

import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.ops.hashing import keys


def uniform(shape: tuple[int, ...], seed: int) -> Float[Tensor, ...]:
    """Multiples of 2^-24: the upper 24 bits of the places' keys (``gnnkg.ops.hashing``), by a seed of 64 bits. Different
    places of a call have different keys.
    """
    return (keys(torch.arange(prod(shape)), seed) >> 8).float().mul(2.0**-24).view(shape)
