"""The inner loops of ``numba.py`` for tables that many queries share: vectors of 16 candidates, of four queries at a time.

    out[b, k] = sum_u weight[b or k, u] * phi(query[b, u] - scale[b, u] * tail[k, u])

and, where ``both`` are asked for, the sum without weights too, as ``bare``, from the same phi.

A panel is a block of 16 candidates, transposed: tails are (S, blocks, D, 16), and a line of these is one unit of a block. What
follows the last candidate is zero. Sums stay in registers. The backward pass is parallel over units, because a unit's share of the
gradients of queries and tails belongs to it alone; of fewer than four queries the last one stands again, with a gradient of zero
(which an infinite one makes NaN). A modulus takes two planes, real parts [0, U) and imaginary parts [U, 2U).
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np

from gnnkg.ops.matching.numba_kernels import (
    COSINE_TERMS,
    L1,
    MODULUS,
    SINE_TERMS,
    SQUARED,
    TINY,
    TURN,
    ZERO,
)
from gnnkg.ops.matching.numba_kernels import HALF as ONE_HALF
from gnnkg.ops.simd import (
    HALF,
    LANES,
    absolute,
    aligned,
    entry,
    fma,
    inlined,
    inverse_root,
    load,
    load_at,
    nearest,
    select,
    splat,
    store,
    store_at,
    strict,
    total,
    with_sign,
)

INFINITY = np.float32(np.inf)

Weights = Literal["none", "query", "candidate"]

FOUR = 4
"""queries whose sums are formed at once"""
ROWS, BLOCKS = 16, 16
"""queries and panels whose gradients stay in the first-level cache"""


@inlined
def _turns(a):
    """The angle in half turns, less the nearest whole number of them: |sin(pi x)| has period 1."""
    turns = a * splat(TURN)
    return turns - nearest(turns)


@inlined
def _phi(op, a, b):
    """One unit's share of the sum, for the difference a (and b, the imaginary part, in a modulus)."""
    if op == L1:
        return absolute(a)
    if op == SQUARED:
        return a * a
    if op == MODULUS:
        square = fma(a, a, fma(b, b, splat(TINY)))
        return select(square < splat(INFINITY), square * inverse_root(square), square)
    f = _turns(a)
    f2 = f * f
    sine = splat(ZERO)
    for c in SINE_TERMS[::-1]:
        sine = fma(f2, sine, splat(c))
    return absolute(f * sine)


@inlined
def _slope(op, a, b, g):
    """g * d phi / d a; for a modulus, the factor that a and b are still to be multiplied by."""
    if op == L1:
        return with_sign(g, a)
    if op == SQUARED:
        return (g + g) * a
    if op == MODULUS:
        return g * inverse_root(fma(a, a, fma(b, b, splat(TINY))))
    f = _turns(a)
    f2 = f * f
    cosine = splat(ZERO)
    for c in COSINE_TERMS[::-1]:
        cosine = fma(f2, cosine, splat(c))
    return with_sign(splat(ONE_HALF) * g, f) * cosine


# What is done for four queries: f stands for four vectors, v for one.


@inlined
def _phis(op, f, g):
    return _phi(op, f[0], g[0]), _phi(op, f[1], g[1]), _phi(op, f[2], g[2]), _phi(op, f[3], g[3])


@inlined
def _slopes(op, f, g, by):
    return (
        _slope(op, f[0], g[0], by[0]),
        _slope(op, f[1], g[1], by[1]),
        _slope(op, f[2], g[2], by[2]),
        _slope(op, f[3], g[3], by[3]),
    )


@inlined
def _all(number):
    return splat(number), splat(number), splat(number), splat(number)


@inlined
def _splats(table, rows, u):
    """table[row, u] of four rows"""
    return (
        splat(entry(table, rows[0], u)),
        splat(entry(table, rows[1], u)),
        splat(entry(table, rows[2], u)),
        splat(entry(table, rows[3], u)),
    )


@inlined
def _loads(lines, places, step):
    return (
        load(lines, places[0] + step),
        load(lines, places[1] + step),
        load(lines, places[2] + step),
        load(lines, places[3] + step),
    )


@inlined
def _plus(f, g):
    return f[0] + g[0], f[1] + g[1], f[2] + g[2], f[3] + g[3]


@inlined
def _minus(f, v):
    return f[0] - v, f[1] - v, f[2] - v, f[3] - v


@inlined
def _times(f, g):
    return f[0] * g[0], f[1] * g[1], f[2] * g[2], f[3] * g[3]


@inlined
def _scaled(v, f):
    return v * f[0], v * f[1], v * f[2], v * f[3]


@inlined
def _fmas(f, g, h):
    return fma(f[0], g[0], h[0]), fma(f[1], g[1], h[1]), fma(f[2], g[2], h[2]), fma(f[3], g[3], h[3])


