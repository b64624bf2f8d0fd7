"""The inner loops of ``numba.py``: all edges, for a block of 16 columns that are one vector register.

A block of a matrix (N, W) is (N, 16), float32 and dense, whatever the matrix is stored in; it fits the second-level cache, where
the vectors that edges take from everywhere are found again. Edges are read in the order of their targets, in both directions:
what a target has in common stays in registers, and sources and relations collect their gradients in a block that belongs to this
task alone. Where edges have weights, those of weight 0 were taken out before.

The largest message is found again in the backward pass by its bits: the same inputs give the same ones, and of equal messages the
first is it. Relations of "rotate" take two rows: [re | re] and [-im | im], so that a product of
complex numbers [a | b] is [a | b] * [re | re] + [b | a] * [-im | im].
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gnnkg.ops.cpu import kernel
from gnnkg.ops.message.reference import SMALLEST_VARIANCE
from gnnkg.ops.simd import (
    HALF,
    LANES,
    above,
    at,
    below,
    bits,
    fma,
    inlined,
    load,
    load_at,
    nan,
    number_at,
    prefetch,
    root,
    select,
    some,
    splat,
    store,
    store_at,
    store_number_at,
    strict,
    swap,
    total,
)

MUL, ADD, ROTATE = range(3)
MESSAGES = {"mul": MUL, "add": ADD, "rotate": ROTATE}

ZERO, ONE, INFINITY = np.float32(0), np.float32(1), np.float32(np.inf)
SMALLEST = np.float32(SMALLEST_VARIANCE)
SMALLEST_DEVIATION = np.sqrt(SMALLEST)
HUNDRED = np.float32(100)
AHEAD = 16
"""rows that are asked for before their turn: in a wide matrix each lies in a page of its own"""


@inlined
def straight(columns):
    """Whether both halves of a block are columns side by side; complex numbers lie in two places."""
    result = True
    for lane in range(LANES):
        half = lane // HALF * HALF
        result &= columns[lane] == columns[half] + lane - half
    return result


@strict
def take(table, columns, block):
    """block[n, lane] = table[n, columns[lane]], or 0 where the column is -1; the first block of a table of relations, too."""
    if straight(columns):
        c, d = columns[0], columns[HALF]
        for n in range(table.shape[0]):
            prefetch(table, n + AHEAD, c)
            prefetch(table, n + AHEAD, d)
            store(block, n, load_at(table, n, c, d))
        return
    for n in range(table.shape[0]):
        for lane in range(LANES):
            block[n, lane] = number_at(table, n, columns[lane]) if columns[lane] >= 0 else ZERO


@strict
def put(block, columns, table):
    """table[n, columns[lane]] = block[n, lane] where the column is not -1."""
    if straight(columns):
        c, d = columns[0], columns[HALF]
        for n in range(table.shape[0]):
            prefetch(table, n + AHEAD, c)
            prefetch(table, n + AHEAD, d)
            store_at(table, n, c, d, load(block, n))
        return
    for n in range(table.shape[0]):
        for lane in range(LANES):
            if columns[lane] >= 0:
                store_number_at(table, n, columns[lane], block[n, lane])


@kernel
def twofold(block, two):
    """The two rows of each relation that "rotate" wants, of its block [re | im]."""
    for r in range(block.shape[0]):
        for unit in range(HALF):
            two[2 * r, unit] = two[2 * r, unit + HALF] = block[r, unit]
            two[2 * r + 1, unit] = -block[r, unit + HALF]
            two[2 * r + 1, unit + HALF] = block[r, unit + HALF]


@kernel
def onefold(two, block):
    """The gradient of a relation's block, of those that ``spread`` has summed."""
    for r in range(block.shape[0]):
        for unit in range(HALF):
            block[r, unit] = two[2 * r, unit] + two[2 * r, unit + HALF]
            block[r, unit + HALF] = two[2 * r + 1, unit + HALF] - two[2 * r + 1, unit]


@kernel
def collect(first, last, blocks, columns, table):
    """table[r, c] = the sum of blocks[k, r, lane] over all k and lane with columns[k, lane] = c; a task is a relation."""
    for r in range(first, last):
        table[r] = ZERO
        for k in range(blocks.shape[0]):
            for lane in range(LANES):
                if columns[k, lane] >= 0:
                    table[r, columns[k, lane]] += blocks[k, r, lane]


