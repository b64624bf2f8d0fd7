"""Each query's own tail on CPU, as a candidate, or as what it adds to each mutated candidate of the query.

    out[b] = sum_u phi(query[b, u] - scale[b, u] * own[b, u])
    out[b] = sum_u (1 - weight[place[b], u]) * phi(...)             with weights

A modulus takes two planes, real parts [0, U) and imaginary parts [U, 2U).
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gnnkg.ops.cpu import kernel
from gnnkg.ops.matching.numba_kernels import MODULUS, SQUARED, ZERO, phi, slope

TILE = 16
"""queries in a task"""
ONE = np.float32(1)


class Kernels(NamedTuple):
    forward: Any
    backward: Any


@cache
def kernels(op: int, weighted: bool) -> Kernels:
    """The loops for an op, with weights (G, U) or without; these, and scales, may be any array where they are not read."""
    two = op == MODULUS
    scaled = op == SQUARED

    @kernel
    def forward(first, last, query, scale, own, weight, place, out):
        """out (B, 1)"""
        num_units = query.shape[1] // 2 if two else query.shape[1]
        for b in range(first * TILE, min(last * TILE, len(query))):
            qa, qb, pa, pb = query[b, :num_units], query[b, num_units:], own[b, :num_units], own[b, num_units:]
            if scaled:
                c = scale[b]
            if weighted:
                w = weight[place[b]]
            total = ZERO
            for u in range(num_units):
                value = phi(op, qa[u] - (c[u] * pa[u] if scaled else pa[u]), qb[u] - pb[u] if two else ZERO)
                total += (ONE - w[u]) * value if weighted else value
            out[b, 0] = total

    @kernel
    def backward(first, last, query, scale, own, weight, place, gradient, d_query, d_scale, d_own):
        """Adds to d_query (B, D) and d_scale (B, U), and writes d_own (B, D). ``gradient`` is (its numbers in memory, the numbers
        from row to row, columns): the sum is in each of the columns.
        """
        width = query.shape[1]
        num_units = width // 2 if two else width
        values = np.empty(width, np.float32)
        va, vb = values[:num_units], values[num_units:]
        for b in range(first * TILE, min(last * TILE, len(query))):
            qa, qb, pa, pb = query[b, :num_units], query[b, num_units:], own[b, :num_units], own[b, num_units:]
            dq, dp = d_query[b], d_own[b]
            if scaled:
                c, dc = scale[b], d_scale[b]
            if weighted:
                w = weight[place[b]]
            start, by = b * gradient[1], ZERO
            given = gradient[0][start : start + gradient[2]]
            for k in range(len(given)):
                by += given[k]
            for u in range(num_units):
                a = qa[u] - (c[u] * pa[u] if scaled else pa[u])
                va[u] = slope(op, a, qb[u] - pb[u] if two else ZERO, (ONE - w[u]) * by if weighted else by)
            if two:
                for u in range(num_units):
                    vb[u] = va[u] * (qb[u] - pb[u])
                for u in range(num_units):
                    va[u] *= qa[u] - pa[u]
            for d in range(width):
                dq[d] += values[d]
            for d in range(width):
                dp[d] = -values[d] * c[d] if scaled else -values[d]
            if scaled:
                for u in range(num_units):
                    dc[u] -= values[u] * pa[u]

    return Kernels(forward, backward)
