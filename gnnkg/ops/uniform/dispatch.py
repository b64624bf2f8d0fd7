"""The public op: a backend is chosen."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.ops import backends
from gnnkg.ops.uniform import reference


def uniform(like: Tensor) -> Float[Tensor, ...]:
    """Numbers in [0, 1) in the shape of ``like``, on its device and of its type; torch's generator says which."""
    if not like.is_cpu or like.dtype != torch.float32:
        return torch.rand_like(like)
    seed = int(torch.randint(2**62, ()))
    if backends.choose(like) != "numba":
        return reference.uniform(tuple(like.shape), seed)
    from gnnkg.ops.uniform import numba

    return numba.uniform(tuple(like.shape), seed)
