"""The hash on CPU; a task is a block of numbers."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from torch import Tensor

from gnnkg.ops import cpu
from gnnkg.ops.hashing import start_and_salt
from gnnkg.ops.numba_hashing import key_of

BLOCK = 4096
EIGHT, STEP = np.uint32(8), np.float32(2.0**-24)


def uniform(shape: tuple[int, ...], seed: int) -> Float[Tensor, ...]:
    out = cpu.empty(*shape)
    numbers = (np.uint32(each) for each in start_and_salt(seed))
    cpu.run(_fill, -(-out.numel() // BLOCK), out.numel(), *numbers, out.view(-1))
    return out


@cpu.kernel
def _fill(first, last, start, salt, out):
    begin = first * BLOCK
    part = out[begin : last * BLOCK]
    for i in range(len(part)):
        word = key_of(start, salt, np.uint32(begin + i))
        part[i] = np.float32(np.int32(word >> EIGHT)) * STEP
