"""Random words by a seed and a place: what is drawn so need not be stored, and is the same on every device.

All in 32 bits, for a seed of 64 bits and an integer ``place`` below 2^32:

    start = mix(seed),  salt = mix((seed >> 32) ^ start)
    key   = mix(mix(place + start) ^ salt)               no two places share one

``mix`` is Wellons's lowbias32 (https://github.com/skeeto/hash-prospector, public domain), and ``stir`` is ``mix`` without its
first shift, for what is mixed already. ``numba_hashing.py`` has them for kernels.
"""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor

WORD = 0xFFFFFFFF
FIRST, SECOND = 0x7FEB352D, 0x846CA68B

Word = TypeVar("Word", int, Tensor)


def stir(x: Word) -> Word:
    x = x * FIRST & WORD
    x = (x ^ x >> 15) * SECOND & WORD
    return x ^ x >> 16


def mix(x: Word) -> Word:
    x = x & WORD
    return stir(x ^ x >> 16)


def start_and_salt(seed: int) -> tuple[int, int]:
    """What the keys of a seed begin with."""
    start = mix(seed)
    return start, mix(seed >> 32 ^ start)


def keys(place: Tensor, seed: int) -> Tensor:
    """A word of its own for each integer below 2^32, which stands for a pair, say."""
    start, salt = start_and_salt(seed)
    return mix(mix(place + start) ^ salt)
