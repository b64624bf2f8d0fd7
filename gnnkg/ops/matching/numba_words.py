"""The hash words of masks (``drawn.py``) as vectors of 16 integers."""

from __future__ import annotations

import numpy as np

from gnnkg.ops.matching import drawn
from gnnkg.ops.simd import inlined, splat

FORMS = {"both": 0, "block": 1, "low": 2, "high": 3}
BOTH, BLOCK, LOW, HIGH = FORMS.values()
FIRST, SECOND = np.array([drawn.FIRST, drawn.SECOND], np.uint32).view(np.int32)
FIFTEEN, SIXTEEN, LOW_HALF = np.int32(15), np.int32(16), np.int32(drawn.STEPS - 1)


@inlined
def stir(x):
    x = x * splat(FIRST)
    x = (x ^ (x >> splat(FIFTEEN))) * splat(SECOND)
    return x ^ (x >> splat(SIXTEEN))


@inlined
def mix(x):
    return stir(x ^ (x >> splat(SIXTEEN)))


@inlined
def half_of(low, x):
    return x & splat(LOW_HALF) if low else x >> splat(SIXTEEN)
