"""The inner loops of ``numba.py`` for tables of few queries; each compiles when first called.

    out[b, k] = sum_u weight[b or k, u] * phi(query[b, u] - scale[b, u] * tail[k, u])

and, where ``both`` are asked for, the sum without weights too, as ``bare``, from the same phi. Tables are read in place, (S, K, D):
the inner loop runs over units. A modulus takes two planes, real parts [0, U) and imaginary parts [U, 2U).
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np

from gnnkg.ops.cpu import kernel

L1, SQUARED, MODULUS, SINE = range(4)
OPS = {"l1": L1, "squared": SQUARED, "modulus": MODULUS, "sine": SINE}

Weights = Literal["none", "query", "candidate"]

COLUMNS = 256
"""candidates in a task"""

ZERO, HALF, TINY = np.float32(0), np.float32(0.5), np.float32(1e-12)
TURN = np.float32(1 / (2 * np.pi))
# sin(pi f) = f * S(f^2) and cos(pi f) = C(f^2) for |f| <= 1/2, least maximum error (3e-8 and 2e-8)
SINE_TERMS = tuple(np.float32(c) for c in (3.1415927, -5.1677103, 2.5500774, -0.5982913, 0.07765766))
COSINE_TERMS = tuple(np.float32(c) for c in (1, -4.934802, 4.058709, -1.335212, 0.23493731, -0.024396325))
S0, S1, S2, S3, S4 = SINE_TERMS
C0, C1, C2, C3, C4, C5 = COSINE_TERMS


@kernel
def with_sign(value, a):
    """value * sign(a), with sign(0) = sign(NaN) = 0"""
    return value if a > ZERO else (-value if a < ZERO else ZERO)


@kernel
def phi(op, a, b):
    """One unit's share of the sum, for the difference a (and b, the imaginary part, in a modulus)."""
    if op == L1:
        return abs(a)
    if op == SQUARED:
        return a * a
    if op == MODULUS:
        return np.sqrt(a * a + b * b + TINY)
    turns = a * TURN
    f = turns - np.rint(turns)  # |sin(pi x)| has period 1
    f2 = f * f
    return abs(f * (S0 + f2 * (S1 + f2 * (S2 + f2 * (S3 + f2 * S4)))))


@kernel
def slope(op, a, b, gradient):
    """gradient * d phi / d a; for a modulus, the factor that a and b are still to be multiplied by."""
    if op == L1:
        return with_sign(gradient, a)
    if op == SQUARED:
        return (gradient + gradient) * a
    if op == MODULUS:
        return gradient / np.sqrt(a * a + b * b + TINY)
    turns = a * TURN
    f = turns - np.rint(turns)
    f2 = f * f
    return with_sign(HALF * gradient, f) * (C0 + f2 * (C1 + f2 * (C2 + f2 * (C3 + f2 * (C4 + f2 * C5)))))


class Kernels(NamedTuple):
    forward: Any
    backward: Any


@cache
def kernels(op: int, weights: Weights, both: bool) -> Kernels:
    """The loops for an op, without weights, with those of queries (G, U), of which query b has row place[b], or with those of
    candidates (S, K, U).

    ``bare`` and its gradient are read and written where ``both`` are asked for, weights where there are some; elsewhere any array
    will do. Conditions on the arguments are decided when a kernel compiles. Sums are formed in a variable before they are added
    to an array: otherwise the loops do not vectorise.
    """
    two = op == MODULUS
    scaled = op == SQUARED
    of_queries, of_candidates = weights == "query", weights == "candidate"

    @kernel
    def forward(first, last, query, scale, tail, weight, place, lost, lead, offset, factor, out, bare):
        """tail (S, K, D); a task is a query and COLUMNS candidates. What is written, ``lead`` columns further, is offset + factor *
        the sum, which has ``lost`` (B, 1) in it where there are weights of queries.
        """
        num_units = tail.shape[2] // 2 if two else tail.shape[2]
        num_candidates = tail.shape[1]
        group = query.shape[0] // tail.shape[0]
        column_blocks = (num_candidates + COLUMNS - 1) // COLUMNS
        for task in range(first, last):
            b = task // column_blocks
            s = b // group
            k0 = task % column_blocks * COLUMNS
            qa, qb = query[b, :num_units], query[b, num_units:]
            if scaled:
                c = scale[b]
            if of_queries:
                w = weight[place[b]]
            for k in range(k0, min(k0 + COLUMNS, num_candidates)):
                ta, tb = tail[s, k, :num_units], tail[s, k, num_units:]
                if of_candidates:
                    w = weight[s, k]
                total, bare_total = ZERO, ZERO
                for u in range(num_units):
                    value = phi(op, qa[u] - (c[u] * ta[u] if scaled else ta[u]), qb[u] - tb[u] if two else ZERO)
                    total += w[u] * value if of_queries or of_candidates else value
                    bare_total += value
                out[b, lead + k] = offset + factor * (total + lost[b, 0] if of_queries else total)
                if both:
                    bare[b, lead + k] = offset + factor * bare_total

    @kernel
    def backward(first, last, query, scale, tail, weight, place, gradient, bare, d_query, d_scale, d_tail):
        """tail, d_tail (S, K, D); d_query (B, D), d_scale (B, U); a task is a table."""
        width = tail.shape[2]
        num_units = width // 2 if two else width
        num_candidates = tail.shape[1]
        group = query.shape[0] // tail.shape[0]
        values = np.empty(width, np.float32)  # loops that write to one array each vectorise
        va, vb = values[:num_units], values[num_units:]
        for b in range(first * group, last * group):
            s = b // group
            d_query[b] = ZERO
            dq = d_query[b]
            qa, qb = query[b, :num_units], query[b, num_units:]
            if scaled:
                d_scale[b] = ZERO
                c, dc = scale[b], d_scale[b]
            if of_queries:
                w = weight[place[b]]
            for k in range(num_candidates):
                ta, tb = tail[s, k, :num_units], tail[s, k, num_units:]
                if of_candidates:
                    w = weight[s, k]
                g, g_bare = gradient[0][b * gradient[1] + k], bare[0][b * bare[1] + k] if both else ZERO
                for u in range(num_units):
                    a = qa[u] - (c[u] * ta[u] if scaled else ta[u])
                    by = g * w[u] + g_bare if of_queries or of_candidates else g + g_bare
                    va[u] = slope(op, a, qb[u] - tb[u] if two else ZERO, by)
                if two:
                    for u in range(num_units):
                        vb[u] = va[u] * (qb[u] - tb[u])
                    for u in range(num_units):
                        va[u] *= qa[u] - ta[u]
                dt = d_tail[s, k]
                if b == s * group:
                    dt[:] = ZERO
                for d in range(width):
                    dq[d] += values[d]
                if scaled:
                    for u in range(num_units):
                        dc[u] -= values[u] * ta[u]
                    for u in range(num_units):
                        dt[u] -= values[u] * c[u]
                else:
                    for d in range(width):
                        dt[d] -= values[d]

    return Kernels(forward, backward)