@inlined
def _sum(f):
    return (f[0] + f[1]) + (f[2] + f[3])


@inlined
def _rows(b, end):
    """Four queries from b on; the last one again where there are fewer."""
    return b, min(b + 1, end - 1), min(b + 2, end - 1), min(b + 3, end - 1)


@inlined
def _difference(query, scale, scaled, t):
    return (
        _minus(query, t)
        if not scaled
        else (
            query[0] - scale[0] * t,
            query[1] - scale[1] * t,
            query[2] - scale[2] * t,
            query[3] - scale[3] * t,
        )
    )


@inlined
def _write(out, rows, k0, values, tile):
    """out[row, k0:] = the vectors of four rows, as far as there are columns."""
    columns = out.shape[1]
    if k0 + LANES <= columns:
        store_at(out, rows[0], k0, k0 + HALF, values[0])
        store_at(out, rows[1], k0, k0 + HALF, values[1])
        store_at(out, rows[2], k0, k0 + HALF, values[2])
        store_at(out, rows[3], k0, k0 + HALF, values[3])
        return
    store(tile, 0, values[0])
    store(tile, 1, values[1])
    store(tile, 2, values[2])
    store(tile, 3, values[3])
    for i in range(FOUR):
        for k in range(columns - k0):
            out[rows[i], k0 + k] = tile[i, k]


@inlined
def _add(out, u, b, end, sums):
    """out[u, b:] += the sums of four queries, as far as there are queries."""
    out[u, b] += total(sums[0])
    if b + 1 < end:
        out[u, b + 1] += total(sums[1])
    if b + 2 < end:
        out[u, b + 2] += total(sums[2])
    if b + 3 < end:
        out[u, b + 3] += total(sums[3])


@inlined
def _places(row):
    """Where the lines of four rows begin."""
    return row * BLOCKS, (row + 1) * BLOCKS, (row + 2) * BLOCKS, (row + 3) * BLOCKS


@inlined
def _elsewhere(places, weight, rows, u, others):
    """The same where the weight is 1, and the others where it is 0."""
    return (
        places[0] + (others if entry(weight, rows[0], u) == ZERO else 0),
        places[1] + (others if entry(weight, rows[1], u) == ZERO else 0),
        places[2] + (others if entry(weight, rows[2], u) == ZERO else 0),
        places[3] + (others if entry(weight, rows[3], u) == ZERO else 0),
    )


class Kernels(NamedTuple):
    forward: Any
    backward: Any


