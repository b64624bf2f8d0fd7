"""The inner loops of ``numba.py`` for tables that many queries share: vectors of 16 candidates, of four queries at a time.

    out[b, k] = sum_u weight[b or k, u] * phi(query[b, u] - scale[b, u] * tail[k, u])

and, where ``both`` are asked for, the sum without weights too, as ``bare``, from the same phi.

Forward, tails come in panels, (S, blocks, D, 16): a line is one unit of 16 candidates, and a panel's lines follow each other.
Backward they are (S, D, blocks * 16): the candidates of a unit follow each other. What follows the last candidate is zero. Sums
stay in registers. The backward pass is parallel over units, because a unit's share of the gradients of queries and tails belongs to
it alone; of fewer than four queries the last one stands again, with a gradient of zero (which an infinite one makes NaN). A modulus
takes two planes, real parts [0, U) and imaginary parts [U, 2U).

Weights that queries share, zeros and ones, divide the units forward into those that count and those that do not: the sum of the
first is the one, and with the others the sum without weights. So one alone takes its share of the work. What has no weight is not
read: where it is no number, the sum may not show it.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from gnnkg.ops.matching.numba_fours import (
    FOUR,
    add_totals,
    affine,
    difference,
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
    times,
    write,
)
from gnnkg.ops.matching.numba_kernels import MODULUS, SQUARED, ZERO, Weights
from gnnkg.ops.simd import LANES, aligned, entry, inlined, load, splat, store, strict

QUERIES = 64
"""in a task of the forward pass: what is looked for stays in the first-level cache beside a panel"""
BLOCKS = 64
"""panels whose gradients by four queries stay there in the backward pass"""
FOUR_PLACES = 0, BLOCKS, 2 * BLOCKS, 3 * BLOCKS
"""where the lines of the four begin"""


@inlined
def _four_of(place, rows):
    """The rows of weights that four queries have."""
    return place[rows[0]], place[rows[1]], place[rows[2]], place[rows[3]]


@inlined
def _elsewhere(places, weight, rows, u, others):
    """The same where the weight is 1, and the others where it is 0. ``rows`` are those of weights."""
    return (
        places[0] + (others if entry(weight, rows[0], u) == ZERO else 0),
        places[1] + (others if entry(weight, rows[1], u) == ZERO else 0),
        places[2] + (others if entry(weight, rows[2], u) == ZERO else 0),
        places[3] + (others if entry(weight, rows[3], u) == ZERO else 0),
    )


@inlined
def _none_counts(weight, rows, u):
    """Whether a unit has a weight of 0 in each of four rows of weights."""
    first = entry(weight, rows[0], u) + entry(weight, rows[1], u)
    second = entry(weight, rows[2], u) + entry(weight, rows[3], u)
    return first + second == ZERO


@inlined
def _values(op, two, scaled, query, scale, tails, rows, u, num_units, line):
    """phi of a unit, for four queries and the candidates of a line."""
    a = difference(splats(query, rows, u), splats(scale, rows, u), scaled, load(tails, line))
    imaginary = a
    if two:
        imaginary = minus(splats(query, rows, num_units + u), load(tails, line + num_units))
    return phis(op, a, imaginary)


class Kernels(NamedTuple):
    forward: Any
    backward: Any


@cache
def kernels(op: int, weights: Weights, both: bool, divided: bool = False) -> Kernels:
    """The loops for an op, without weights, with those of queries (G, U), zeros and ones, of which query b has row place[b], or
    with those of candidates, laid out like tails. ``divided``: forward, the units are taken in an order that divides them.

    ``bare`` and its gradient are read and written where ``both`` are asked for, weights and scales where there are some; elsewhere
    any array will do. Conditions on the arguments are decided when a kernel compiles.
    """
    two = op == MODULUS
    scaled = op == SQUARED
    of_queries, of_candidates = weights == "query", weights == "candidate"

    @strict
    def forward(first, last, query, scale, tail, weight, place, order, number, lost, lead, offset, factor, out, bare):
        """A task is QUERIES queries and a panel. ``order`` (G, U) are the units, those first that count, and ``number`` (G,) is how
        many these are, where weights are divided. What is written, ``lead`` columns further, is offset + factor * the sum, which
        has ``lost`` (B, 1) in it where there are weights of queries. Elsewhere any arrays will do.
        """
        num_blocks, width = tail.shape[1:3]
        num_units = width // 2 if two else width
        group = query.shape[0] // tail.shape[0]
        row_blocks = (group + QUERIES - 1) // QUERIES
        tails, weigh = tail.reshape(-1, LANES), weight.reshape(-1, LANES) if of_candidates else tail.reshape(-1, LANES)
        tile = aligned(FOUR)
        for task in range(first, last):
            block, rows_of_table = task % num_blocks, task // num_blocks
            s = rows_of_table // row_blocks
            panel = s * num_blocks + block
            b0 = s * group + rows_of_table % row_blocks * QUERIES
            b1 = min(b0 + QUERIES, (s + 1) * group)
            k0 = block * LANES
            begin = b0
            while begin < b1:
                end, g = b1, 0
                if divided:
                    g = begin * len(order) // len(query)
                    end = min(b1, -(-(g + 1) * len(query) // len(order)))
                for b in range(begin, end, FOUR):
                    rows = four_rows(b, end)
                    if of_queries:
                        weight_rows = _four_of(place, rows)
                    sums, bare_sums = same(splat(ZERO)), same(splat(ZERO))
                    if divided:
                        for i in range(number[g]):
                            u = entry(order, g, i)
                            line = panel * width + u
                            sums = plus(sums, _values(op, two, scaled, query, scale, tails, rows, u, num_units, line))
                        bare_sums = sums
                        if both:
                            for i in range(number[g], num_units):
                                u = entry(order, g, i)
                                line = panel * width + u
                                each = _values(op, two, scaled, query, scale, tails, rows, u, num_units, line)
                                bare_sums = plus(bare_sums, each)
                    else:
                        for u in range(num_units):
                            line = panel * width + u
                            each = _values(op, two, scaled, query, scale, tails, rows, u, num_units, line)
                            if of_queries:
                                sums = fmas(splats(weight, weight_rows, u), each, sums)
                            elif of_candidates:
                                sums = plus(scaled_by(load(weigh, panel * num_units + u), each), sums)
                            else:
                                sums = plus(sums, each)
                            if both:
                                bare_sums = plus(bare_sums, each)
                    if of_queries:
                        sums = plus(sums, splats(lost, rows, 0))
                    write(out, rows, lead + k0, affine(offset, factor, sums), tile)
                    if both:
                        write(bare, rows, lead + k0, affine(offset, factor, bare_sums), tile)
                begin = end

    @strict
    def backward(first, last, units, query, scale, tail, weight, place, gradient, bare, d_query, d_scale, d_tail):
        """d_query (D, B) and d_scale (U, B) are transposed; gradients are (their numbers in memory, the numbers from row to row,
        columns). A task is so many ``units`` of a table.
        """
        width, num_blocks = tail.shape[1], tail.shape[2] // LANES
        num_units = width // 2 if two else width
        num_candidates = gradient[2]
        group = query.shape[0] // tail.shape[0]
        unit_blocks = (num_units + units - 1) // units
        tails, d_tails = tail.reshape(-1, LANES), d_tail.reshape(-1, LANES)
        weigh = weight.reshape(-1, LANES) if of_candidates else tails
        given, given_bare = gradient[0].reshape(1, -1), bare[0].reshape(1, -1)
        # by queries: the gradient of what has a weight, then of what has none (of candidates: the gradient of bare)
        lines = aligned(2 * FOUR * BLOCKS)
        others = FOUR * BLOCKS
        imaginary_lines = num_units * num_blocks
        summed, read_others = not of_candidates, of_queries or (of_candidates and both)
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
                first_line = (s * width + u) * num_blocks
                for line in range(first_line, first_line + num_blocks):
                    store(d_tails, line, splat(ZERO))
                    if two:
                        store(d_tails, line + imaginary_lines, splat(ZERO))
            for begin in range(0, num_blocks, BLOCKS):
                blocks = min(BLOCKS, num_blocks - begin)
                k0 = begin * LANES
                columns = min(blocks * LANES, num_candidates - k0)
                for b in range(b0, b1, FOUR):
                    rows, end = four_rows(b, b1), min(b + FOUR, b1)
                    for row in range(b, end):
                        start, bare_start, i = row * gradient[1] + k0, row * bare[1] + k0, (row - b) * BLOCKS
                        read_gradients(
                            lines, i, others, given, start, given_bare, bare_start, columns, both, summed, read_others
                        )
                    for i in range((end - b) * BLOCKS, FOUR * BLOCKS):  # no more queries
                        store(lines, i, splat(ZERO))
                        store(lines, others + i, splat(ZERO))
                    if of_queries:
                        weight_rows = _four_of(place, rows)
                    for u in range(u0, u1):
                        places = FOUR_PLACES
                        if of_queries:
                            if not both and _none_counts(weight, weight_rows, u):
                                continue
                            places = _elsewhere(places, weight, weight_rows, u, others)
                        q = splats(query, rows, u)
                        c = splats(scale, rows, u) if scaled else q
                        q_imaginary = splats(query, rows, num_units + u) if two else q
                        sums, more_sums = same(splat(ZERO)), same(splat(ZERO))
                        for j in range(blocks):
                            line = (s * width + u) * num_blocks + begin + j
                            t = load(tails, line)
                            by = loads(lines, places, j)
                            if of_candidates:
                                by = scaled_by(load(weigh, (s * num_units + u) * num_blocks + begin + j), by)
                                if both:
                                    by = plus(by, loads(lines, places, others + j))
                            a = difference(q, c, scaled, t)
                            if two:
                                imaginary = minus(q_imaginary, load(tails, line + imaginary_lines))
                                by = slopes(op, a, imaginary, by)
                                more = times(by, imaginary)
                                by = times(by, a)
                                more_sums = plus(more_sums, more)
                                d = load(d_tails, line + imaginary_lines)
                                store(d_tails, line + imaginary_lines, d - sum_of(more))
                            else:
                                by = slopes(op, a, a, by)
                            sums = plus(sums, by)
                            if scaled:
                                more_sums = plus(more_sums, scaled_by(splat(ZERO) - t, by))
                                by = times(by, c)
                            store(d_tails, line, load(d_tails, line) - sum_of(by))
                        add_totals(d_query, u, b, b1, sums)
                        if two:
                            add_totals(d_query, num_units + u, b, b1, more_sums)
                        if scaled:
                            add_totals(d_scale, u, b, b1, more_sums)

    return Kernels(forward, backward)
