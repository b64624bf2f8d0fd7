"""Gradients of products with tables of one query each, on CPU: one pass over the table in place of two of torch's."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from torch import Tensor

from gnnkg.ops import cpu

ZERO = np.float32(0)


def backward(
    query: Float[Tensor, "B D"], tail: Float[Tensor, "B K D"], gradient: Float[Tensor, "B K"]
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B K D"]]:
    """Of sum_d query_d * tail_d, to query and tail. Float32."""
    d_query, d_tail = cpu.empty(*query.shape), cpu.empty(*tail.shape)
    arrays = query.contiguous(), tail.contiguous(), gradient.contiguous(), d_query, d_tail
    cpu.run(_backward, len(query), 2 * tail.numel(), *arrays)
    return d_query, d_tail


@cpu.kernel
def _backward(first, last, query, tail, gradient, d_query, d_tail):
    """A task is a query."""
    for b in range(first, last):
        q, dq = query[b], d_query[b]
        dq[:] = ZERO
        for k in range(tail.shape[1]):
            g, t, dt = gradient[b, k], tail[b, k], d_tail[b, k]
            for d in range(len(q)):
                dt[d] = g * q[d]
            for d in range(len(q)):
                dq[d] += g * t[d]
