"""The words of ``hashing.py`` in CPU kernels, as numbers without a sign."""

from __future__ import annotations

import numpy as np

from gnnkg.ops import hashing
from gnnkg.ops.cpu import kernel

word = np.uint32
FIRST, SECOND = word(hashing.FIRST), word(hashing.SECOND)
FIFTEEN, SIXTEEN = word(15), word(16)


@kernel
def mix(x):
    x = word(x ^ word(x >> SIXTEEN))
    x = word(x * FIRST)  # Numba widens to 64 bits, and LLVM narrows again
    x = word(word(x ^ word(x >> FIFTEEN)) * SECOND)
    return word(x ^ word(x >> SIXTEEN))


@kernel
def key_of(start, salt, place):
    return mix(word(mix(word(place + start)) ^ salt))
