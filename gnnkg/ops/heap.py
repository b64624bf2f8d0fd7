"""The system's memory between the steps of a training."""

from __future__ import annotations

import ctypes
import sys

KEPT, MAPPED = 1 << 30, 32 << 20
"""bytes that may lie free before some are given back, and from which on an array is given back for itself"""
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""what ``mallopt`` of the GNU C library calls these"""


def keep() -> bool:
    """Keeps what this process frees, up to KEPT bytes, for what it asks for next, and says whether the system can.

    A training step frees all that it made, and the C library of Linux then gives most of it back to the system: the next step's
    page faults may cost it an eighth of its time. It is a setting of the whole process, and lasts.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and bool(mallopt(TRIM_THRESHOLD, KEPT) and mallopt(MMAP_THRESHOLD, MAPPED))
