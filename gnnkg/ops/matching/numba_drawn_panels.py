"""The inner loops of ``numba_drawn.py`` for tables that many queries share: vectors of 16 candidates, of four queries at a time.

What is computed is in ``numba_drawn_kernels.py``, and what a panel is in ``numba_panels.py``. A unit is a component, or of a
modulus two: real parts are [0, U) and imaginary parts [U, 2U), with a mask each.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gnnkg.ops.matching.numba_drawn_kernels import OPS
from gnnkg.ops.matching.numba_fours import (
    FOUR,
    add_totals,
    affine,
    chosen,
    difference,
    differences,
    fmas,
    four_rows,
    loads,
    minus,
    phis,
    plus,
    read_gradients,
    same,
    scaled_by,
    slopes,
    splats,
    sum_of,
    sum_of_products,
    times,
    write,
)
from gnnkg.ops.matching.numba_kernels import MODULUS, SQUARED, TINY, ZERO
from gnnkg.ops.matching.numba_kernels import slope as slope_of_one
from gnnkg.ops.simd import LANES, aligned, fma, inlined, inverse_root, load, root, select, splat, store, strict

DOT = OPS["dot"]
ONE, INFINITY = np.float32(1), np.float32(np.inf)

QUERIES = 16
"""in a task of the forward pass: what is looked for stays in the first-level cache beside a panel"""
BLOCKS = 32
"""panels whose gradients by four queries stay there in the backward pass"""
PLACES = 0, BLOCKS, 2 * BLOCKS, 3 * BLOCKS
"""where the lines of the four begin"""


@inlined
def _kept(mine, theirs, threshold):
    """Whether components of 16 candidates stay, by the words of four queries and of these."""
    t = splat(threshold)
    return mine[0] * theirs < t, mine[1] * theirs < t, mine[2] * theirs < t, mine[3] * theirs < t


@inlined
def _over_modulus(a, b, g):
    return g / root(fma(a, a, fma(b, b, splat(TINY))))


@inlined
def _by_division(f, g, by):
    """``slopes`` of a modulus by division, where those multiply by an estimate of 1 / root. A pair needs two, one of each kind:
    machines divide and multiply at the same time. Of a square beyond float32 this is 0, and ``slopes`` NaN.
    """
    return (
        _over_modulus(f[0], g[0], by[0]),
        _over_modulus(f[1], g[1], by[1]),
        _over_modulus(f[2], g[2], by[2]),
        _over_modulus(f[3], g[3], by[3]),
    )


@inlined
def _by_estimate(a, b):
    x = fma(a, a, fma(b, b, splat(TINY)))
    return select(x < splat(INFINITY), x * inverse_root(x), x)


@inlined
def _moduli(f, g):
    """``phis`` of a modulus by an estimate of 1 / root, where those take roots, likewise."""
    return (
        _by_estimate(f[0], g[0]),
        _by_estimate(f[1], g[1]),
        _by_estimate(f[2], g[2]),
        _by_estimate(f[3], g[3]),
    )


class Kernels(NamedTuple):
    forward: Any
    backward: Any


@cache
def kernels(op: int, both: bool) -> Kernels:
    """The loops for an op. Conditions on it are decided when a kernel compiles.

    Tails are laid out as in ``numba_panels.py``, and so are their words, ``tail_words``, in one table; ``query_words`` is (B, D).
    ``bare`` and its gradient are read and written where ``both`` are asked for, scales where there are some; elsewhere any array
    will do.
    """
    dot, two, scaled = op == DOT, op == MODULUS, op == SQUARED

    @strict
    def forward(
        first, last, query, scale, mine, tail, query_words, tail_words, threshold, lead, offset, factor, out, bare
    ):
        """A task is QUERIES queries and a panel. ``mine`` (B, D) is phi of the own tails; of a modulus the difference from them.
        What is written, ``lead`` columns further, is offset + factor * the sum.
        """
        num_blocks, width = tail.shape[1:3]
        num_units = width // 2 if two else width
        group = query.shape[0] // tail.shape[0]
        row_blocks = (group + QUERIES - 1) // QUERIES
        tails, words = tail.reshape(-1, LANES), tail_words.reshape(-1, LANES)
        tile = aligned(FOUR)
        for task in range(first, last):
            block, rows_of_table = task % num_blocks, task // num_blocks
            s = rows_of_table // row_blocks
            b0 = s * group + rows_of_table % row_blocks * QUERIES
            b1 = min(b0 + QUERIES, (s + 1) * group)
            for b in range(b0, b1, FOUR):
                rows = four_rows(b, b1)
                sums, bare_sums = same(splat(ZERO)), same(splat(ZERO))
                for u in range(num_units):
                    line, word_line = (s * num_blocks + block) * width + u, block * width + u
                    t, q = load(tails, line), splats(query, rows, u)
                    keep = _kept(splats(query_words, rows, u), load(words, word_line), threshold)
                    own = splats(mine, rows, u)
                    if two:
                        v = num_units + u
                        a, imaginary = minus(q, t), minus(splats(query, rows, v), load(tails, line + num_units))
                        also = _kept(splats(query_words, rows, v), load(words, word_line + num_units), threshold)
                        z, other = chosen(keep, a, own), chosen(also, imaginary, splats(mine, rows, v))
                        here = phis(op, a, imaginary)
                        sums = plus(sums, _moduli(z, other) if both else phis(op, z, other))
                    else:
                        a = scaled_by(t, q) if dot else difference(q, splats(scale, rows, u), scaled, t)
                        here = a if dot else phis(op, a, a)
                        sums = plus(sums, chosen(keep, here, own))
                    if both:
                        bare_sums = plus(bare_sums, here)
                write(out, rows, lead + block * LANES, affine(offset, factor, sums), tile)
                if both:
                    write(bare, rows, lead + block * LANES, affine(offset, factor, bare_sums), tile)

    @strict
    def backward(
        first,
        last,
        units,
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
        """d_query, d_scale and d_own are transposed, (D, B); a task is so many ``units`` of a table.

        The lines hold the gradients of each query: those of the sum, which a component has that stays the candidate's and which is
        lost to the own tail where it does not, then those of ``bare``, which every component has.
        """
        width, num_blocks = tail.shape[1], tail.shape[2] // LANES
        num_units = width // 2 if two else width
        num_candidates = gradient[2]
        group = query.shape[0] // tail.shape[0]
        unit_blocks = (num_units + units - 1) // units
        tails, d_tails = tail.reshape(-1, LANES), d_tail.reshape(-1, LANES)
        words = tail_words.reshape(-1, LANES)
        given, given_bare = gradient[0].reshape(1, -1), bare[0].reshape(1, -1)
        lines = aligned(2 * FOUR * BLOCKS)
        others = FOUR * BLOCKS
        imaginary_lines = num_units * num_blocks
        zeros = same(splat(ZERO))
        for task in range(first, last):
            s = task // unit_blocks
            u0 = task % unit_blocks * units
            u1 = min(u0 + units, num_units)
            b0, b1 = s * group, (s + 1) * group
            for w in range(u0, u1):
                for u in (w, num_units + w) if two else (w,):
                    d_query[u, b0:b1] = ZERO
                    d_own[u, b0:b1] = ZERO  # first what is lost to the own tails
                    if scaled:
                        d_scale[u, b0:b1] = ZERO
                    for line in range((s * width + u) * num_blocks, (s * width + u + 1) * num_blocks):
                        store(d_tails, line, splat(ZERO))
            for begin in range(0, num_blocks, BLOCKS):
                blocks = min(BLOCKS, num_blocks - begin)
                k0 = begin * LANES
                columns = min(blocks * LANES, num_candidates - k0)
                for b in range(b0, b1, FOUR):
                    rows, end = four_rows(b, b1), min(b + FOUR, b1)
                    for row in range(b, end):
                        start, bare_start, i = row * gradient[1] + k0, row * bare[1] + k0, (row - b) * BLOCKS
                        read_gradients(
                            lines, i, others, given, start, given_bare, bare_start, columns, both, False, both
                        )
                    # for queries that are not there the last one stands, with gradients of zero (which an infinite one makes NaN)
                    for i in range((end - b) * BLOCKS, FOUR * BLOCKS):
                        store(lines, i, splat(ZERO))
                        store(lines, others + i, splat(ZERO))
                    for u in range(u0, u1):
                        q, mine = splats(query, rows, u), splats(query_words, rows, u)
                        c = splats(scale, rows, u) if scaled else q
                        sums, more_sums, lost, more_lost = zeros, zeros, zeros, zeros
                        if two:
                            v = num_units + u
                            q_imaginary, mine_too = splats(query, rows, v), splats(query_words, rows, v)
                            own_real = differences(q, splats(own, rows, u))
                            own_imaginary = differences(q_imaginary, splats(own, rows, v))
                        for j in range(blocks):
                            word_line = u * num_blocks + begin + j
                            line = s * width * num_blocks + word_line
                            t, by = load(tails, line), loads(lines, PLACES, j)
                            bare_by = loads(lines, PLACES, others + j) if both else zeros
                            keep = _kept(mine, load(words, word_line), threshold)
                            if two:
                                a, imaginary = minus(q, t), minus(q_imaginary, load(tails, line + imaginary_lines))
                                also = _kept(mine_too, load(words, word_line + imaginary_lines), threshold)
                                z, other = chosen(keep, a, own_real), chosen(also, imaginary, own_imaginary)
                                by = _by_division(z, other, by)
                                by, more = times(by, z), times(by, other)
                                lost = chosen(keep, lost, plus(lost, by))
                                more_lost = chosen(also, more_lost, plus(more_lost, more))
                                by, more = chosen(keep, by, zeros), chosen(also, more, zeros)
                                if both:
                                    bare_by = slopes(op, a, imaginary, bare_by)
                                    by, more = fmas(bare_by, a, by), fmas(bare_by, imaginary, more)
                                more_sums = plus(more_sums, more)
                                d = load(d_tails, line + imaginary_lines)
                                store(d_tails, line + imaginary_lines, d - sum_of(more))
                            else:
                                lost = chosen(keep, lost, plus(lost, by))
                                by = chosen(keep, plus(by, bare_by), bare_by)
                            if dot:
                                sums = fmas(by, same(t), sums)
                                store(d_tails, line, sum_of_products(by, q, load(d_tails, line)))
                            else:
                                if not two:
                                    a = difference(q, c, scaled, t)
                                    by = slopes(op, a, a, by)
                                sums = plus(sums, by)
                                if scaled:
                                    more_sums = fmas(by, same(t), more_sums)
                                    by = times(by, c)
                                store(d_tails, line, load(d_tails, line) - sum_of(by))
                        add_totals(d_query, u, b, b1, sums)
                        add_totals(d_own, u, b, b1, lost)
                        if two:
                            add_totals(d_query, num_units + u, b, b1, more_sums)
                            add_totals(d_own, num_units + u, b, b1, more_lost)
                        if scaled:
                            add_totals(d_scale, u, b, b1, more_sums)
            for w in range(u0, u1):
                for u in (w, num_units + w) if two else (w,):
                    for b in range(b0, b1):
                        lost, q, p = d_own[u, b], query[b, u], own[b, u]
                        c = scale[b, u] if scaled else ONE
                        if dot:
                            d_query[u, b] += lost * p
                            d_own[u, b] = lost * q
                        else:
                            if not two:
                                lost = slope_of_one(op, q - c * p, ZERO, lost)
                            d_query[u, b] += lost
                            d_own[u, b] = -lost * c
                            if scaled:
                                d_scale[u, b] = -(d_scale[u, b] + lost * p)

    return Kernels(forward, backward)
