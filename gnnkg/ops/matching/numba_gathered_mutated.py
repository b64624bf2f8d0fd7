"""The sums over rows of a table that are mutated towards each query's own tail, on CPU, and their gradients.

As ``numba_gathered.py``, but a component is the row's where a mask says so and elsewhere the own tail's; of ``both`` the sum of the
row as it is too. Masks are rows that queries have, or drawn for each pair (``drawn.py``).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from gnnkg.ops import cpu
from gnnkg.ops.matching.drawn import Drawn
from gnnkg.ops.matching.numba_drawn import of_own, words
from gnnkg.ops.matching.numba_drawn_kernels import OPS
from gnnkg.ops.matching.numba_gathered import AHEAD, DOT, Kernels, Rows, ask_for, tasks
from gnnkg.ops.matching.numba_kernels import MODULUS, SQUARED, ZERO
from gnnkg.ops.matching.numba_units import phi, slope
from gnnkg.ops.simd import (
    LANES,
    aligned,
    bits,
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
    mine = of_own(op, query, scale, own)
    masks = _masks(op, keep, rows)
    loops = kernels(OPS[op], isinstance(keep, Drawn), both)
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
    num_tasks, lines = tasks(query.shape[1] // _parts(op), work)
    masks = _masks(op, keep, rows)
    loops = kernels(OPS[op], isinstance(keep, Drawn), len(gradients) == 2)
    arrays = query.contiguous(), query if scale is None else scale.contiguous(), *rows.arrays(), own.contiguous()
    given = gradients[-1].contiguous(), gradients[0].contiguous()
    found = d_query, d_scale, d_own, of_table, d_query if d_table is None else d_table
    cpu.run(loops.backward, num_tasks, work, lines, *arrays, *masks, *given, *found)
    return d_query, None if scale is None else d_scale, d_table, d_own


def _parts(op: str) -> int:
    """The components of a unit."""
    return 2 if op == "modulus" else 1


def _masks(op: str, keep: Keep, rows: Rows) -> tuple[Tensor, Tensor, np.int32]:
    """What kernels read masks from: rows of queries, or the words of queries and candidates, as the bits of floats in whole lines;
    those of imaginary parts begin a line.
    """
    if not isinstance(keep, Drawn):
        return keep.contiguous(), rows.table, np.int32(0)
    num_queries, num_candidates = rows.ids.shape
    parts = keep.components(rows.table.shape[1]).view(_parts(op), -1)
    components = functional.pad(parts, (0, -parts.shape[1] % LANES)).flatten()
    mine, theirs = words(keep.seed, components, num_queries, num_candidates)
    mine, theirs = (each.view(torch.float32).view(-1, LANES) for each in (mine, theirs))
    return mine, theirs, np.int32(keep.threshold)


@inlined
def _kept(how, keep, tail_words, pair, num_units, part, u, lanes):
    """Which components stay the row's: those of the units from u on, or the imaginary parts of these (part 1)."""
    (op, drawn, _, _, _, threshold), (_, b, k) = how, pair
    if not drawn:
        return load_some(keep, b, part * num_units + u, lanes) > splat(ZERO)
    num_lines = (num_units + LANES - 1) // LANES
    lines_of_row = 2 * num_lines if op == MODULUS else num_lines
    line = part * num_lines + u // LANES
    mine, theirs = load(keep, b * lines_of_row + line), load(tail_words, k * lines_of_row + line)
    return bits(mine) * bits(theirs) < splat(threshold)


