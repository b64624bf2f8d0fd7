"""The sums over rows of a table that are mutated towards each query's own tail, on CPU, and their gradients.

As ``numba_gathered.py``, but a component is the row's where a mask says so and elsewhere the own tail's; of ``both`` the sum of the
row as it is too. Masks are rows that queries have, or drawn for each pair (``drawn.py``). Two components are looked at together: w
and W + w, where W is half the width, rounded up: they share a hash word, and in a modulus a complex number.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.ops import cpu
from gnnkg.ops.matching import drawn as hashed
from gnnkg.ops.matching import reference
from gnnkg.ops.matching.drawn import Drawn
from gnnkg.ops.matching.numba_drawn_kernels import OPS, key_of
from gnnkg.ops.matching.numba_gathered import AHEAD, DOT, Kernels, Rows, ask_for, tasks
from gnnkg.ops.matching.numba_kernels import MODULUS, SQUARED, ZERO
from gnnkg.ops.matching.numba_units import phi, slope
from gnnkg.ops.matching.numba_words import BLOCK, BOTH, FORMS, HIGH, LOW, half_of, stir
from gnnkg.ops.simd import (
    LANES,
    aligned,
    fma,
    inlined,
    lanes_below,
    load,
    load_some,
    prefetch_row,
    select,
    splat,
    store,
    store_some,
    strict,
    total,
)

ROWS = len(FORMS)
"""the form of masks that are rows of queries"""
Keep = Float[Tensor, "B D"] | Drawn


def forward(
    op: str,
    query: Float[Tensor, "B D"],
    scale: Float[Tensor, "B D"] | None,
    rows: Rows,
    own: Float[Tensor, "B D"],
    keep: Keep,
    both: bool,
) -> tuple[Float[Tensor, "B K"], ...]:
    """The sums of mutated candidates; of ``both`` those of the candidates as they are first. Floats are float32."""
    query, own, scale = query.contiguous(), own.contiguous(), None if scale is None else scale.contiguous()
    out = cpu.empty(*rows.ids.shape)
    bare = cpu.empty(*rows.ids.shape) if both else out
    # what each component adds where it is the own tail's; of a modulus, which has two, the difference
    units: reference.Units = getattr(reference, f"{op}_units")
    mine = query - own if op == "modulus" else units(query, own if scale is None else scale * own)
    form, masks = _masks(keep, query)
    loops = kernels(OPS[op], form, both)
    arrays = query, query if scale is None else scale, *rows.arrays(), mine, *masks
    cpu.run(loops.forward, len(query), 2 * out.numel() * query.shape[1], *arrays, out, bare)
    return (bare, out) if both else (out,)


def backward(
    op: str,
    query: Float[Tensor, "B D"],
    scale: Float[Tensor, "B D"] | None,
    rows: Rows,
    own: Float[Tensor, "B D"],
    keep: Keep,
    gradients: tuple[Float[Tensor, "B K"], ...],
    of_table: bool,
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B D"] | None, Float[Tensor, "N D"] | None, Float[Tensor, "B D"]]:
    """Gradients of the query, the scale, where it is wanted the table, and the own tails."""
    d_query, d_own, d_scale = (cpu.empty(*query.shape) for _ in range(3))
    d_table = cpu.empty(*rows.table.shape) if of_table else None
    work = 8 * gradients[0].numel() * query.shape[1] + rows.table.numel()
    num_tasks, lines = tasks(-(-query.shape[1] // 2), work)
    form, masks = _masks(keep, query)
    loops = kernels(OPS[op], form, len(gradients) == 2)
    arrays = query.contiguous(), query if scale is None else scale.contiguous(), *rows.arrays(), own.contiguous()
    given = gradients[-1].contiguous(), gradients[0].contiguous()
    found = d_query, d_scale, d_own, of_table, d_query if d_table is None else d_table
    cpu.run(loops.backward, num_tasks, work, lines, *arrays, *masks, *given, *found)
    return d_query, None if scale is None else d_scale, d_table, d_own


def _masks(keep: Keep, query: Tensor) -> tuple[int, tuple[Any, ...]]:
    """The form of masks, and what kernels read them from: rows of queries, or what hash words are made of."""
    if not isinstance(keep, Drawn):
        nothing = _in_lines(np.zeros(0, np.int32))
        return ROWS, (keep.contiguous(), np.uint32(0), np.uint32(0), np.int32(0), nothing, nothing)
    half = -(-query.shape[1] // 2)
    start, salt, threshold = keep.numbers()
    form = FORMS[keep.form]
    words = _in_lines(_words(1, half))
    others = _in_lines(_words(half + 1, half)) if form in (LOW, HIGH) else words
    return form, (query.contiguous(), np.uint32(start), np.uint32(salt), np.int32(threshold), words, others)


def _words(first: int, number: int) -> np.ndarray:
    return hashed.mix(torch.arange(first, first + number)).numpy().astype(np.uint32).view(np.int32)


def _in_lines(words: np.ndarray) -> np.ndarray:
    """(lines, 16), as vectors are loaded from."""
    lines = _aligned(-(-len(words) // LANES)).view(np.int32)
    lines.reshape(-1)[: len(words)] = words
    return lines


@strict
def _aligned(rows):
    return aligned(rows)


@inlined
def _kept(form, keep, b, key, words, other_words, u, half, lanes, other_lanes, threshold):
    """The masks of the components u + 0 .. 15 and half + u + 0 .. 15."""
    if form == ROWS:
        zero = splat(ZERO)
        return load_some(keep, b, u, lanes) > zero, load_some(keep, b, half + u, other_lanes) > zero
    line = u // LANES
    x = stir(splat(key) ^ load(words, line))
    here = half_of(form != HIGH, x) < splat(threshold)
    if form == BLOCK:
        return here, here
    y = x if form == BOTH else stir(splat(key) ^ load(other_words, line))
    return here, half_of(form == LOW, y) < splat(threshold)


@inlined
def _add(table, line, v):
    """To one of the lines of sums."""
    store(table, line, load(table, line) + v)


@inlined
def _add_to_row(d_table, i, u, lanes, v):
    store_some(d_table, i, u, lanes, load_some(d_table, i, u, lanes) + v)


@inlined
def _adds(op, q, s, t):
    """What a component adds: the product, or phi of the difference."""
    if op == DOT:
        return q * t
    a = q - (s * t if op == SQUARED else t)
    return phi(op, a, a)


@inlined
def _write(op, d_query, d_scale, d_own, query, scale, own, b, u, lanes, of_query, of_own, of_scale, line):
    """The gradients of a query's components from u on, from the sums over its candidates."""
    q, p = load_some(query, b, u, lanes), load_some(own, b, u, lanes)
    dq, lost = load(of_query, line), load(of_own, line)
    if op == MODULUS:
        store_some(d_query, b, u, lanes, dq)
        store_some(d_own, b, u, lanes, splat(ZERO) - lost)
        return
    if op == DOT:
        store_some(d_query, b, u, lanes, fma(lost, p, dq))
        store_some(d_own, b, u, lanes, lost * q)
        return
    if op == SQUARED:
        s = load_some(scale, b, u, lanes)
        by = slope(op, q - s * p, q, lost)
        store_some(d_scale, b, u, lanes, load(of_scale, line) - by * p)
        store_some(d_own, b, u, lanes, splat(ZERO) - by * s)
    else:
        by = slope(op, q - p, q, lost)
        store_some(d_own, b, u, lanes, splat(ZERO) - by)
    store_some(d_query, b, u, lanes, dq + by)


