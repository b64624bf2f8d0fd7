"""The backward kernels of message passing; programs as in ``triton_forward.py``, whose ``merge`` ends a gradient's sum as well."""

# ruff: noqa: SIM109 -- Triton has no "in"

from __future__ import annotations

from typing import no_type_check

import triton
import triton.language as tl

from gnnkg.ops.message.triton_tiles import (
    ADD,
    MAX,
    MEAN,
    MIN,
    NOTHING,
    PNA,
    ROTATE,
    SUM,
    columns,
    load,
    out_columns,
    phi,
    pulled,
    weigh,
)


@triton.jit
@no_type_check
def _sent_back(
    aggregate: tl.constexpr, gradient, base, slope, high, low, v, e, value, width, column, column_out, dim, inside
):
    """The gradient of messages ``value`` of edges e to nodes v."""
    place = v[:, None] * width + column[None, :]
    if aggregate == SUM or aggregate == MEAN:
        found = tl.load(gradient + place, mask=inside, other=0.0).to(tl.float32)
    elif aggregate == MAX:
        best = tl.load(high + place, mask=inside, other=NOTHING)
        found = tl.load(gradient + place, mask=inside & (best == e[:, None]), other=0.0).to(tl.float32)
    elif aggregate == MIN:
        best = tl.load(low + place, mask=inside, other=NOTHING)
        found = tl.load(gradient + place, mask=inside & (best == e[:, None]), other=0.0).to(tl.float32)
    else:
        found = tl.load(base + place, mask=inside, other=0.0)
        found += tl.load(slope + place, mask=inside, other=0.0) * value
        place_out = gradient + v[:, None] * (width * 4) + column_out[None, :]
        best = tl.load(high + place, mask=inside, other=NOTHING)
        found += tl.load(place_out + dim, mask=inside & (best == e[:, None]), other=0.0).to(tl.float32)
        best = tl.load(low + place, mask=inside, other=NOTHING)
        found += tl.load(place_out + 2 * dim, mask=inside & (best == e[:, None]), other=0.0).to(tl.float32)
    return found


@triton.jit
@no_type_check
def backward(
    x, relation, weight, source, relation_of, target, gradient, base, slope, high, low,
    edges, group, start, stop, slot, d_own, values,
    num_parts, num_units, span, width, relation_width,
    message: tl.constexpr, aggregate: tl.constexpr, shared: tl.constexpr, by_relation: tl.constexpr,
    tile_e: tl.constexpr, tile_u: tl.constexpr,
):  # fmt: skip
    """The gradient of one factor of the messages, x by source or relations by relation, for each state."""
    block, part = tl.program_id(0) // num_parts, tl.program_id(0) % num_parts
    u = block * tile_u + tl.arange(0, tile_u)
    in_u = u < num_units
    column, relation_column = columns(message, False, u, span), columns(message, shared, u, span)
    if by_relation:
        own, own_width, own_column = relation, relation_width, relation_column
        other, other_of, other_width, other_column = x, source, width, column
    else:
        own, own_width, own_column = x, width, column
        other, other_of, other_width, other_column = relation, relation_of, relation_width, relation_column
    column_out, dim = out_columns(message, aggregate, u, span)
    row, slot_p = tl.load(group + part), tl.load(slot + part)
    last = tl.load(stop + part)
    own_a = tl.zeros((1, tile_u), dtype=tl.float32)
    own_b = own_a
    if aggregate == PNA:
        one_row = row + tl.zeros((1,), dtype=tl.int64)
        own_a, own_b = load(message, own, one_row, own_width, own_column, span, in_u[None, :])
    total_a = tl.zeros((tile_u,), dtype=tl.float32)
    total_b = total_a
    for i0 in range(tl.load(start + part), last, tile_e):
        i = i0 + tl.arange(0, tile_e)
        e = tl.load(edges + i, mask=i < last, other=0)
        w, here = weigh(weight, e, i < last)
        inside = here[:, None] & in_u[None, :]
        v = tl.load(target + e, mask=here, other=0)
        a = tl.zeros((tile_e, tile_u), dtype=tl.float32)
        b, other_a, other_b = a, a, a
        if message != ADD or aggregate == PNA:
            rows = tl.load(other_of + e, mask=here, other=0)
            other_a, other_b = load(message, other, rows, other_width, other_column, span, inside)
        if aggregate == PNA:
            a, b = phi(message, own_a, own_b, other_a, other_b)
        wide = w[:, None]
        sent_a = wide * _sent_back(
            aggregate, gradient, base, slope, high, low, v, e, wide * a, width, column, column_out, dim, inside
        )
        sent_b = sent_a
        if message == ROTATE:
            sent_b = wide * _sent_back(
                aggregate, gradient, base, slope, high, low, v, e, wide * b, width,
                column + span, column_out + span, dim, inside,
            )  # fmt: skip
        a, b = pulled(message, sent_a, sent_b, other_a, other_b)
        total_a += tl.sum(tl.where(inside, a, 0.0), axis=0)
        if message == ROTATE:
            total_b += tl.sum(tl.where(inside, b, 0.0), axis=0)
    place = row * width + column
    if slot_p < 0:
        tl.store(d_own + place, total_a, mask=in_u)
        if message == ROTATE:
            tl.store(d_own + place + span, total_b, mask=in_u)
    else:
        place = slot_p * width + column
        tl.store(values + place, total_a, mask=in_u)
        if message == ROTATE:
            tl.store(values + place + span, total_b, mask=in_u)


@triton.jit
@no_type_check
def backward_weight(
    x, relation, weight, source, relation_of, target, gradient, base, slope, high, low, d_weight,
    num_edges, num_units, span, width, relation_width,
    message: tl.constexpr, aggregate: tl.constexpr, shared: tl.constexpr, tile_e: tl.constexpr, tile_u: tl.constexpr,
):  # fmt: skip
    """A program has a tile of edges and loops over units."""
    e = tl.program_id(0).to(tl.int64) * tile_e + tl.arange(0, tile_e)
    in_e = e < num_edges
    w, here = weigh(weight, e, in_e)
    from_node = tl.load(source + e, mask=here, other=0)
    r = tl.load(relation_of + e, mask=here, other=0)
    v = tl.load(target + e, mask=here, other=0)
    total = tl.zeros((tile_e, tile_u), dtype=tl.float32)
    for u0 in range(0, num_units, tile_u):
        u = u0 + tl.arange(0, tile_u)
        inside = here[:, None] & (u < num_units)[None, :]
        column, relation_column = columns(message, False, u, span), columns(message, shared, u, span)
        column_out, dim = out_columns(message, aggregate, u, span)
        xa, xb = load(message, x, from_node, width, column, span, inside)
        ra, rb = load(message, relation, r, relation_width, relation_column, span, inside)
        a, b = phi(message, xa, xb, ra, rb)
        sent = _sent_back(
            aggregate, gradient, base, slope, high, low, v, e, w[:, None] * a, width, column, column_out, dim, inside
        )
        total += tl.where(inside, sent * a, 0.0)
        if message == ROTATE:
            sent = _sent_back(
                aggregate, gradient, base, slope, high, low, v, e, w[:, None] * b, width,
                column + span, column_out + span, dim, inside,
            )  # fmt: skip
            total += tl.where(inside, sent * b, 0.0)
    tl.store(d_weight + e, tl.sum(total, axis=1), mask=in_e)
