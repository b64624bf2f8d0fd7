"""The inner loops of ``numba_drawn.py`` for tables of few queries, with a mask for each pair that is drawn where it is used.

    out[b, k] = sum_u phi(query[b, u] - scale[b, u] * z[b, k, u]),   z = tail[k, u] where the mask is 1, own[b, u] where it is 0

and for ``dot`` the sum of query * z. Where ``both`` are asked for, ``bare`` is the sum with z = tail. How masks are drawn is in
``drawn.py``. Tables are read in place, as in ``numba_kernels.py``.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gnnkg.ops.cpu import kernel
from gnnkg.ops.matching import drawn
from gnnkg.ops.matching.numba_kernels import COLUMNS, MODULUS, SQUARED, ZERO, phi, slope
from gnnkg.ops.matching.numba_kernels import OPS as DISTANCES
from gnnkg.ops.numba_hashing import key_of

OPS = {**DISTANCES, "dot": len(DISTANCES)}

ONE = np.float32(1)
RANDOM, FIXED = np.uint32(drawn.RANDOM), np.uint32(drawn.FIXED)


@kernel
def kept(mine, theirs, threshold):
    """Whether a component stays the candidate's, by the words of the query and of the candidate."""
    return np.int32(np.uint32(np.uint32(mine) * np.uint32(theirs))) < threshold


@kernel
def fill_words(first, last, start, salt, places, out):
    """out (rows, D), for ``places`` (D,), where rows begin; a task is a row."""
    for row in range(first, last):
        for d in range(len(places)):
            out[row, d] = np.int32(np.uint32((key_of(start, salt, np.uint32(places[d] + row)) & RANDOM) | FIXED))


class Kernels(NamedTuple):
    forward: Any
    backward: Any


