"""The sums over rows of a table on CPU, and their gradients; nothing of size (B, K, D) is made.

Forward, a task is a query: its rows are asked for ahead of their turn, and summed up as they come. Backward, a task is a range of
units for all pairs of a query and a row: so gradients can be added to the rows of the table as they are found, each by one
thread, in the order of the pairs. Of a mixture both rows get their part.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from gnnkg.ops import cpu
from gnnkg.ops.matching.numba_drawn_kernels import OPS
from gnnkg.ops.matching.numba_kernels import MODULUS, SINE, SQUARED, ZERO
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
TURN = 2 * math.pi
DOT = OPS["dot"]


class Kernels(NamedTuple):
    forward: Any
    backward: Any


def forward(
    op: str,
    turned: bool,
    factor: float,
    query: Float[Tensor, "B D"],
    scale: Float[Tensor, "B D"] | None,
    table: Float[Tensor, "N D"],
    ids: Int[Tensor, "B K"],
    second: Int[Tensor, "B K"] | None,
    share: Float[Tensor, "B K"] | None,
) -> Float[Tensor, "B K"]:
    """The sums. Floats are float32. Products are of rows alone, not of mixtures.

    Angles are multiplied by ``factor``; ``turned``: what a mixture is made of are phases, of which 2 pi / factor are a whole turn.
    """
    out = cpu.empty(*ids.shape)
    loops = kernels(OPS[op], share is not None, turned)
    arrays = _arrays(factor, query, scale, table, ids, second, share)
    cpu.run(loops.forward, len(query), out.numel() * query.shape[1], *arrays, out)
    return out


def backward(
    op: str,
    turned: bool,
    factor: float,
    query: Float[Tensor, "B D"],
    scale: Float[Tensor, "B D"] | None,
    table: Float[Tensor, "N D"],
    ids: Int[Tensor, "B K"],
    second: Int[Tensor, "B K"] | None,
    share: Float[Tensor, "B K"] | None,
    gradient: Float[Tensor, "B K"],
    of_table: bool,
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B D"] | None, Float[Tensor, "N D"] | None]:
    """Gradients of the query, the scale and, where it is wanted, the table."""
    d_query, d_scale = cpu.empty(*query.shape), None if scale is None else cpu.empty(*query.shape)
    d_table = cpu.empty(*table.shape) if of_table else None
    num_units = query.shape[1] // 2 if op == "modulus" else query.shape[1]
    work = 4 * gradient.numel() * query.shape[1] + table.numel()
    num_lines = -(-num_units // LANES)
    lines = -(-num_lines // cpu.threads(work))
    loops = kernels(OPS[op], share is not None, turned)
    arrays = _arrays(factor, query, scale, table, ids, second, share)
    found = d_query, _or(d_scale, d_query), of_table, _or(d_table, d_query)
    cpu.run(loops.backward, -(-num_lines // lines), work, lines, *arrays, gradient.contiguous(), *found)
    return d_query, d_scale, d_table


def _arrays(
    factor: float,
    query: Tensor,
    scale: Tensor | None,
    table: Tensor,
    ids: Tensor,
    second: Tensor | None,
    share: Tensor | None,
) -> tuple[Any, ...]:
    """As the kernels take them: of the table, columns must lie side by side."""
    query, ids = query.contiguous(), ids.contiguous()
    others = (_or(given, other).contiguous() for given, other in ((second, ids), (share, query)))
    table = table if table.stride(1) == 1 else table.contiguous()
    return np.float32(factor), np.float32(TURN / factor), query, _or(scale, query).contiguous(), table, ids, *others


def _or(given: Tensor | None, other: Tensor) -> Tensor:
    """Where kernels do not read an array any will do."""
    return other if given is None else given


@inlined
def _candidate(table, i, j, kept, period, u, lanes, mixed, turned):
    """Units from u on of row i, mixed with those of row j."""
    ours = load_some(table, i, u, lanes)
    if not mixed or kept == ONE:
        return ours
    theirs = load_some(table, j, u, lanes)
    found = fma(splat(kept), ours - theirs, theirs)
    if turned:
        found = found - splat((ONE - kept) * period) * nearest((theirs - ours) / splat(period))
    return found


@inlined
def _give(d_table, i, j, kept, u, lanes, mixed, given):
    """The gradient of a candidate to the rows that it is made of."""
    if not mixed or kept == ONE:
        store_some(d_table, i, u, lanes, load_some(d_table, i, u, lanes) + given)
        return
    store_some(d_table, i, u, lanes, fma(splat(kept), given, load_some(d_table, i, u, lanes)))
    store_some(d_table, j, u, lanes, fma(splat(ONE - kept), given, load_some(d_table, j, u, lanes)))


@inlined
def _ask_for(table, d_table, row, start, end, num_units, two, of_table):
    """For the units [start, end) of a row, and of its gradient."""
    prefetch_row(table, row, start, end)
    if two:
        prefetch_row(table, row, num_units + start, num_units + end)
    if of_table:
        prefetch_row(d_table, row, start, end)
        if two:
            prefetch_row(d_table, row, num_units + start, num_units + end)


@cache
def kernels(op: int, mixed: bool, turned: bool) -> Kernels:
    """The loops for an op, of rows or of mixtures of two, where theirs may be ``turned`` by whole periods."""
    two, scaled, product, angles = op == MODULUS, op == SQUARED, op == DOT, op == SINE

    @strict
    def forward(first, last, factor, period, query, scale, table, ids, second, share, out):
        width = table.shape[1]
        num_units = width // 2 if two else width
        num_candidates = ids.shape[1]
        rows, partners = ids.reshape(-1), second.reshape(-1)
        for b in range(first, last):
            for k in range(num_candidates):
                i, j, kept = ids[b, k], ids[b, k], ONE
                coming = min(b * num_candidates + k + AHEAD, len(rows) - 1)
                prefetch_row(table, rows[coming], 0, width)
                if mixed:
                    j, kept = second[b, k], share[b, k]
                    prefetch_row(table, partners[coming], 0, width)
                found = splat(ZERO)
                for u in range(0, num_units, LANES):
                    lanes = lanes_below(num_units - u)
                    q = load_some(query, b, u, lanes)
                    t = _candidate(table, i, j, kept, period, u, lanes, mixed, turned)
                    if product:
                        found = fma(q, t, found)
                    else:
                        a = q - (load_some(scale, b, u, lanes) * t if scaled else t)
                        c = a
                        if angles:
                            a = a * splat(factor)
                        if two:
                            v = num_units + u
                            im = _candidate(table, i, j, kept, period, v, lanes, mixed, turned)
                            c = load_some(query, b, v, lanes) - im
                        found = found + select(lanes, phi(op, a, c), splat(ZERO))
                out[b, k] = total(found)

    @strict
    def backward(
        first,
        last,
        lines,
        factor,
        period,
        query,
        scale,
        table,
        ids,
        second,
        share,
        gradient,
        d_query,
        d_scale,
        of_table,
        d_table,
    ):
        num_units = table.shape[1] // 2 if two else table.shape[1]
        num_queries, num_candidates = ids.shape
        rows, partners = ids.reshape(-1), second.reshape(-1)
        # of the query's units, or their real parts; of its scales, or its imaginary parts
        sums, more = aligned(lines), aligned(lines)
        for task in range(first, last):
            start = task * lines * LANES
            end = min(start + lines * LANES, num_units)
            num_lines = (end - start + LANES - 1) // LANES
            if of_table:
                d_table[:, start:end] = ZERO
                if two:
                    d_table[:, num_units + start : num_units + end] = ZERO
            for b in range(num_queries):
                sums[:] = ZERO
                more[:] = ZERO
                for k in range(num_candidates):
                    i, j, kept = ids[b, k], ids[b, k], ONE
                    coming = min(b * num_candidates + k + AHEAD, len(rows) - 1)
                    _ask_for(table, d_table, rows[coming], start, end, num_units, two, of_table)
                    if mixed:
                        j, kept = second[b, k], share[b, k]
                        _ask_for(table, d_table, partners[coming], start, end, num_units, two, of_table)
                    g = splat(gradient[b, k])
                    for line in range(num_lines):
                        u = start + line * LANES
                        lanes = lanes_below(num_units - u)
                        q = load_some(query, b, u, lanes)
                        t = _candidate(table, i, j, kept, period, u, lanes, mixed, turned)
                        if product:
                            given = g * q
                            store(sums, line, fma(g, t, load(sums, line)))
                        elif two:
                            v = num_units + u
                            im = _candidate(table, i, j, kept, period, v, lanes, mixed, turned)
                            a, c = q - t, load_some(query, b, v, lanes) - im
                            by = slope(op, a, c, g)
                            a, c = by * a, by * c
                            store(sums, line, load(sums, line) + a)
                            store(more, line, load(more, line) + c)
                            given = splat(ZERO) - a
                            if of_table:
                                _give(d_table, i, j, kept, v, lanes, mixed, splat(ZERO) - c)
                        elif scaled:
                            s = load_some(scale, b, u, lanes)
                            by = slope(op, q - s * t, q, g)
                            store(sums, line, load(sums, line) + by)
                            store(more, line, load(more, line) - by * t)
                            given = splat(ZERO) - by * s
                        else:
                            a = (q - t) * splat(factor) if angles else q - t
                            by = slope(op, a, q, g * splat(factor) if angles else g)
                            store(sums, line, load(sums, line) + by)
                            given = splat(ZERO) - by
                        if of_table:
                            _give(d_table, i, j, kept, u, lanes, mixed, given)
                for line in range(num_lines):
                    u = start + line * LANES
                    lanes = lanes_below(num_units - u)
                    store_some(d_query, b, u, lanes, load(sums, line))
                    if two:
                        store_some(d_query, b, num_units + u, lanes, load(more, line))
                    if scaled:
                        store_some(d_scale, b, u, lanes, load(more, line))

    return Kernels(forward, backward)
