"""The sums over rows of a table on CPU, and their gradients; nothing of size (B, K, D) is made.

Forward, a task is a query: its rows are asked for ahead of their turn, and summed up as they come. Backward, a task is a range of
units for all pairs of a query and a row: so gradients can be added to the rows of the table as they are found, each by one
thread, in the order of the pairs. Of a mixture both rows get their part; the second, most often a row of the same query, is not
asked for.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from gnnkg.ops import cpu
from gnnkg.ops.matching.numba_drawn_kernels import OPS
from gnnkg.ops.matching.numba_kernels import MODULUS, SQUARED, ZERO
from gnnkg.ops.matching.numba_units import phi, slope
from gnnkg.ops.simd import (
    LANES,
    aligned,
    fma,
    inlined,
    lanes_below,
    load,
    load_some,
    nearest,
    prefetch_row,
    select,
    splat,
    store,
    store_some,
    strict,
    total,
)

AHEAD = 6
"""rows that are asked for before their turn"""
ONE = np.float32(1)
DOT = OPS["dot"]


class Rows(NamedTuple):
    """What kernels read rows from: a ``Gathered``, taken apart."""

    table: Float[Tensor, "N D"]
    ids: Int[Tensor, "B K"]
    factor: float = 1.0
    second: Int[Tensor, "B K"] | None = None
    share: Float[Tensor, "B K"] | None = None
    period: float | None = None
    """of all columns: mixtures are of phases"""

    def arrays(self) -> tuple[Any, ...]:
        """Rows as kernels take them: of the table, columns must lie side by side."""
        table = self.table if self.table.stride(1) == 1 else self.table.contiguous()
        return table, self.ids.contiguous(), np.float32(self.factor)

    def mixture(self) -> tuple[Any, ...]:
        """What they are mixed with; any array will do where nothing is, and a little one is quickly laid out."""
        second = self.ids if self.second is None else self.second
        share = self.table[:1] if self.share is None else self.share
        return second.contiguous(), share.contiguous(), np.float32(self.period or 1)


def forward(
    op: str, query: Float[Tensor, "B D"], scale: Float[Tensor, "B D"] | None, rows: Rows
) -> Float[Tensor, "B K"]:
    """The sums. Floats are float32. Products are of rows alone, not of mixtures."""
    query, out = query.contiguous(), cpu.empty(*rows.ids.shape)
    loops = kernels(OPS[op], rows.share is not None, rows.period is not None)
    arrays = query, query if scale is None else scale.contiguous(), *rows.arrays(), *rows.mixture(), out
    cpu.run(loops.forward, len(query), out.numel() * query.shape[1], *arrays)
    return out


def backward(
    op: str,
    query: Float[Tensor, "B D"],
    scale: Float[Tensor, "B D"] | None,
    rows: Rows,
    gradient: Float[Tensor, "B K"],
    of_table: bool,
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B D"] | None, Float[Tensor, "N D"] | None]:
    """Gradients of the query, the scale and, where it is wanted, the table."""
    query, d_query = query.contiguous(), cpu.empty(*query.shape)
    d_scale = None if scale is None else cpu.empty(*query.shape)
    d_table = cpu.empty(*rows.table.shape) if of_table else None
    num_units = query.shape[1] // 2 if op == "modulus" else query.shape[1]
    work = 4 * gradient.numel() * query.shape[1] + rows.table.numel()
    num_tasks, lines = tasks(num_units, work)
    loops = kernels(OPS[op], rows.share is not None, rows.period is not None)
    arrays = (
        query,
        query if scale is None else scale.contiguous(),
        *rows.arrays(),
        *rows.mixture(),
        gradient.contiguous(),
    )
    found = d_query, d_query if d_scale is None else d_scale, of_table, d_query if d_table is None else d_table
    cpu.run(loops.backward, num_tasks, work, lines, *arrays, *found)
    return d_query, d_scale, d_table


def tasks(num_units: int, work: int) -> tuple[int, int]:
    """Of the backward pass: how many, and of how many lines of 16 units."""
    num_lines = -(-num_units // LANES)
    lines = -(-num_lines // cpu.threads(work))
    return -(-num_lines // lines), lines


@inlined
def _candidate(how, table, row, u, lanes):
    """Units from u on of row i, mixed with those of row j."""
    _, mixed, turned, _ = how
    i, j, kept, factor, period = row
    ours = load_some(table, i, u, lanes)
    if not mixed or kept == ONE:
        return splat(factor) * ours
    theirs = load_some(table, j, u, lanes)
    found = fma(splat(kept), ours - theirs, theirs)
    if turned:
        found = found - splat((ONE - kept) * period) * nearest((theirs - ours) / splat(period))
    return splat(factor) * found


@inlined
def _give(how, d_table, row, u, lanes, given):
    """The gradient of a candidate to the rows that it is made of."""
    mixed, (i, j, kept, factor, _) = how[1], row
    if not mixed or kept == ONE:
        store_some(d_table, i, u, lanes, fma(splat(factor), given, load_some(d_table, i, u, lanes)))
        return
    store_some(d_table, i, u, lanes, fma(splat(factor * kept), given, load_some(d_table, i, u, lanes)))
    store_some(d_table, j, u, lanes, fma(splat(factor * (ONE - kept)), given, load_some(d_table, j, u, lanes)))


@inlined
def ask_for(table, d_table, row, start, end, other, of_table):
    """For the columns [start, end) of a row, of its gradient, and for as many from ``other`` on where that is above 0."""
    prefetch_row(table, row, start, end)
    if of_table:
        prefetch_row(d_table, row, start, end)
    if other > 0:
        prefetch_row(table, row, other + start, other + end)
        if of_table:
            prefetch_row(d_table, row, other + start, other + end)


@inlined
def _add(how, found, query, b, scale, table, row, u, lanes):
    """A sum and what units from u on add to it."""
    op = how[0]
    q, t = load_some(query, b, u, lanes), _candidate(how, table, row, u, lanes)
    if op == DOT:
        return fma(q, t, found)
    a = q - (load_some(scale, b, u, lanes) * t if op == SQUARED else t)
    c = a
    if op == MODULUS:
        v = table.shape[1] // 2 + u
        c = load_some(query, b, v, lanes) - _candidate(how, table, row, v, lanes)
    return found + select(lanes, phi(op, a, c), splat(ZERO))


@inlined
def _give_back(how, g, sums, more, line, query, b, scale, table, row, u, lanes, d_table):
    """A sum's gradient by units from u on: added to a line of the query's, of its scale's or imaginary part's, and to the rows'."""
    op, of_table = how[0], how[3]
    q, t = load_some(query, b, u, lanes), _candidate(how, table, row, u, lanes)
    if op == DOT:
        given = g * q
        store(sums, line, fma(g, t, load(sums, line)))
    elif op == MODULUS:
        v = table.shape[1] // 2 + u
        a, c = q - t, load_some(query, b, v, lanes) - _candidate(how, table, row, v, lanes)
        by = slope(op, a, c, g)
        a, c = by * a, by * c
        store(sums, line, load(sums, line) + a)
        store(more, line, load(more, line) + c)
        given = splat(ZERO) - a
        if of_table:
            _give(how, d_table, row, v, lanes, splat(ZERO) - c)
    elif op == SQUARED:
        s = load_some(scale, b, u, lanes)
        by = slope(op, q - s * t, q, g)
        store(sums, line, load(sums, line) + by)
        store(more, line, load(more, line) - by * t)
        given = splat(ZERO) - by * s
    else:
        by = slope(op, q - t, q, g)
        store(sums, line, load(sums, line) + by)
        given = splat(ZERO) - by
    if of_table:
        _give(how, d_table, row, u, lanes, given)


