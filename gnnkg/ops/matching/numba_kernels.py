"""The inner loops of ``numba.py``, made for one op and one layout of weights at a time; each compiles when first called.

    out[b, k] = sum_u weight[b or k, u] * phi(query[b, u] - scale[b, u] * tail[k, u])

and, where ``both`` are asked for, the sum without weights too, as ``bare``, from the same phi.

Two families. *Panels* serve tables that many queries share: tails lie in blocks of candidates, each transposed, (S, blocks,
D, columns), so the inner loop runs over candidates with the query's component in a register; the backward pass is parallel
over units, because a unit's share of the gradients of queries and tails belongs to it alone. *Rows* serve tables of few
queries, which they read once and in place, (S, K, D): the inner loop runs over units. A modulus takes two planes, real parts
[0, U) and imaginary parts [U, 2U).

All in one file: Numba's cache on disk notices a change only in the file that a kernel stands in.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gnnkg.ops.cpu import kernel

L1, SQUARED, MODULUS, SINE = range(4)
OPS = {"l1": L1, "squared": SQUARED, "modulus": MODULUS, "sine": SINE}

ROWS, COLUMNS, UNITS = 16, 256, 4  # blocks of queries and candidates that stay in the first-level cache

ZERO, HALF, TINY = np.float32(0), np.float32(0.5), np.float32(1e-12)
TURN = np.float32(1 / (2 * np.pi))
# sin(pi f) = f * S(f^2) and cos(pi f) = C(f^2) for |f| <= 1/2, least maximum error (3e-8 and 2e-8)
S0, S1, S2, S3, S4 = (np.float32(c) for c in (3.1415927, -5.1677103, 2.5500774, -0.5982913, 0.07765766))
C0, C1, C2, C3, C4, C5 = (np.float32(c) for c in (1, -4.934802, 4.058709, -1.335212, 0.23493731, -0.024396325))


@kernel
def with_sign(value, a):
    """value * sign(a), with sign(0) = 0"""
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
    return with_sign(HALF * gradient * (C0 + f2 * (C1 + f2 * (C2 + f2 * (C3 + f2 * (C4 + f2 * C5))))), f)


@kernel
def part(gradient, b, k0, k1):
    """Row b of a gradient, from k0 to k1; it is (its numbers in memory, the numbers from row to row, columns)."""
    start = b * gradient[1]
    return gradient[0][start + k0 : start + k1]


class Kernels(NamedTuple):
    panel_forward: Any
    panel_backward: Any
    row_forward: Any
    row_backward: Any


@cache
def kernels(op: int, per_candidate: bool, both: bool) -> Kernels:
    """The loops for an op, with weights (B, U) or, ``per_candidate``, (S, U, K) for panels and (S, K, U) for rows.

    ``bare`` and its gradient are read and written where ``both`` are asked for; elsewhere any array will do. Conditions on the
    arguments are decided when a kernel compiles. Sums are formed in a variable before they are added to an array: otherwise the
    loops do not vectorise.
    """
    two = op == MODULUS
    scaled = op == SQUARED

    @kernel
    def panel_forward(first, last, query, scale, tail, weight, out, bare):
        """A task is a block of ROWS queries and of candidates."""
        num_blocks, width, columns = tail.shape[1:]
        num_units = width // 2 if two else width
        num_candidates = out.shape[1]
        group = query.shape[0] // tail.shape[0]
        row_blocks = (group + ROWS - 1) // ROWS
        sums = np.empty((ROWS, columns), np.float32)
        bare_sums = np.empty((ROWS if both else 1, columns), np.float32)
        for task in range(first, last):
            s = task // (row_blocks * num_blocks)
            block = task // row_blocks % num_blocks
            b0 = s * group + task % row_blocks * ROWS
            b1 = min(b0 + ROWS, (s + 1) * group)
            k0 = block * columns
            k1 = min(k0 + columns, num_candidates)
            sums[:] = ZERO
            bare_sums[:] = ZERO
            for u in range(num_units):
                ta = tail[s, block, u]
                if two:
                    tb = tail[s, block, num_units + u]
                if per_candidate:
                    wk = weight[s, block, u]
                for b in range(b0, b1):
                    row, bare_row = sums[b - b0], bare_sums[b - b0 if both else 0]
                    qa = query[b, u]
                    if two:
                        qb = query[b, num_units + u]
                    if scaled:
                        c = scale[b, u]
                    if not per_candidate:
                        w = weight[b, u]
                    for k in range(k1 - k0):
                        value = phi(op, qa - (c * ta[k] if scaled else ta[k]), qb - tb[k] if two else ZERO)
                        weighted = (wk[k] if per_candidate else w) * value
                        row[k] += weighted
                        if both:
                            bare_row[k] += value
            for b in range(b0, b1):
                out[b, k0:k1] = sums[b - b0, : k1 - k0]
                if both:
                    bare[b, k0:k1] = bare_sums[b - b0, : k1 - k0]

    @kernel
    def panel_backward(first, last, query, scale, tail, weight, gradient, bare, d_query, d_scale, d_tail):
        """d_query (D, B) and d_scale (U, B) are transposed; a task is UNITS units of a table."""
        num_blocks, width, columns = tail.shape[1:]
        num_units = width // 2 if two else width
        num_candidates = gradient[2]
        group = query.shape[0] // tail.shape[0]
        unit_blocks = (num_units + UNITS - 1) // UNITS
        for task in range(first, last):
            s = task // unit_blocks
            u0 = task % unit_blocks * UNITS
            u1 = min(u0 + UNITS, num_units)
            b0, b1 = s * group, (s + 1) * group
            for u in range(u0, u1):
                d_query[u, b0:b1] = ZERO
                if two:
                    d_query[num_units + u, b0:b1] = ZERO
                if scaled:
                    d_scale[u, b0:b1] = ZERO
            for block in range(num_blocks):
                k0 = block * columns
                k1 = min(k0 + columns, num_candidates)
                for u in range(u0, u1):
                    d_tail[s, block, u] = ZERO
                    if two:
                        d_tail[s, block, num_units + u] = ZERO
                for r0 in range(b0, b1, ROWS):
                    for u in range(u0, u1):
                        ta, da = tail[s, block, u], d_tail[s, block, u]
                        if two:
                            tb, db = tail[s, block, num_units + u], d_tail[s, block, num_units + u]
                        if per_candidate:
                            wk = weight[s, block, u]
                        for b in range(r0, min(r0 + ROWS, b1)):
                            g, g_bare = part(gradient, b, k0, k1), part(bare, b, k0, k1)
                            qa = query[b, u]
                            if two:
                                qb = query[b, num_units + u]
                            if scaled:
                                c = scale[b, u]
                            if not per_candidate:
                                w = weight[b, u]
                            sum_a, sum_b, sum_c = ZERO, ZERO, ZERO
                            for k in range(k1 - k0):
                                a = qa - (c * ta[k] if scaled else ta[k])
                                b_part = qb - tb[k] if two else ZERO
                                by = g[k] * (wk[k] if per_candidate else w)
                                value = slope(op, a, b_part, by + g_bare[k] if both else by)
                                if two:
                                    value_b = value * b_part
                                    sum_b += value_b
                                    db[k] -= value_b
                                    value = value * a
                                sum_a += value
                                if scaled:
                                    sum_c -= value * ta[k]
                                    da[k] -= value * c
                                else:
                                    da[k] -= value
                            d_query[u, b] += sum_a
                            if two:
                                d_query[num_units + u, b] += sum_b
                            if scaled:
                                d_scale[u, b] += sum_c

    @kernel
    def row_forward(first, last, query, scale, tail, weight, out, bare):
        """tail (S, K, D); a task is a query and COLUMNS candidates."""
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
            if not per_candidate:
                w = weight[b]
            for k in range(k0, min(k0 + COLUMNS, num_candidates)):
                ta, tb = tail[s, k, :num_units], tail[s, k, num_units:]
                if per_candidate:
                    w = weight[s, k]
                total, bare_total = ZERO, ZERO
                for u in range(num_units):
                    value = phi(op, qa[u] - (c[u] * ta[u] if scaled else ta[u]), qb[u] - tb[u] if two else ZERO)
                    total += w[u] * value
                    bare_total += value
                out[b, k] = total
                if both:
                    bare[b, k] = bare_total

    @kernel
    def row_backward(first, last, query, scale, tail, weight, gradient, bare, d_query, d_scale, d_tail):
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
            if not per_candidate:
                w = weight[b]
            for k in range(num_candidates):
                ta, tb = tail[s, k, :num_units], tail[s, k, num_units:]
                if per_candidate:
                    w = weight[s, k]
                g, g_bare = gradient[0][b * gradient[1] + k], bare[0][b * bare[1] + k] if both else ZERO
                for u in range(num_units):
                    a = qa[u] - (c[u] * ta[u] if scaled else ta[u])
                    va[u] = slope(op, a, qb[u] - tb[u] if two else ZERO, g * w[u] + g_bare)
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

    return Kernels(panel_forward, panel_backward, row_forward, row_backward)
