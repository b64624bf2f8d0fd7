"""The forward kernels of message passing.

A program has one part of a group of edges and one block of units, and loops over the part's edges. Blocks are slow and parts
fast in the order of programs: one block's columns of all nodes then stay in the L2 cache while their rows are gathered. Where
a group has several parts, each writes to its slot and ``merge`` takes the slots in order: no atomics, the same bits every time.
"""

# ruff: noqa: SIM109 -- Triton has no "in"

from __future__ import annotations

from typing import no_type_check

import triton
import triton.language as tl

from gnnkg.ops.message.triton_known import begun, finish, joined, put_aside, taken_up
from gnnkg.ops.message.triton_tiles import MEAN, PNA, ROTATE, columns, load, out_columns, phi, weigh


@triton.jit
@no_type_check
def forward(
    x, relation, weight, boundary, source, relation_of, starts, group, start, stop, slot,
    out, count, mean, slope, high, low, counts, values, places,
    num_parts, plane, num_units, span, width, relation_width,
    message: tl.constexpr, aggregate: tl.constexpr, shared: tl.constexpr,
    tile_e: tl.constexpr, tile_u: tl.constexpr,
):  # fmt: skip
    block, part = tl.program_id(0) // num_parts, tl.program_id(0) % num_parts
    u = block * tile_u + tl.arange(0, tile_u)
    in_u = u < num_units
    column, relation_column = columns(message, False, u, span), columns(message, shared, u, span)
    node, slot_p = tl.load(group + part), tl.load(slot + part)
    first, last = tl.load(start + part), tl.load(stop + part)
    itself = first == (tl.load(starts + node) if boundary is not None else -1)
    a = tl.zeros((tile_u,), dtype=tl.float32)
    b = a
    if boundary is not None:
        begin = boundary + node * width + column
        wanted = u < tl.where(itself, num_units, 0)
        a = tl.load(begin, mask=wanted, other=0.0).to(tl.float32)
        if message == ROTATE:
            b = tl.load(begin + span, mask=wanted, other=0.0).to(tl.float32)
    known_a, known_b = begun(itself, a), begun(itself, b)
    before = itself.to(tl.int32)
    for e0 in range(first, last, tile_e):
        e = e0 + tl.arange(0, tile_e)
        w, here = weigh(weight, e, e < last)
        inside = here[:, None] & in_u[None, :]
        xa, xb = load(message, x, tl.load(source + e, mask=here, other=0), width, column, span, inside)
        r = tl.load(relation_of + e, mask=here, other=0)
        ra, rb = load(message, relation, r, relation_width, relation_column, span, inside)
        sent_a, sent_b = phi(message, xa, xb, ra, rb)
        if weight is not None:
            sent_a, sent_b = w[:, None] * sent_a, w[:, None] * sent_b
        after = before + tl.sum(here.to(tl.int32), axis=0)
        at = tl.broadcast_to(e[:, None], (tile_e, tile_u)).to(tl.int32)
        known_a = joined(aggregate, known_a, before, after, 1.0, sent_a, sent_a, 0.0, sent_a, at, -sent_a, at, inside)
        if message == ROTATE:
            known_b = joined(
                aggregate, known_b, before, after, 1.0, sent_b, sent_b, 0.0, sent_b, at, -sent_b, at, inside
            )
        before = after
    if slot_p < 0:
        if block == 0:
            tl.store(count + node, before)
        column_out, dim = out_columns(message, aggregate, u, span)
        wide = width
        if aggregate == PNA:
            wide = width * 4
        place = node * width + column
        place_out = node * wide + column_out
        finish(aggregate, known_a, before, out, mean, slope, high, low, place, place_out, dim, in_u)
        if message == ROTATE:
            finish(aggregate, known_b, before, out, mean, slope, high, low, place + span, place_out + span, dim, in_u)
    else:
        if block == 0:
            tl.store(counts + slot_p, before)
        place = slot_p * width + column
        put_aside(aggregate, known_a, values, places, plane, place, in_u)
        if message == ROTATE:
            put_aside(aggregate, known_b, values, places, plane, place + span, in_u)


@triton.jit
@no_type_check
def merge(
    split, slots, counts, values, places, out, count, mean, slope, high, low,
    num_split, plane, width, dim,
    aggregate: tl.constexpr, tile_s: tl.constexpr, tile_c: tl.constexpr,
):  # fmt: skip
    """The slots of a group that has several parts. Its planes need no telling apart: a unit is a column."""
    block, i = tl.program_id(0) // num_split, tl.program_id(0) % num_split
    column = block * tile_c + tl.arange(0, tile_c)
    in_c = column < width
    group = tl.load(split + i)
    known = begun(group < 0, tl.zeros((tile_c,), dtype=tl.float32))
    before = (group < 0).to(tl.int32)
    last = tl.load(slots + i + 1)
    for s0 in range(tl.load(slots + i), last, tile_s):
        s = s0 + tl.arange(0, tile_s)
        in_s = s < last
        number = tl.zeros((tile_s,), dtype=tl.int32)
        if aggregate == MEAN or aggregate == PNA:
            number = tl.load(counts + s, mask=in_s, other=0)
        after = before + tl.sum(number, axis=0)
        place = s[:, None] * width + column[None, :]
        inside = in_s[:, None] & in_c[None, :]
        number = number[:, None].to(tl.float32)
        known = taken_up(aggregate, known, before, after, number, values, places, plane, place, inside)
        before = after
    if (aggregate == MEAN or aggregate == PNA) and block == 0:
        tl.store(count + group, before)
    at = group * width + column
    at_out = at
    if aggregate == PNA:
        at_out = group * (width * 4) + column // dim * (dim * 4) + column % dim
    finish(aggregate, known, before, out, mean, slope, high, low, at, at_out, dim, in_c)