@inlined
def _add(how, found, query, scale, mine, table, keep, tail_words, pair, u, lanes):
    """The sums, mutated and as they are, and what units from u on add to them."""
    (op, _, both, _, f, _), (sums, bare_sums), (i, b, _) = how, found, pair
    num_units = table.shape[1] // 2 if op == MODULUS else table.shape[1]
    kept = _kept(how, keep, tail_words, pair, num_units, 0, u, lanes)
    q, t, own = load_some(query, b, u, lanes), f * load_some(table, i, u, lanes), load_some(mine, b, u, lanes)
    if op == MODULUS:
        v = num_units + u
        also = _kept(how, keep, tail_words, pair, num_units, 1, u, lanes)
        a, c = q - t, load_some(query, b, v, lanes) - f * load_some(table, i, v, lanes)
        z, other = select(kept, a, own), select(also, c, load_some(mine, b, v, lanes))
        sums = sums + select(lanes, phi(op, z, other), splat(ZERO))
        if both:
            bare_sums = bare_sums + select(lanes, phi(op, a, c), splat(ZERO))
        return sums, bare_sums
    a = q if op == DOT else q - (load_some(scale, b, u, lanes) * t if op == SQUARED else t)
    here = a * t if op == DOT else phi(op, a, a)
    return sums + select(kept, here, own), bare_sums + here


@inlined
def _more(table, line, v):
    """Added to one of the lines of sums."""
    store(table, line, load(table, line) + v)


@inlined
def _give(d_table, i, u, lanes, given):
    store_some(d_table, i, u, lanes, load_some(d_table, i, u, lanes) + given)


@inlined
def _give_back(how, gradients, sums, query, scale, own, table, d_table, keep, tail_words, at, lanes):
    """The sums' gradients by units from u on: added to lines of the query, its own tail and its scale, and to the row's."""
    (op, _, both, of_table, f, _), (g, g_bare), (i, b, k, u, line, lines) = how, gradients, at
    pair = i, b, k
    lost, more, more_lost = lines + line, 2 * lines + line, 3 * lines + line
    zero = splat(ZERO)
    num_units = table.shape[1] // 2 if op == MODULUS else table.shape[1]
    v = num_units + u
    kept = _kept(how, keep, tail_words, pair, num_units, 0, u, lanes)
    q, t = load_some(query, b, u, lanes), f * load_some(table, i, u, lanes)
    if op == MODULUS:
        also = _kept(how, keep, tail_words, pair, num_units, 1, u, lanes)
        r, w = load_some(query, b, v, lanes), f * load_some(table, i, v, lanes)
        a = q - select(kept, t, load_some(own, b, u, lanes))
        c = r - select(also, w, load_some(own, b, v, lanes))
        by = slope(op, a, c, g)
        a, c = by * a, by * c
        _more(sums, lost, select(kept, zero, a))
        _more(sums, more_lost, select(also, zero, c))
        given, also_given = select(kept, zero - a, zero), select(also, zero - c, zero)
        if both:
            x, y = q - t, r - w
            by = slope(op, x, y, g_bare)
            x, y = by * x, by * y
            a, c = a + x, c + y
            given, also_given = given - x, also_given - y
        _more(sums, line, a)
        _more(sums, more, c)
    else:
        _more(sums, lost, select(kept, zero, g))
        by = select(kept, g, zero)
        if both:
            by = by + g_bare
        if op == DOT:
            _more(sums, line, by * t)
            given = by * q
        elif op == SQUARED:
            s = load_some(scale, b, u, lanes)
            by = slope(op, q - s * t, q, by)
            _more(sums, line, by)
            _more(sums, more, zero - by * t)
            given = zero - by * s
        else:
            by = slope(op, q - t, q, by)
            _more(sums, line, by)
            given = zero - by
        also_given = given
    if of_table:  # the only way out: elsewhere Numba would count references to arrays in the inner loop
        _give(d_table, i, u, lanes, f * given)
        if op == MODULUS:
            _give(d_table, i, v, lanes, f * also_given)


@inlined
def _write(op, d_query, d_scale, d_own, query, scale, own, b, u, lanes, sums, line, lost, of_scale):
    """The gradients of a query's components from u on, from the sums over its candidates."""
    q, p = load_some(query, b, u, lanes), load_some(own, b, u, lanes)
    dq, lost = load(sums, line), load(sums, lost)
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
        store_some(d_scale, b, u, lanes, load(sums, of_scale) - by * p)
        store_some(d_own, b, u, lanes, splat(ZERO) - by * s)
    else:
        by = slope(op, q - p, q, lost)
        store_some(d_own, b, u, lanes, splat(ZERO) - by)
    store_some(d_query, b, u, lanes, dq + by)