@kernel
def present(starts, first, second, edges, weight, kept_starts, kept_first, kept_second, kept_weight, place):
    """The edges whose weight is not 0, and where they stand among all. ``edges``: which each is; none: they are in that order."""
    count = 0
    for group in range(starts.shape[0] - 1):
        kept_starts[group] = count
        for i in range(starts[group], starts[group + 1]):
            e = edges[i] if edges.shape[0] else i
            if weight[e] != ZERO:
                kept_first[count], kept_second[count] = first[i], second[i]
                kept_weight[count], place[count] = weight[e], e
                count += 1
    kept_starts[-1] = count


@strict
def average(starts, with_boundary, gradient):
    """The gradient of a sum of each node's messages, given that of their mean; in place."""
    for v in range(gradient.shape[0]):
        count = max(at(starts, v + 1) - at(starts, v) + with_boundary, 1)
        store(gradient, v, load(gradient, v) / splat(np.float32(count)))


@inlined
def phi(message, xv, w, r):
    if message == MUL:
        return xv * load(w, r)
    if message == ADD:
        return xv + load(w, r)
    return fma(xv, load(w, 2 * r), swap(xv) * load(w, 2 * r + 1))


@inlined
def sent(message, weighted, e, source, relation, weight, x, w):
    m = phi(message, load(x, at(source, e)), w, at(relation, e))
    return m * splat(at(weight, e)) if weighted else m


@inlined
def spread(message, weighted, dm, e, source, relation, weight, x, w, dx, dw, d_weight, weight_wanted):
    """A message's gradient, to all that it was made of."""
    u, r = at(source, e), at(relation, e)
    xv = load(x, u)
    if weighted:
        if weight_wanted:
            d_weight[e] += total(dm * phi(message, xv, w, r))
        dm = dm * splat(at(weight, e))
    if message == MUL:
        store(dx, u, fma(dm, load(w, r), load(dx, u)))
        store(dw, r, fma(dm, xv, load(dw, r)))
    elif message == ADD:
        store(dx, u, load(dx, u) + dm)
        store(dw, r, load(dw, r) + dm)
    else:
        store(dx, u, fma(dm, load(w, 2 * r), load(dx, u) + swap(dm * load(w, 2 * r + 1))))
        store(dw, 2 * r, fma(dm, xv, load(dw, 2 * r)))
        store(dw, 2 * r + 1, fma(dm, swap(xv), load(dw, 2 * r + 1)))


@inlined
def arrived(weighted, e, target, weight, gradient):
    """The gradient of a message of a sum."""
    dm = load(gradient, at(target, e))
    return dm * splat(at(weight, e)) if weighted else dm


class Loops(NamedTuple):
    forward_sum: Any
    forward_extreme: Any
    forward_pna: Any
    backward_sum: Any
    backward_relations: Any
    backward_extreme: Any
    backward_pna: Any