@cache
def kernels(op: int, weights: Weights, both: bool) -> Kernels:
    """The loops for an op, without weights, with those of queries (B, U), or with those of candidates, (S, blocks, U, 16).

    Weights of queries are zeros and ones. ``bare`` and its gradient are read and written where ``both`` are asked for, weights and
    scales where there are some; elsewhere any array will do. Conditions on the arguments are decided when a kernel compiles.
    """
    two = op == MODULUS
    scaled = op == SQUARED
    of_queries, of_candidates = weights == "query", weights == "candidate"

    @strict
    def forward(first, last, query, scale, tail, weight, out, bare):
        """A task is ROWS queries and a panel."""
        num_blocks, width = tail.shape[1:3]
        num_units = width // 2 if two else width
        group = query.shape[0] // tail.shape[0]
        row_blocks = (group + ROWS - 1) // ROWS
        tails, weigh = tail.reshape(-1, LANES), weight.reshape(-1, LANES) if of_candidates else tail.reshape(-1, LANES)
        tile = aligned(FOUR)
        for task in range(first, last):
            panel = task // row_blocks
            s = panel // num_blocks
            b0 = s * group + task % row_blocks * ROWS
            b1 = min(b0 + ROWS, (s + 1) * group)
            k0 = panel % num_blocks * LANES
            for b in range(b0, b1, FOUR):
                rows = _rows(b, b1)
                sums, bare_sums = _all(ZERO), _all(ZERO)
                for u in range(num_units):
                    line = panel * width + u
                    a = _difference(_splats(query, rows, u), _splats(scale, rows, u), scaled, load(tails, line))
                    imaginary = a
                    if two:
                        imaginary = _minus(_splats(query, rows, num_units + u), load(tails, line + num_units))
                    values = _phis(op, a, imaginary)
                    if of_queries:
                        sums = _fmas(_splats(weight, rows, u), values, sums)
                    elif of_candidates:
                        sums = _plus(_scaled(load(weigh, panel * num_units + u), values), sums)
                    else:
                        sums = _plus(sums, values)
                    if both:
                        bare_sums = _plus(bare_sums, values)
                _write(out, rows, k0, sums, tile)
                if both:
                    _write(bare, rows, k0, bare_sums, tile)

    @strict
    def backward(first, last, units, query, scale, tail, weight, gradient, bare, d_query, d_scale, d_tail):
        """d_query (D, B) and d_scale (U, B) are transposed; gradients are (their numbers in memory, the numbers from row to row,
        columns). A task is so many ``units`` of a table.
        """
        num_blocks, width = tail.shape[1:3]
        num_units = width // 2 if two else width
        num_candidates = gradient[2]
        group = query.shape[0] // tail.shape[0]
        unit_blocks = (num_units + units - 1) // units
        tails, d_tails = tail.reshape(-1, LANES), d_tail.reshape(-1, LANES)
        weigh = weight.reshape(-1, LANES) if of_candidates else tails
        given, given_bare = gradient[0].reshape(1, -1), bare[0].reshape(1, -1)
        # by rows: the gradient of what has a weight, then of what has none (of candidates: the gradient of bare)
        lines = aligned(2 * ROWS * BLOCKS)
        others = ROWS * BLOCKS
        read_others = of_queries or (of_candidates and both)
        for task in range(first, last):
            s = task // unit_blocks
            u0 = task % unit_blocks * units
            u1 = min(u0 + units, num_units)
            b0, b1 = s * group, (s + 1) * group
            for u in range(u0, u1):
                d_query[u, b0:b1] = ZERO
                if two:
                    d_query[num_units + u, b0:b1] = ZERO
                if scaled:
                    d_scale[u, b0:b1] = ZERO
                for panel in range(s * num_blocks, (s + 1) * num_blocks):
                    store(d_tails, panel * width + u, splat(ZERO))
                    if two:
                        store(d_tails, panel * width + num_units + u, splat(ZERO))
            for begin in range(0, num_blocks, BLOCKS):
                blocks = min(BLOCKS, num_blocks - begin)
                k0 = begin * LANES
                columns = min(blocks * LANES, num_candidates - k0)
                for r0 in range(b0, b1, ROWS):
                    r1 = min(r0 + ROWS, b1)
                    for b in range(r0, r1):
                        start, bare_start = b * gradient[1] + k0, b * bare[1] + k0
                        i = (b - r0) * BLOCKS
                        for j in range(columns // LANES):
                            k = j * LANES
                            g, other = load_at(given, 0, start + k, start + k + HALF), splat(ZERO)
                            if both:
                                other = load_at(given_bare, 0, bare_start + k, bare_start + k + HALF)
                            store(lines, i + j, g if of_candidates else g + other)
                            if read_others:
                                store(lines, others + i + j, other)
                        if columns % LANES:
                            j = columns // LANES
                            for lane in range(LANES):
                                k = j * LANES + lane
                                g = given[0, start + k] if k < columns else ZERO
                                other = given_bare[0, bare_start + k] if both and k < columns else ZERO
                                lines[i + j, lane] = g if of_candidates else g + other
                                lines[others + i + j, lane] = other
                    for i in range((r1 - r0) * BLOCKS, -(-(r1 - r0) // FOUR) * FOUR * BLOCKS):  # no more queries
                        store(lines, i, splat(ZERO))
                        store(lines, others + i, splat(ZERO))
                    for u in range(u0, u1):
                        for b in range(r0, r1, FOUR):
                            rows = _rows(b, r1)
                            q = _splats(query, rows, u)
                            c = _splats(scale, rows, u) if scaled else q
                            q_imaginary = _splats(query, rows, num_units + u) if two else q
                            places = _places(b - r0)
                            if of_queries:
                                places = _elsewhere(places, weight, rows, u, others)
                            sums, more_sums = _all(ZERO), _all(ZERO)
                            for j in range(blocks):
                                panel = s * num_blocks + begin + j
                                line = panel * width + u
                                t = load(tails, line)
                                by = _loads(lines, places, j)
                                if of_candidates:
                                    by = _scaled(load(weigh, panel * num_units + u), by)
                                    if both:
                                        by = _plus(by, _loads(lines, places, others + j))
                                a = _difference(q, c, scaled, t)
                                if two:
                                    imaginary = _minus(q_imaginary, load(tails, line + num_units))
                                    by = _slopes(op, a, imaginary, by)
                                    more = _times(by, imaginary)
                                    by = _times(by, a)
                                    more_sums = _plus(more_sums, more)
                                    d = load(d_tails, line + num_units)
                                    store(d_tails, line + num_units, d - _sum(more))
                                else:
                                    by = _slopes(op, a, a, by)
                                sums = _plus(sums, by)
                                if scaled:
                                    more_sums = _plus(more_sums, _scaled(splat(ZERO) - t, by))
                                    by = _times(by, c)
                                store(d_tails, line, load(d_tails, line) - _sum(by))
                            _add(d_query, u, b, r1, sums)
                            if two:
                                _add(d_query, num_units + u, b, r1, more_sums)
                            if scaled:
                                _add(d_scale, u, b, r1, more_sums)

    return Kernels(forward, backward)