@cache
def kernels(op: int, both: bool) -> Kernels:
    """The loops for an op. Conditions on it are decided when a kernel compiles.

    ``query_words`` (B, D) and ``tail_words`` (K, D) are those of ``drawn.py``. ``bare`` and its gradient are read and written where
    ``both`` are asked for; elsewhere any array will do.
    """
    dot = op == OPS["dot"]
    two = op == MODULUS
    scaled = op == SQUARED

    @kernel
    def draw(query_words, tail_words, b, k, threshold, keep):
        """The mask of one pair, as numbers."""
        for d in range(len(keep)):
            keep[d] = ONE if kept(query_words[b, d], tail_words[k, d], threshold) else ZERO

    @kernel
    def forward(
        first, last, query, scale, own, tail, query_words, tail_words, threshold, lead, offset, factor, out, bare
    ):
        """tail (S, K, D); a task is a query and COLUMNS candidates. What is written, ``lead`` columns further, is offset + factor *
        the sum.
        """
        num_candidates, width = tail.shape[1:]
        half = width // 2
        group = query.shape[0] // tail.shape[0]
        column_blocks = (num_candidates + COLUMNS - 1) // COLUMNS
        keep, z = np.empty(width, np.float32), np.empty(width, np.float32)
        of_own, here = np.empty(width, np.float32), np.empty(width, np.float32)
        for task in range(first, last):
            b = task // column_blocks
            s = b // group
            k0 = task % column_blocks * COLUMNS
            q, p = query[b], own[b]
            if scaled:
                c = scale[b]
            if not two:
                for d in range(width):
                    of_own[d] = q[d] * p[d] if dot else phi(op, q[d] - (c[d] * p[d] if scaled else p[d]), ZERO)
            for k in range(k0, min(k0 + COLUMNS, num_candidates)):
                t = tail[s, k]
                draw(query_words, tail_words, b, k, threshold, keep)
                total, bare_total = ZERO, ZERO
                if two:
                    for d in range(width):
                        z[d] = t[d] if keep[d] > ZERO else p[d]
                    for u in range(half):
                        total += phi(op, q[u] - z[u], q[half + u] - z[half + u])
                    if both:
                        for u in range(half):
                            bare_total += phi(op, q[u] - t[u], q[half + u] - t[half + u])
                else:
                    for d in range(width):
                        here[d] = q[d] * t[d] if dot else phi(op, q[d] - (c[d] * t[d] if scaled else t[d]), ZERO)
                    for d in range(width):
                        total += here[d] if keep[d] > ZERO else of_own[d]
                    for d in range(width):
                        bare_total += here[d]
                out[b, lead + k] = offset + factor * total
                if both:
                    bare[b, lead + k] = offset + factor * bare_total

    @kernel
    def backward(
        first,
        last,
        query,
        scale,
        own,
        tail,
        query_words,
        tail_words,
        threshold,
        gradient,
        bare,
        d_query,
        d_scale,
        d_own,
        d_tail,
    ):
        """tail, d_tail (S, K, D); d_query, d_scale, d_own (B, D); a task is a table."""
        num_candidates, width = tail.shape[1:]
        half = width // 2
        group = query.shape[0] // tail.shape[0]
        keep, z = np.empty(width, np.float32), np.empty(width, np.float32)
        values, lost = np.empty(width, np.float32), np.empty(width, np.float32)
        for b in range(first * group, last * group):
            s = b // group
            q, p, dq, dp = query[b], own[b], d_query[b], d_own[b]
            dq[:] = ZERO
            dp[:] = ZERO
            lost[:] = ZERO
            if scaled:
                c, dc = scale[b], d_scale[b]
                dc[:] = ZERO
            for k in range(num_candidates):
                t, dt = tail[s, k], d_tail[s, k]
                g, g_bare = gradient[0][b * gradient[1] + k], bare[0][b * bare[1] + k] if both else ZERO
                if b == s * group:
                    dt[:] = ZERO
                draw(query_words, tail_words, b, k, threshold, keep)
                if two:
                    for d in range(width):
                        z[d] = t[d] if keep[d] > ZERO else p[d]
                    for u in range(half):
                        values[u] = slope(op, q[u] - z[u], q[half + u] - z[half + u], g)
                    values[half:] = values[:half]
                    for d in range(width):
                        values[d] *= z[d] - q[d]
                    for d in range(width):
                        dq[d] -= values[d]
                    for d in range(width):
                        dt[d] += keep[d] * values[d]
                    for d in range(width):
                        dp[d] += (ONE - keep[d]) * values[d]
                    if both:
                        for u in range(half):
                            values[u] = slope(op, q[u] - t[u], q[half + u] - t[half + u], g_bare)
                        values[half:] = values[:half]
                        for d in range(width):
                            values[d] *= t[d] - q[d]
                        for d in range(width):
                            dq[d] -= values[d]
                        for d in range(width):
                            dt[d] += values[d]
                    continue
                for d in range(width):
                    lost[d] += (ONE - keep[d]) * g
                for d in range(width):
                    values[d] = g_bare + keep[d] * g
                if dot:
                    for d in range(width):
                        dq[d] += values[d] * t[d]
                    for d in range(width):
                        dt[d] += values[d] * q[d]
                else:
                    for d in range(width):
                        values[d] = slope(op, q[d] - (c[d] * t[d] if scaled else t[d]), ZERO, values[d])
                    for d in range(width):
                        dq[d] += values[d]
                    if scaled:
                        for d in range(width):
                            dc[d] -= values[d] * t[d]
                        for d in range(width):
                            values[d] *= c[d]
                    for d in range(width):
                        dt[d] -= values[d]
            if dot:
                for d in range(width):
                    dq[d] += lost[d] * p[d]
                for d in range(width):
                    dp[d] += lost[d] * q[d]
            elif not two:
                for d in range(width):
                    values[d] = slope(op, q[d] - (c[d] * p[d] if scaled else p[d]), ZERO, lost[d])
                for d in range(width):
                    dq[d] += values[d]
                if scaled:
                    for d in range(width):
                        dc[d] -= values[d] * p[d]
                    for d in range(width):
                        values[d] *= c[d]
                for d in range(width):
                    dp[d] -= values[d]

    return Kernels(forward, backward)
