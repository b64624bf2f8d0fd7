"""The inner loops of ``numba_drawn.py`` for tables that many queries share: vectors of 16 candidates, of four queries at a time.

What is computed is in ``numba_drawn_kernels.py``, and what a panel is in ``numba_panels.py``. A hash word may mask the components w
and W + w of a width 2 W, so loops take both at a time; for a modulus they are one complex number.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gnnkg.ops.matching.drawn import Form
from gnnkg.ops.matching.numba_drawn_kernels import OPS
from gnnkg.ops.matching.numba_fours import (
    FOUR,
    add_totals,
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
from gnnkg.ops.matching.numba_words import BLOCK, BOTH, FORMS, HIGH, LOW, half_of, mix, stir
from gnnkg.ops.simd import LANES, aligned, at, counted, fma, inlined, load, root, splat, store, strict

DOT = OPS["dot"]
ONE = np.float32(1)

BLOCKS = 32
"""panels whose gradients by four queries, and keys, stay in the first-level cache"""


@inlined
def _words(keys, number):
    """The hash words of four queries."""
    v = splat(number)
    return stir(keys[0] ^ v), stir(keys[1] ^ v), stir(keys[2] ^ v), stir(keys[3] ^ v)


@inlined
def _kept(low, x, threshold):
    """Whether the low or the high halves of words say 1."""
    t = splat(threshold)
    return half_of(low, x[0]) < t, half_of(low, x[1]) < t, half_of(low, x[2]) < t, half_of(low, x[3]) < t


@inlined
def _keys(start, salt, pair):
    """Of 16 pairs that follow each other."""
    return mix(mix(splat(np.int32(pair + start)) + counted()) ^ splat(salt))


@inlined
def _masks(form, keys, words, w, half, threshold):
    """Those of the components w and half + w."""
    x = _words(keys, at(words, w))
    keep_a = _kept(form != HIGH, x, threshold)
    if form == BLOCK:
        return keep_a, keep_a
    y = x if form == BOTH else _words(keys, at(words, half + w))
    return keep_a, _kept(form == LOW, y, threshold)


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
def _slopes(op, both, keep, by, bare_by, q, c, t):
    """Of one component, for an op that is no modulus: gradients of the difference from the candidates, for ``dot`` of products."""
    zeros = same(splat(ZERO))
    by = chosen(keep, plus(by, bare_by), bare_by) if both else chosen(keep, by, zeros)
    if op == DOT:
        return by
    a = difference(q, c, op == SQUARED, t)
    return slopes(op, a, a, by)


class Kernels(NamedTuple):
    forward: Any
    backward: Any


@cache
def kernels(op: int, form_name: Form, both: bool) -> Kernels:
    """The loops for an op and a form of masks. Conditions on these are decided when a kernel compiles.

    Tails are laid out as in ``numba_panels.py``, words at least W or, for half vectors, D. ``bare`` and its gradient are read and
    written where ``both`` are asked for, scales where there are some; elsewhere any array will do.
    """
    form = FORMS[form_name]
    dot, two, scaled = op == DOT, op == MODULUS, op == SQUARED

    @strict
    def forward(first, last, query, scale, mine, tail, start, salt, words, threshold, out, bare):
        """A task is four queries and a panel. ``mine`` (B, D) is phi of the own tails; of a modulus the difference from them."""
        num_blocks, width = tail.shape[1:3]
        half = width // 2
        num_candidates = out.shape[1]
        group = query.shape[0] // tail.shape[0]
        fours = (group + FOUR - 1) // FOUR
        tails = tail.reshape(-1, LANES)
        tile = aligned(FOUR)
        for task in range(first, last):
            panel = task // fours
            s, k0 = panel // num_blocks, panel % num_blocks * LANES
            rows = four_rows(s * group + task % fours * FOUR, (s + 1) * group)
            key = (
                _keys(start, salt, rows[0] * num_candidates + k0),
                _keys(start, salt, rows[1] * num_candidates + k0),
                _keys(start, salt, rows[2] * num_candidates + k0),
                _keys(start, salt, rows[3] * num_candidates + k0),
            )
            sums, bare_sums = same(splat(ZERO)), same(splat(ZERO))
            for w in range(half):
                keep_a, keep_b = _masks(form, key, words, w, half, threshold)
                line = panel * width + w
                ta, tb = load(tails, line), load(tails, line + half)
                qa, qb = splats(query, rows, w), splats(query, rows, half + w)
                mine_a, mine_b = splats(mine, rows, w), splats(mine, rows, half + w)
                if two:
                    a, imaginary = minus(qa, ta), minus(qb, tb)
                    sums = plus(sums, phis(op, chosen(keep_a, a, mine_a), chosen(keep_b, imaginary, mine_b)))
                    if both:
                        bare_sums = plus(bare_sums, phis(op, a, imaginary))
                else:
                    if dot:
                        here_a, here_b = scaled_by(ta, qa), scaled_by(tb, qb)
                    else:
                        a = difference(qa, splats(scale, rows, w), scaled, ta)
                        other = difference(qb, splats(scale, rows, half + w), scaled, tb)
                        here_a, here_b = phis(op, a, a), phis(op, other, other)
                    sums = plus(plus(sums, chosen(keep_a, here_a, mine_a)), chosen(keep_b, here_b, mine_b))
                    if both:
                        bare_sums = plus(plus(bare_sums, here_a), here_b)
            write(out, rows, k0, sums, tile)
            if both:
                write(bare, rows, k0, bare_sums, tile)

    @strict
    def backward(
        first,
        last,
        units,
        query,
        scale,
        own,
        tail,
        start,
        salt,
        words,
        threshold,
        gradient,
        bare,
        d_query,
        d_scale,
        d_own,
        d_tail,
    ):
        """d_query, d_scale and d_own are transposed, (D, B); a task is so many ``units``, words of a table."""
        width, num_blocks = tail.shape[1], tail.shape[2] // LANES
        half = width // 2
        num_candidates = gradient[2]
        group = query.shape[0] // tail.shape[0]
        unit_blocks = (half + units - 1) // units
        tails, d_tails = tail.reshape(-1, LANES), d_tail.reshape(-1, LANES)
        given, given_bare = gradient[0].reshape(1, -1), bare[0].reshape(1, -1)
        lines, keys = aligned(2 * FOUR * BLOCKS), aligned(FOUR * BLOCKS).view(np.int32)
        others = FOUR * BLOCKS
        places = 0, BLOCKS, 2 * BLOCKS, 3 * BLOCKS
        zeros = same(splat(ZERO))
        for task in range(first, last):
            s = task // unit_blocks
            w0 = task % unit_blocks * units
            w1 = min(w0 + units, half)
            b0, b1 = s * group, (s + 1) * group
            for w in range(w0, w1):
                for u in (w, half + w):
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
                    end = min(b + FOUR, b1)
                    for row in range(b, end):
                        i, at_row, at_bare_row = (row - b) * BLOCKS, row * gradient[1] + k0, row * bare[1] + k0
                        read_gradients(
                            lines, i, others, given, at_row, given_bare, at_bare_row, columns, both, False, both
                        )
                        for j in range(blocks):
                            store(keys, i + j, _keys(start, salt, row * num_candidates + k0 + j * LANES))
                    # for queries that are not there the last one stands, with gradients of zero (which an infinite one makes NaN)
                    for i in range((end - b) * BLOCKS, FOUR * BLOCKS):
                        store(keys, i, splat(np.int32(0)))
                        store(lines, i, splat(ZERO))
                        store(lines, others + i, splat(ZERO))
                    rows = four_rows(b, end)
                    for w in range(w0, w1):
                        qa, qb = splats(query, rows, w), splats(query, rows, half + w)
                        ca, cb = (splats(scale, rows, w), splats(scale, rows, half + w)) if scaled else (qa, qb)
                        if two:
                            own_a = differences(qa, splats(own, rows, w))
                            own_b = differences(qb, splats(own, rows, half + w))
                        sum_a, sum_b, lost_a, lost_b, times_a, times_b = zeros, zeros, zeros, zeros, zeros, zeros
                        for j in range(blocks):
                            line = (s * width + w) * num_blocks + begin + j
                            other_line = line + half * num_blocks
                            ta, tb = load(tails, line), load(tails, other_line)
                            by = loads(lines, places, j)
                            bare_by = loads(lines, places, others + j) if both else by
                            here = loads(keys, places, j)
                            keep_a, keep_b = _masks(form, here, words, w, half, threshold)
                            if two:
                                a, imaginary = minus(qa, ta), minus(qb, tb)
                                za, zb = chosen(keep_a, a, own_a), chosen(keep_b, imaginary, own_b)
                                by = _by_division(za, zb, by)
                                by_a, by_b = times(by, za), times(by, zb)
                            else:
                                by_a, by_b = by, by
                            lost_a = chosen(keep_a, lost_a, plus(lost_a, by_a))
                            lost_b = chosen(keep_b, lost_b, plus(lost_b, by_b))
                            if two:
                                by_a, by_b = chosen(keep_a, by_a, zeros), chosen(keep_b, by_b, zeros)
                                if both:
                                    bare_by = slopes(op, a, imaginary, bare_by)
                                    by_a, by_b = fmas(bare_by, a, by_a), fmas(bare_by, imaginary, by_b)
                            else:
                                by_a = _slopes(op, both, keep_a, by, bare_by, qa, ca, ta)
                                by_b = _slopes(op, both, keep_b, by, bare_by, qb, cb, tb)
                            if dot:
                                sum_a, sum_b = fmas(by_a, same(ta), sum_a), fmas(by_b, same(tb), sum_b)
                                store(d_tails, line, sum_of_products(by_a, qa, load(d_tails, line)))
                                store(d_tails, other_line, sum_of_products(by_b, qb, load(d_tails, other_line)))
                            else:
                                sum_a, sum_b = plus(sum_a, by_a), plus(sum_b, by_b)
                                if scaled:
                                    times_a, times_b = (
                                        fmas(by_a, same(ta), times_a),
                                        fmas(by_b, same(tb), times_b),
                                    )
                                    by_a, by_b = times(by_a, ca), times(by_b, cb)
                                store(d_tails, line, load(d_tails, line) - sum_of(by_a))
                                store(d_tails, other_line, load(d_tails, other_line) - sum_of(by_b))
                        add_totals(d_query, w, b, end, sum_a)
                        add_totals(d_query, half + w, b, end, sum_b)
                        add_totals(d_own, w, b, end, lost_a)
                        add_totals(d_own, half + w, b, end, lost_b)
                        if scaled:
                            add_totals(d_scale, w, b, end, times_a)
                            add_totals(d_scale, half + w, b, end, times_b)
            for w in range(w0, w1):
                for u in (w, half + w):
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
