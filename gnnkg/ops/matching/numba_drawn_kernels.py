"""The inner loops of ``numba_drawn.py``: matching with a mask for each pair, drawn where it is used (``drawn.py``).

    out[b, k] = sum_u phi(query[b, u] - scale[b, u] * z[b, k, u]),   z = tail[k, u] where the mask is 1, own[b, u] where it is 0

and for ``dot`` the sum of query * z. Where ``both`` are asked for, ``bare`` is the sum with z = tail. A hash word may mask the
components w and W + w of a width 2 W, so loops take both at a time; for a modulus they are one complex number. Panels, of up to
COLUMNS candidates, and rows are like those of ``numba_panels.py`` and ``numba_kernels.py``.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gnnkg.ops.cpu import kernel
from gnnkg.ops.matching import drawn
from gnnkg.ops.matching.drawn import Form
from gnnkg.ops.matching.numba_kernels import COLUMNS, MODULUS, SQUARED, ZERO, phi, slope
from gnnkg.ops.matching.numba_kernels import OPS as DISTANCES
from gnnkg.ops.simd import wide

OPS = {**DISTANCES, "dot": len(DISTANCES)}

word = np.uint32
FIRST, SECOND = word(drawn.FIRST), word(drawn.SECOND)
FIFTEEN, SIXTEEN, LOW = word(15), word(16), word(drawn.STEPS - 1)
ONE = np.float32(1)

ROWS, UNITS = 16, 4
"""blocks of queries, and of words, that stay in the first-level cache with COLUMNS candidates"""


@kernel
def stir(x):
    x = word(x * FIRST)  # Numba widens to 64 bits, and LLVM narrows again
    x = word(word(x ^ word(x >> FIFTEEN)) * SECOND)
    return word(x ^ word(x >> SIXTEEN))


@kernel
def mix(x):
    return stir(word(x ^ word(x >> SIXTEEN)))


@kernel
def pair_keys(first, last, start, salt, keys):
    """A task is a query."""
    wide()
    num_candidates = keys.shape[1]
    for b in range(first, last):
        row, before = keys[b], word(start + word(b * num_candidates))
        for k in range(num_candidates):
            row[k] = mix(word(mix(word(before + word(k))) ^ salt))


@kernel
def kept(low, x, threshold):
    """Whether the low or the high half of a word says 1."""
    return (word(x & LOW) if low else word(x >> SIXTEEN)) < threshold


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
def kernels(op: int, form: Form, both: bool) -> Kernels:
    """The loops for an op and a form of masks. Conditions on these are decided when a kernel compiles.

    ``bare`` and its gradient are read and written where ``both`` are asked for; elsewhere any array will do.
    """
    dot = op == OPS["dot"]
    two = op == MODULUS
    scaled = op == SQUARED
    block = form == "block"
    apart = form in ("low", "high")  # a word for each component
    low_a, low_b = form != "high", form == "low"

    @kernel
    def panel_forward(first, last, query, scale, own, tail, keys, words, threshold, out, bare):
        """tail (S, blocks, D, columns); a task is a block of ROWS queries and of candidates."""
        wide()
        num_blocks, width, columns = tail.shape[1:]
        half = width // 2
        num_candidates = out.shape[1]
        group = query.shape[0] // tail.shape[0]
        row_blocks = (group + ROWS - 1) // ROWS
        sums = np.empty((ROWS, columns), np.float32)
        bare_sums = np.empty((ROWS if both else 1, columns), np.float32)
        for task in range(first, last):
            s = task // (row_blocks * num_blocks)
            panel = task // row_blocks % num_blocks
            b0 = s * group + task % row_blocks * ROWS
            b1 = min(b0 + ROWS, (s + 1) * group)
            k0 = panel * columns
            k1 = min(k0 + columns, num_candidates)
            sums[:] = ZERO
            bare_sums[:] = ZERO
            for w in range(half):
                ta, tb = tail[s, panel, w], tail[s, panel, half + w]
                word_a, word_b = words[w], words[half + w] if apart else words[w]
                for b in range(b0, b1):
                    row, bare_row, key = sums[b - b0], bare_sums[b - b0 if both else 0], keys[b, k0:k1]
                    qa, qb, pa, pb = query[b, w], query[b, half + w], own[b, w], own[b, half + w]
                    ca, cb = (scale[b, w], scale[b, half + w]) if scaled else (ONE, ONE)
                    oa, ob = qa - ca * pa, qb - cb * pb
                    own_a, own_b = (qa * pa, qb * pb) if dot else (phi(op, oa, ZERO), phi(op, ob, ZERO))
                    for k in range(k1 - k0):
                        x = stir(word(key[k] ^ word_a))
                        y = stir(word(key[k] ^ word_b)) if apart else x
                        keep_a = kept(low_a, x, threshold)
                        keep_b = keep_a if block else kept(low_b, y, threshold)
                        if two:
                            a, b_part = qa - ta[k], qb - tb[k]
                            value = phi(op, a if keep_a else oa, b_part if keep_b else ob)
                            if both:
                                bare_value = phi(op, a, b_part)
                        else:
                            if dot:
                                here_a, here_b = qa * ta[k], qb * tb[k]
                            else:
                                here_a = phi(op, qa - (ca * ta[k] if scaled else ta[k]), ZERO)
                                here_b = phi(op, qb - (cb * tb[k] if scaled else tb[k]), ZERO)
                            value = (here_a if keep_a else own_a) + (here_b if keep_b else own_b)
                            bare_value = here_a + here_b
                        row[k] += value
                        if both:
                            bare_row[k] += bare_value
            for b in range(b0, b1):
                out[b, k0:k1] = sums[b - b0, : k1 - k0]
                if both:
                    bare[b, k0:k1] = bare_sums[b - b0, : k1 - k0]

    @kernel
    def panel_backward(
        first, last, query, scale, own, tail, keys, words, threshold, gradient, bare, d_query, d_scale, d_own, d_tail
    ):
        """d_query, d_scale and d_own are transposed, (D, B); a task is UNITS words of a table."""
        wide()
        num_blocks, width, columns = tail.shape[1:]
        half = width // 2
        num_candidates = gradient[2]
        group = query.shape[0] // tail.shape[0]
        unit_blocks = (half + UNITS - 1) // UNITS
        for task in range(first, last):
            s = task // unit_blocks
            w0 = task % unit_blocks * UNITS
            w1 = min(w0 + UNITS, half)
            b0, b1 = s * group, (s + 1) * group
            for w in range(w0, w1):
                for u in (w, half + w):
                    d_query[u, b0:b1] = ZERO
                    d_own[u, b0:b1] = ZERO
                    if scaled:
                        d_scale[u, b0:b1] = ZERO
                    for panel in range(num_blocks):
                        d_tail[s, panel, u] = ZERO
            for panel in range(num_blocks):
                k0 = panel * columns
                k1 = min(k0 + columns, num_candidates)
                for r0 in range(b0, b1, ROWS):
                    for w in range(w0, w1):
                        ta, tb = tail[s, panel, w], tail[s, panel, half + w]
                        da, db = d_tail[s, panel, w], d_tail[s, panel, half + w]
                        word_a, word_b = words[w], words[half + w] if apart else words[w]
                        for b in range(r0, min(r0 + ROWS, b1)):
                            g, g_bare, key = part(gradient, b, k0, k1), part(bare, b, k0, k1), keys[b, k0:k1]
                            qa, qb, pa, pb = query[b, w], query[b, half + w], own[b, w], own[b, half + w]
                            ca, cb = (scale[b, w], scale[b, half + w]) if scaled else (ONE, ONE)
                            oa, ob = qa - ca * pa, qb - cb * pb
                            # by the candidates (times them, for a query that multiplies them) and by the own tail
                            by_a, by_b, times_a, times_b, lost_a, lost_b = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
                            for k in range(k1 - k0):
                                x = stir(word(key[k] ^ word_a))
                                y = stir(word(key[k] ^ word_b)) if apart else x
                                keep_a = kept(low_a, x, threshold)
                                keep_b = keep_a if block else kept(low_b, y, threshold)
                                if two:
                                    a, b_part = qa - ta[k], qb - tb[k]
                                    za, zb = a if keep_a else oa, b_part if keep_b else ob
                                    v = slope(op, za, zb, g[k])
                                    here_a, here_b = v * za if keep_a else ZERO, v * zb if keep_b else ZERO
                                    lost_a += ZERO if keep_a else v * za
                                    lost_b += ZERO if keep_b else v * zb
                                    if both:
                                        v = slope(op, a, b_part, g_bare[k])
                                        here_a += v * a
                                        here_b += v * b_part
                                else:
                                    here_a, here_b = g[k] if keep_a else ZERO, g[k] if keep_b else ZERO
                                    lost_a += g[k] - here_a
                                    lost_b += g[k] - here_b
                                    if both:
                                        here_a += g_bare[k]
                                        here_b += g_bare[k]
                                    if not dot:
                                        here_a = slope(op, qa - (ca * ta[k] if scaled else ta[k]), ZERO, here_a)
                                        here_b = slope(op, qb - (cb * tb[k] if scaled else tb[k]), ZERO, here_b)
                                if dot:
                                    by_a += here_a * ta[k]
                                    by_b += here_b * tb[k]
                                    da[k] += here_a * qa
                                    db[k] += here_b * qb
                                else:
                                    by_a += here_a
                                    by_b += here_b
                                    if scaled:
                                        times_a += here_a * ta[k]
                                        times_b += here_b * tb[k]
                                    da[k] -= here_a * ca
                                    db[k] -= here_b * cb
                            if dot:
                                d_query[w, b] += by_a + lost_a * pa
                                d_query[half + w, b] += by_b + lost_b * pb
                                d_own[w, b] += lost_a * qa
                                d_own[half + w, b] += lost_b * qb
                            else:
                                if not two:
                                    lost_a, lost_b = slope(op, oa, ZERO, lost_a), slope(op, ob, ZERO, lost_b)
                                d_query[w, b] += by_a + lost_a
                                d_query[half + w, b] += by_b + lost_b
                                d_own[w, b] -= lost_a * ca
                                d_own[half + w, b] -= lost_b * cb
                                if scaled:
                                    d_scale[w, b] -= times_a + lost_a * pa
                                    d_scale[half + w, b] -= times_b + lost_b * pb

    @kernel
    def draw(key, words, threshold, bits, keep, half):
        """The mask of one pair, as numbers: keep[: 2 * half]. ``words`` has whole registers, and ``keep`` room for them."""
        for w in range(len(words)):
            bits[w] = stir(word(key ^ words[w]))
        for w in range(len(words)):
            keep[w] = ONE if kept(low_a, bits[w], threshold) else ZERO
        if block:
            keep[half : 2 * half] = keep[:half]
        elif not apart:
            other = keep[half:]
            for w in range(len(words)):
                other[w] = ONE if kept(low_b, bits[w], threshold) else ZERO

    @kernel
    def row_forward(first, last, query, scale, own, tail, keys, words, threshold, out, bare):
        """tail (S, K, D); a task is a query and COLUMNS candidates."""
        num_candidates, width = tail.shape[1:]
        half = width // 2
        group = query.shape[0] // tail.shape[0]
        column_blocks = (num_candidates + COLUMNS - 1) // COLUMNS
        bits, keep = np.empty(len(words), np.uint32), np.empty(half + len(words), np.float32)
        z, of_own, here = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
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
                draw(keys[b, k], words, threshold, bits, keep, half)
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
                out[b, k] = total
                if both:
                    bare[b, k] = bare_total

    @kernel
    def row_backward(
        first, last, query, scale, own, tail, keys, words, threshold, gradient, bare, d_query, d_scale, d_own, d_tail
    ):
        """tail, d_tail (S, K, D); d_query, d_scale, d_own (B, D); a task is a table."""
        num_candidates, width = tail.shape[1:]
        half = width // 2
        group = query.shape[0] // tail.shape[0]
        bits, keep = np.empty(len(words), np.uint32), np.empty(half + len(words), np.float32)
        z, values, lost = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
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
                draw(keys[b, k], words, threshold, bits, keep, half)
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

    return Kernels(panel_forward, panel_backward, row_forward, row_backward)