@cache
def kernels(op: int, drawn: bool, both: bool) -> Kernels:
    """The loops for an op, with masks that are drawn or rows. ``bare`` and its gradient are read and written where ``both`` are
    asked for.
    """
    two = op == MODULUS

    @strict
    def forward(first, last, query, scale, table, ids, factor, mine, keep, tail_words, threshold, out, bare):
        width = table.shape[1]
        num_units = width // 2 if two else width
        how = op, drawn, both, False, splat(factor), threshold
        whole = num_units - num_units % LANES  # of full lines, which take no masks of lanes: these are slow
        every, rest = lanes_below(LANES), lanes_below(num_units - whole)
        num_candidates = ids.shape[1]
        rows = ids.reshape(-1)
        for b in range(first, last):
            for k in range(num_candidates):
                prefetch_row(table, rows[min(b * num_candidates + k + AHEAD, len(rows) - 1)], 0, width)
                pair = ids[b, k], b, k
                found = splat(ZERO), splat(ZERO)
                for u in range(0, whole, LANES):
                    found = _add(how, found, query, scale, mine, table, keep, tail_words, pair, u, every)
                if whole < num_units:
                    found = _add(how, found, query, scale, mine, table, keep, tail_words, pair, whole, rest)
                out[b, k] = total(found[0])
                if both:
                    bare[b, k] = total(found[1])

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
        tail_words,
        threshold,
        gradient,
        bare,
        d_query,
        d_scale,
        d_own,
        of_table,
        d_table,
    ):
        """A task is so many ``lines`` of 16 units."""
        num_units = table.shape[1] // 2 if two else table.shape[1]
        how = op, drawn, both, of_table, splat(factor), threshold
        num_queries, num_candidates = ids.shape
        rows = ids.reshape(-1)
        # lines of the query's units, then of its own tail's, then of the imaginary parts of both, or of the scale
        sums = aligned(4 * lines)
        for task in range(first, last):
            start = task * lines * LANES
            end = min(start + lines * LANES, num_units)
            num_lines, num_whole = (end - start + LANES - 1) // LANES, (end - start) // LANES
            every, rest = lanes_below(LANES), lanes_below((end - start) % LANES)
            if of_table:
                d_table[:, start:end] = ZERO
                if two:
                    d_table[:, num_units + start : num_units + end] = ZERO
            for b in range(num_queries):
                sums[:] = ZERO
                for k in range(num_candidates):
                    coming = rows[min(b * num_candidates + k + AHEAD, len(rows) - 1)]
                    ask_for(table, d_table, coming, start, end, num_units if two else 0, of_table)
                    i = ids[b, k]
                    g = splat(gradient[b, k]), splat(bare[b, k] if both else ZERO)
                    for line in range(num_whole):
                        at = i, b, k, start + line * LANES, line, lines
                        _give_back(how, g, sums, query, scale, own, table, d_table, keep, tail_words, at, every)
                    if num_whole < num_lines:
                        at = i, b, k, start + num_whole * LANES, num_whole, lines
                        _give_back(how, g, sums, query, scale, own, table, d_table, keep, tail_words, at, rest)
                for line in range(num_lines):
                    u = start + line * LANES
                    lanes = lanes_below(num_units - u)
                    lost, more = lines + line, 2 * lines + line
                    _write(op, d_query, d_scale, d_own, query, scale, own, b, u, lanes, sums, line, lost, more)
                    if two:
                        v, lost = num_units + u, 3 * lines + line
                        _write(op, d_query, d_scale, d_own, query, scale, own, b, v, lanes, sums, more, lost, more)

    return Kernels(forward, backward)
