"""What kernels do for four queries at a time.

They share what is loaded of the candidates, and their sums stay in registers where these have 64 bytes.
"""

from __future__ import annotations

from gnnkg.ops.matching.numba_kernels import ZERO
from gnnkg.ops.matching.numba_units import phi, slope
from gnnkg.ops.simd import (
    HALF,
    LANES,
    entry,
    fma,
    inlined,
    load,
    load_at,
    select,
    splat,
    store,
    store_at,
    total,
)

FOUR = 4
"""queries whose sums are formed at once"""


# What is done for four queries: f, g and h stand for four vectors, v for one.


@inlined
def phis(op, f, g):
    return phi(op, f[0], g[0]), phi(op, f[1], g[1]), phi(op, f[2], g[2]), phi(op, f[3], g[3])


@inlined
def slopes(op, f, g, by):
    return (
        slope(op, f[0], g[0], by[0]),
        slope(op, f[1], g[1], by[1]),
        slope(op, f[2], g[2], by[2]),
        slope(op, f[3], g[3], by[3]),
    )


@inlined
def same(v):
    return v, v, v, v


@inlined
def splats(table, rows, u):
    """table[row, u] of four rows"""
    return (
        splat(entry(table, rows[0], u)),
        splat(entry(table, rows[1], u)),
        splat(entry(table, rows[2], u)),
        splat(entry(table, rows[3], u)),
    )


@inlined
def loads(lines, places, step):
    return (
        load(lines, places[0] + step),
        load(lines, places[1] + step),
        load(lines, places[2] + step),
        load(lines, places[3] + step),
    )


@inlined
def plus(f, g):
    return f[0] + g[0], f[1] + g[1], f[2] + g[2], f[3] + g[3]


@inlined
def differences(f, g):
    return f[0] - g[0], f[1] - g[1], f[2] - g[2], f[3] - g[3]


@inlined
def minus(f, v):
    return f[0] - v, f[1] - v, f[2] - v, f[3] - v


@inlined
def times(f, g):
    return f[0] * g[0], f[1] * g[1], f[2] * g[2], f[3] * g[3]


@inlined
def scaled_by(v, f):
    return v * f[0], v * f[1], v * f[2], v * f[3]


@inlined
def chosen(masks, f, g):
    """f where the masks are set, elsewhere g"""
    return (
        select(masks[0], f[0], g[0]),
        select(masks[1], f[1], g[1]),
        select(masks[2], f[2], g[2]),
        select(masks[3], f[3], g[3]),
    )


@inlined
def fmas(f, g, h):
    return fma(f[0], g[0], h[0]), fma(f[1], g[1], h[1]), fma(f[2], g[2], h[2]), fma(f[3], g[3], h[3])


@inlined
def affine(offset, factor, f):
    """offset + factor * f"""
    return fmas(same(splat(factor)), f, same(splat(offset)))


@inlined
def sum_of(f):
    return (f[0] + f[1]) + (f[2] + f[3])


@inlined
def sum_of_products(f, g, v):
    """v + the products"""
    return fma(f[0], g[0], fma(f[1], g[1], v)) + fma(f[2], g[2], f[3] * g[3])


@inlined
def four_rows(b, end):
    """Four queries from b on; the last one again where there are fewer."""
    return b, min(b + 1, end - 1), min(b + 2, end - 1), min(b + 3, end - 1)


@inlined
def difference(query, scale, scaled, t):
    return (
        minus(query, t)
        if not scaled
        else (
            query[0] - scale[0] * t,
            query[1] - scale[1] * t,
            query[2] - scale[2] * t,
            query[3] - scale[3] * t,
        )
    )


@inlined
def write(out, rows, k0, values, tile):
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
def add_totals(out, u, b, end, sums):
    """out[u, b:] += the sums of four queries, as far as there are queries."""
    out[u, b] += total(sums[0])
    if b + 1 < end:
        out[u, b + 1] += total(sums[1])
    if b + 2 < end:
        out[u, b + 2] += total(sums[2])
    if b + 3 < end:
        out[u, b + 3] += total(sums[3])


@inlined
def read_gradients(lines, line, others, given, start, given_bare, bare_start, columns, both, summed, read_others):
    """Gradients of one query as whole lines, zero after the last column.

    From ``line`` on those of the sums with weights, ``summed`` with those of the sums without, ``others`` lines further.
    """
    for j in range(columns // LANES):
        k = j * LANES
        g, other = load_at(given, 0, start + k, start + k + HALF), splat(ZERO)
        if both:
            other = load_at(given_bare, 0, bare_start + k, bare_start + k + HALF)
        store(lines, line + j, g + other if summed else g)
        if read_others:
            store(lines, others + line + j, other)
    if columns % LANES:
        j = columns // LANES
        for lane in range(LANES):
            k = j * LANES + lane
            g = given[0, start + k] if k < columns else ZERO
            other = given_bare[0, bare_start + k] if both and k < columns else ZERO
            lines[line + j, lane] = g + other if summed else g
            lines[others + line + j, lane] = other
