"""What products need beside matrix products, on CPU, in one pass where torch takes two or three."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.ops import cpu
from gnnkg.ops.matching.numba import strided

ZERO = np.float32(0)
BLOCK = 8
"""queries in a task"""


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


def join(plain: Float[Tensor, "B X"], kept: Float[Tensor, "B X"], lost: Float[Tensor, " B"], lead: int) -> None:
    """plain += kept, then kept += lost, from column ``lead`` on: what masks keep and take out, to sums without and with them."""
    cpu.run(_join, -(-len(plain) // BLOCK), 2 * plain.numel(), plain, kept, lost, lead)


@cpu.kernel
def _join(first, last, plain, kept, lost, lead):
    for b in range(first * BLOCK, min(last * BLOCK, len(plain))):
        p, k = plain[b, lead:], kept[b, lead:]
        for j in range(len(p)):
            p[j] += k[j]
        for j in range(len(k)):
            k[j] += lost[b]


def summed(
    of_plain: Float[Tensor, "B K"], of_kept: Float[Tensor, "B K"]
) -> tuple[Float[Tensor, "B K"], Float[Tensor, "B 1"]]:
    """of_plain + of_kept, and the sum of each row of the latter; the gradients may be strided."""
    out, rows = cpu.empty(*of_plain.shape), torch.empty(len(of_plain), 1)
    arrays = strided(of_plain), strided(of_kept), out, rows
    cpu.run(_summed, -(-len(out) // BLOCK), 2 * out.numel(), *arrays)
    return out, rows


@cpu.kernel
def _summed(first, last, of_plain, of_kept, out, rows):
    for b in range(first * BLOCK, min(last * BLOCK, len(out))):
        p, k = of_plain[0][b * of_plain[1] :], of_kept[0][b * of_kept[1] :]
        result, total = out[b], ZERO
        for j in range(len(result)):
            result[j] = p[j] + k[j]
        for j in range(len(result)):
            total += k[j]
        rows[b, 0] = total