@cache
def kernels(op: int, form: int, both: bool) -> Kernels:
    """The loops for an op and a form of masks; ``bare`` and its gradient are read and written where ``both`` are asked for."""
    two, scaled, product = op == MODULUS, op == SQUARED, op == DOT

    @strict
    def forward(
        first,
        last,
        query,
        scale,
        table,
        ids,
        factor,
        mine,
        keep,
        start,
        salt,
        threshold,
        words,
        other_words,
        out,
        bare,
    ):
        width = table.shape[1]
        half = (width + 1) // 2
        num_candidates = ids.shape[1]
        rows = ids.reshape(-1)
        zero = splat(ZERO)
        for b in range(first, last):
            for k in range(num_candidates):
                pair = b * num_candidates + k
                prefetch_row(table, rows[min(pair + AHEAD, len(rows) - 1)], 0, width)
                i, key = ids[b, k], np.int32(key_of(start, salt, pair))
                sums, bare_sums = zero, zero
                for u in range(0, half, LANES):
                    v = half + u
                    la, lb = lanes_below(half - u), lanes_below(width - v)
                    ka, kb = _kept(form, keep, b, key, words, other_words, u, half, la, lb, threshold)
                    qa, qb = load_some(query, b, u, la), load_some(query, b, v, lb)
                    ta, tb = splat(factor) * load_some(table, i, u, la), splat(factor) * load_some(table, i, v, lb)
                    pa, pb = load_some(mine, b, u, la), load_some(mine, b, v, lb)
                    if two:
                        a, c = qa - ta, qb - tb
                        sums = sums + select(la, phi(op, select(ka, a, pa), select(kb, c, pb)), zero)
                        if both:
                            bare_sums = bare_sums + select(la, phi(op, a, c), zero)
                    else:
                        ha = _adds(op, qa, load_some(scale, b, u, la) if scaled else qa, ta)
                        hb = _adds(op, qb, load_some(scale, b, v, lb) if scaled else qb, tb)
                        sums = sums + (select(ka, ha, pa) + select(kb, hb, pb))
                        if both:
                            bare_sums = bare_sums + (ha + hb)
                out[b, k] = total(sums)
                if both:
                    bare[b, k] = total(bare_sums)

    @strict
    def backward(
        first,
        last,
        lines,
        query,
        scale,
        table,
        ids,
        factor,
        own,
        keep,
        start,
        salt,
        threshold,
        words,
        other_words,
        gradient,
        bare,
        d_query,
        d_scale,
        d_own,
        of_table,
        d_table,
    ):
        """A task is so many ``lines`` of the components w, with those of W + w."""
        width = table.shape[1]
        half = (width + 1) // 2
        num_queries, num_candidates = ids.shape
        rows = ids.reshape(-1)
        zero, f = splat(ZERO), splat(factor)
        # for each query, of the first and of the second components: its gradient, that of its own tail (but in a modulus what the
        # mask took from candidates), and that of its scale
        dqa, dqb, dpa, dpb, dca, dcb = (
            aligned(lines),
            aligned(lines),
            aligned(lines),
            aligned(lines),
            aligned(lines),
            aligned(lines),
        )
        for task in range(first, last):
            begin = task * lines * LANES
            end = min(begin + lines * LANES, half)
            num_lines = (end - begin + LANES - 1) // LANES
            if of_table:
                d_table[:, begin:end] = ZERO
                d_table[:, half + begin : half + end] = ZERO
            for b in range(num_queries):
                for line in range(num_lines):
                    store(dqa, line, zero)
                    store(dqb, line, zero)
                    store(dpa, line, zero)
                    store(dpb, line, zero)
                    store(dca, line, zero)
                    store(dcb, line, zero)
                for k in range(num_candidates):
                    pair = b * num_candidates + k
                    ask_for(table, d_table, rows[min(pair + AHEAD, len(rows) - 1)], begin, end, half, of_table)
                    i, key = ids[b, k], np.int32(key_of(start, salt, pair))
                    g, g_bare = splat(gradient[b, k]), splat(bare[b, k] if both else ZERO)
                    for line in range(num_lines):
                        u = begin + line * LANES
                        v = half + u
                        la, lb = lanes_below(half - u), lanes_below(width - v)
                        ka, kb = _kept(form, keep, b, key, words, other_words, u, half, la, lb, threshold)
                        qa, qb = load_some(query, b, u, la), load_some(query, b, v, lb)
                        ta, tb = f * load_some(table, i, u, la), f * load_some(table, i, v, lb)
                        if two:
                            pa, pb = load_some(own, b, u, la), load_some(own, b, v, lb)
                            a, c = qa - select(ka, ta, pa), qb - select(kb, tb, pb)
                            by = slope(op, a, c, g)
                            a, c = by * a, by * c
                            _add(dqa, line, a)
                            _add(dqb, line, c)
                            _add(dpa, line, select(ka, zero, a))
                            _add(dpb, line, select(kb, zero, c))
                            a, c = select(ka, a, zero), select(kb, c, zero)
                            if both:
                                x, y = qa - ta, qb - tb
                                by = slope(op, x, y, g_bare)
                                x, y = by * x, by * y
                                _add(dqa, line, x)
                                _add(dqb, line, y)
                                a, c = a + x, c + y
                            if of_table:
                                _add_to_row(d_table, i, u, la, zero - f * a)
                                _add_to_row(d_table, i, v, lb, zero - f * c)
                        else:
                            _add(dpa, line, select(ka, zero, g))
                            _add(dpb, line, select(kb, zero, g))
                            ga, gb = select(ka, g, zero), select(kb, g, zero)
                            if both:
                                ga, gb = ga + g_bare, gb + g_bare
                            if product:
                                _add(dqa, line, ga * ta)
                                _add(dqb, line, gb * tb)
                                ga, gb = ga * qa, gb * qb
                            elif scaled:
                                sa, sb = load_some(scale, b, u, la), load_some(scale, b, v, lb)
                                a, c = slope(op, qa - sa * ta, qa, ga), slope(op, qb - sb * tb, qb, gb)
                                _add(dqa, line, a)
                                _add(dqb, line, c)
                                _add(dca, line, zero - a * ta)
                                _add(dcb, line, zero - c * tb)
                                ga, gb = zero - a * sa, zero - c * sb
                            else:
                                a, c = slope(op, qa - ta, qa, ga), slope(op, qb - tb, qb, gb)
                                _add(dqa, line, a)
                                _add(dqb, line, c)
                                ga, gb = zero - a, zero - c
                            if of_table:
                                _add_to_row(d_table, i, u, la, f * ga)
                                _add_to_row(d_table, i, v, lb, f * gb)
                for line in range(num_lines):
                    u = begin + line * LANES
                    v = half + u
                    la, lb = lanes_below(half - u), lanes_below(width - v)
                    _write(op, d_query, d_scale, d_own, query, scale, own, b, u, la, dqa, dpa, dca, line)
                    _write(op, d_query, d_scale, d_own, query, scale, own, b, v, lb, dqb, dpb, dcb, line)

    return Kernels(forward, backward)