class Kernels(NamedTuple):
    forward: Any
    backward: Any


@cache
def kernels(op: int, mixed: bool, turned: bool) -> Kernels:
    """The loops for an op, of rows or of mixtures of two, where theirs may be ``turned`` by whole periods."""
    two, scaled = op == MODULUS, op == SQUARED

    @strict
    def forward(first, last, query, scale, table, ids, factor, second, share, period, out):
        width = table.shape[1]
        num_units = width // 2 if two else width
        how = (op, mixed, turned, False)
        whole = num_units - num_units % LANES  # of full lines, which take no masks: these are slow
        every, rest = lanes_below(LANES), lanes_below(num_units - whole)
        num_candidates = ids.shape[1]
        rows = ids.reshape(-1)
        for b in range(first, last):
            for k in range(num_candidates):
                coming = min(b * num_candidates + k + AHEAD, len(rows) - 1)
                prefetch_row(table, rows[coming], 0, width)
                row = (ids[b, k], ids[b, k], ONE, factor, period)
                if mixed:
                    row = (ids[b, k], second[b, k], share[b, k], factor, period)
                found = splat(ZERO)
                for u in range(0, whole, LANES):
                    found = _add(how, found, query, b, scale, table, row, u, every)
                if whole < num_units:
                    found = _add(how, found, query, b, scale, table, row, whole, rest)
                out[b, k] = total(found)

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
        second,
        share,
        period,
        gradient,
        d_query,
        d_scale,
        of_table,
        d_table,
    ):
        num_units = table.shape[1] // 2 if two else table.shape[1]
        how, other = (op, mixed, turned, of_table), num_units if two else 0
        num_queries, num_candidates = ids.shape
        rows = ids.reshape(-1)
        # of the query's units, or their real parts; of its scales, or its imaginary parts
        sums, more = aligned(lines), aligned(lines)
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
                more[:] = ZERO
                for k in range(num_candidates):
                    coming = min(b * num_candidates + k + AHEAD, len(rows) - 1)
                    ask_for(table, d_table, rows[coming], start, end, other, of_table)
                    row = (ids[b, k], ids[b, k], ONE, factor, period)
                    if mixed:
                        row = (ids[b, k], second[b, k], share[b, k], factor, period)
                    g = splat(gradient[b, k])
                    for line in range(num_whole):
                        u = start + line * LANES
                        _give_back(how, g, sums, more, line, query, b, scale, table, row, u, every, d_table)
                    if num_whole < num_lines:
                        u = start + num_whole * LANES
                        _give_back(how, g, sums, more, num_whole, query, b, scale, table, row, u, rest, d_table)
                for line in range(num_lines):
                    u = start + line * LANES
                    lanes = lanes_below(num_units - u)
                    store_some(d_query, b, u, lanes, load(sums, line))
                    if two:
                        store_some(d_query, b, num_units + u, lanes, load(more, line))
                    if scaled:
                        store_some(d_scale, b, u, lanes, load(more, line))

    return Kernels(forward, backward)