@cache
def loops(message: int, weighted: bool) -> Loops:
    """The loops for a message, with or without weights. Conditions on these two are decided when a kernel compiles."""

    @strict
    def forward_sum(starts, source, relation, weight, x, w, boundary, with_boundary, mean, out):
        for v in range(out.shape[0]):
            begin, end = at(starts, v), at(starts, v + 1)
            result = load(boundary, v) if with_boundary else splat(ZERO)
            other = splat(ZERO)  # two sums, as one addition would wait for the other
            e = begin
            while e + 1 < end:
                if message == MUL and not weighted:
                    result = fma(load(x, at(source, e)), load(w, at(relation, e)), result)
                    other = fma(load(x, at(source, e + 1)), load(w, at(relation, e + 1)), other)
                else:
                    result = result + sent(message, weighted, e, source, relation, weight, x, w)
                    other = other + sent(message, weighted, e + 1, source, relation, weight, x, w)
                e += 2
            if e < end:
                result = result + sent(message, weighted, e, source, relation, weight, x, w)
            result = result + other
            if mean:
                result = result / splat(np.float32(max(end - begin + with_boundary, 1)))
            store(out, v, result)

    @strict
    def forward_extreme(starts, source, relation, weight, x, w, boundary, with_boundary, sign, out):
        """The maximum, or for sign = -1 the minimum."""
        signs = splat(sign)
        for v in range(out.shape[0]):
            begin, end = at(starts, v), at(starts, v + 1)
            best = splat(ZERO)
            if with_boundary:
                best = signs * load(boundary, v)
            elif begin < end:
                best = signs * sent(message, weighted, begin, source, relation, weight, x, w)
                begin += 1
            first, unknown = best, nan(best)
            for e in range(begin, end):
                m = signs * sent(message, weighted, e, source, relation, weight, x, w)
                best = select(m > best, m, best)
                unknown = unknown | nan(m)
            if some(unknown):  # rare, and slower to look out for
                best = first
                for e in range(begin, end):
                    m = signs * sent(message, weighted, e, source, relation, weight, x, w)
                    best = select(above(m, best), m, best)
            store(out, v, signs * best)

    @strict
    def forward_pna(
        starts, source, relation, weight, x, w, boundary, with_boundary, out_mean, out_max, out_min, out_deviation
    ):
        """Sums are of differences to the first message, so that messages of a large mean keep their variance."""
        for v in range(out_mean.shape[0]):
            begin, end = at(starts, v), at(starts, v + 1)
            if begin == end and not with_boundary:
                store(out_mean, v, splat(ZERO))
                store(out_max, v, splat(ZERO))
                store(out_min, v, splat(ZERO))
                store(out_deviation, v, splat(SMALLEST_DEVIATION))
                continue
            count = splat(np.float32(end - begin + with_boundary))
            if with_boundary:
                first = load(boundary, v)
            else:
                first = sent(message, weighted, begin, source, relation, weight, x, w)
                begin += 1
            shift = select((first < splat(INFINITY)) & (first > splat(-INFINITY)), first, splat(ZERO))
            sums = first - shift
            squares = sums * sums
            largest = smallest = first
            for e in range(begin, end):
                m = sent(message, weighted, e, source, relation, weight, x, w)
                difference = m - shift
                sums = sums + difference
                squares = fma(difference, difference, squares)
                largest = select(m > largest, m, largest)
                smallest = select(m < smallest, m, smallest)
            beside = sums / count
            mean, variance = shift + beside, squares / count - beside * beside
            unsure = splat(HUNDRED) * variance < beside * beside
            if some(unsure):  # the first message lies far from the others
                shift = mean
                sums, squares = splat(ZERO), splat(ZERO)
                if with_boundary:
                    sums = first - shift
                    squares = sums * sums
                for e in range(at(starts, v), end):
                    difference = sent(message, weighted, e, source, relation, weight, x, w) - shift
                    sums = sums + difference
                    squares = fma(difference, difference, squares)
                beside = sums / count
                mean = select(unsure, shift + beside, mean)
                variance = select(unsure, squares / count - beside * beside, variance)
            if some(nan(variance)):  # rare, and slower to look out for
                largest = smallest = first
                for e in range(begin, end):
                    m = sent(message, weighted, e, source, relation, weight, x, w)
                    largest = select(above(m, largest), m, largest)
                    smallest = select(below(m, smallest), m, smallest)
            store(out_mean, v, mean)
            store(out_max, v, largest)
            store(out_min, v, smallest)
            store(out_deviation, v, root(select(variance < splat(SMALLEST), splat(SMALLEST), variance)))

    @strict
    def backward_sum(
        starts,
        source,
        relation,
        weight,
        x,
        w,
        with_boundary,
        mean,
        gradient,
        dx,
        dw,
        d_weight,
        weight_wanted,
        d_boundary,
    ):
        for v in range(gradient.shape[0]):
            begin, end = at(starts, v), at(starts, v + 1)
            dm = load(gradient, v)
            if mean:
                dm = dm / splat(np.float32(max(end - begin + with_boundary, 1)))
            for e in range(begin, end):
                spread(message, weighted, dm, e, source, relation, weight, x, w, dx, dw, d_weight, weight_wanted)
            if with_boundary:
                store(d_boundary, v, dm)

    @strict
    def backward_relations(starts, source, target, weight, x, gradient, dw):
        """The relations' gradient, of edges in groups of one relation."""
        for r in range(starts.shape[0] - 1):
            e, end = at(starts, r), at(starts, r + 1)
            result = splat(ZERO)
            other = splat(ZERO)  # two sums, as one addition would wait for the other
            if message == ROTATE:
                while e < end:
                    dm, xv = arrived(weighted, e, target, weight, gradient), load(x, at(source, e))
                    result, other = fma(dm, xv, result), fma(dm, swap(xv), other)
                    e += 1
                store(dw, 2 * r, result)
                store(dw, 2 * r + 1, other)
                continue
            while e + 1 < end:
                dm, after = (
                    arrived(weighted, e, target, weight, gradient),
                    arrived(weighted, e + 1, target, weight, gradient),
                )
                if message == MUL:
                    result = fma(dm, load(x, at(source, e)), result)
                    other = fma(after, load(x, at(source, e + 1)), other)
                else:
                    result, other = result + dm, other + after
                e += 2
            if e < end:
                dm = arrived(weighted, e, target, weight, gradient)
                result = fma(dm, load(x, at(source, e)), result) if message == MUL else result + dm
            store(dw, r, result + other)

    @strict
    def backward_extreme(
        starts,
        source,
        relation,
        weight,
        x,
        w,
        boundary,
        with_boundary,
        best,
        gradient,
        dx,
        dw,
        d_weight,
        weight_wanted,
        d_boundary,
    ):
        for v in range(gradient.shape[0]):
            left, chosen = load(gradient, v), bits(load(best, v))
            if with_boundary:
                is_best = bits(load(boundary, v)) == chosen
                store(d_boundary, v, select(is_best, left, splat(ZERO)))
                left = select(is_best, splat(ZERO), left)
            for e in range(at(starts, v), at(starts, v + 1)):
                is_best = bits(sent(message, weighted, e, source, relation, weight, x, w)) == chosen
                dm = select(is_best, left, splat(ZERO))
                left = select(is_best, splat(ZERO), left)
                spread(message, weighted, dm, e, source, relation, weight, x, w, dx, dw, d_weight, weight_wanted)

    @strict
    def backward_pna(
        starts,
        source,
        relation,
        weight,
        x,
        w,
        boundary,
        with_boundary,
        mean,
        largest,
        smallest,
        deviation,
        d_mean,
        d_max,
        d_min,
        d_deviation,
        dx,
        dw,
        d_weight,
        weight_wanted,
        d_boundary,
    ):
        for v in range(mean.shape[0]):
            begin, end = at(starts, v), at(starts, v + 1)
            count = splat(np.float32(max(end - begin + with_boundary, 1)))
            center, width = load(mean, v), load(deviation, v)
            flat = load(d_mean, v) / count
            slope = select(width <= splat(SMALLEST_DEVIATION), splat(ZERO), load(d_deviation, v) / (width * count))
            up, down = load(d_max, v), load(d_min, v)
            highest, lowest = bits(load(largest, v)), bits(load(smallest, v))
            if with_boundary:
                m = load(boundary, v)
                is_highest, is_lowest = bits(m) == highest, bits(m) == lowest
                dm = fma(slope, m - center, flat) + select(is_highest, up, splat(ZERO))
                store(d_boundary, v, dm + select(is_lowest, down, splat(ZERO)))
                up, down = select(is_highest, splat(ZERO), up), select(is_lowest, splat(ZERO), down)
            for e in range(begin, end):
                m = sent(message, weighted, e, source, relation, weight, x, w)
                is_highest, is_lowest = bits(m) == highest, bits(m) == lowest
                dm = fma(slope, m - center, flat) + select(is_highest, up, splat(ZERO))
                dm = dm + select(is_lowest, down, splat(ZERO))
                up, down = select(is_highest, splat(ZERO), up), select(is_lowest, splat(ZERO), down)
                spread(message, weighted, dm, e, source, relation, weight, x, w, dx, dw, d_weight, weight_wanted)

    return Loops(
        forward_sum, forward_extreme, forward_pna, backward_sum, backward_relations, backward_extreme, backward_pna
    )
