"""The definition, in torch."""

from __future__ import annotations

from math import prod

import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.ops.matching.drawn import mix, start_and_salt


def uniform(shape: tuple[int, ...], seed: int) -> Float[Tensor, ...]:
    """Multiples of 2^-24: the upper 24 bits of mix(mix(place + start) ^ salt), with ``start`` and ``salt`` of a seed of 64 bits, as
    keys of masks are made (``gnnkg.ops.matching.drawn``). Different places of a call have different words.
    """
    start, salt = start_and_salt(seed)
    word = mix(mix(torch.arange(prod(shape)) + start) ^ salt)
    return (word >> 8).float().mul(2.0**-24).view(shape)
