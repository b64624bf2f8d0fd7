"""What a kernel knows of some messages while it reads more of them, plane by plane.

    total
    centre, spread    near the mean (exactly it where all are equal), and the squared distances from the mean, summed
    high, its place   the largest
    low, its place    the largest of the negatives

Beside it stands their number. Only what the aggregate needs is kept up to date; the rest costs nothing.
"""

# ruff: noqa: SIM109 -- Triton has no "in"

from __future__ import annotations

from typing import no_type_check

import triton
import triton.language as tl

from gnnkg.ops.message import reference
from gnnkg.ops.message.triton_tiles import ITSELF, MAX, MEAN, MIN, NOTHING, PNA, SUM

SMALLEST_VARIANCE = tl.constexpr(reference.SMALLEST_VARIANCE)


@triton.jit
@no_type_check
def _extreme(best, best_at, value, at, here):
    """The larger of best and the tile's largest value, and its place. Of equal ones the first counts, a NaN before numbers."""
    nan = here & (value != value)
    top = tl.max(tl.where(here & (value == value), value, float("-inf")), axis=0)
    top = tl.where(tl.max(tl.where(nan, 1, 0), axis=0) > 0, float("nan"), top)
    top_at = tl.min(tl.where(here & ((value == top[None, :]) | nan), at, NOTHING), axis=0)
    better = (best_at == NOTHING) | (top > best) | ((top != top) & (best == best))
    return tl.where(better, top, best), tl.where(better, top_at, best_at)


@triton.jit
@no_type_check
def begun(itself, value):
    """What is known of a node's boundary, or of nothing."""
    at = tl.zeros_like(value).to(tl.int32) + tl.where(itself, ITSELF, NOTHING)
    high = tl.where(itself, value, float("-inf"))
    low = tl.where(itself, -value, float("-inf"))
    return value, value, tl.zeros_like(value), high, at, low, at


@triton.jit
@no_type_check
def joined(
    aggregate: tl.constexpr, known, before, after, number, total, centre, spread, high, high_at, low, low_at, here
):
    """``known`` of ``before`` messages, with a tile of others: what is known of ``number`` messages a row makes ``after``."""
    total_k, centre_k, spread_k, high_k, high_at_k, low_k, low_at_k = known
    if (aggregate == SUM or aggregate == MEAN) or aggregate == PNA:
        total_k += tl.sum(tl.where(here, total, 0.0), axis=0)
    if aggregate == MAX or aggregate == PNA:
        high_k, high_at_k = _extreme(high_k, high_at_k, high, high_at, here)
    if aggregate == MIN or aggregate == PNA:
        low_k, low_at_k = _extreme(low_k, low_at_k, low, low_at, here)
    if aggregate == PNA:
        centre_k = tl.where(before == 0, high_k, centre_k)
        away = tl.where(here, centre - centre_k[None, :], 0.0)
        first = tl.sum(number * away, axis=0)
        second = tl.sum(tl.where(here, spread + number * away * away, 0.0), axis=0)
        step = first / tl.maximum(after, 1)
        centre_k += step
        spread_k += second - first * step
    return total_k, centre_k, spread_k, high_k, high_at_k, low_k, low_at_k


@triton.jit
@no_type_check
def finish(
    aggregate: tl.constexpr, known, count, out, mean, slope, high_place, low_place, place, place_out, dim, inside
):
    """Writes the aggregate and what its gradient needs."""
    total, _, spread, high, high_at, low, low_at = known
    number = tl.maximum(count, 1).to(tl.float32)
    high = tl.where(high_at == NOTHING, 0.0, high)
    low = tl.where(low_at == NOTHING, 0.0, -low)
    if aggregate == SUM:
        tl.store(out + place_out, total, mask=inside)
    elif aggregate == MEAN:
        tl.store(out + place_out, total / number, mask=inside)
    elif aggregate == MAX:
        tl.store(out + place_out, high, mask=inside)
        tl.store(high_place + place, high_at, mask=inside)
    elif aggregate == MIN:
        tl.store(out + place_out, low, mask=inside)
        tl.store(low_place + place, low_at, mask=inside)
    else:
        variance = spread / number
        deviation = tl.sqrt(tl.where(variance < SMALLEST_VARIANCE, SMALLEST_VARIANCE, variance))
        tl.store(out + place_out, total / number, mask=inside)
        tl.store(out + place_out + dim, high, mask=inside)
        tl.store(out + place_out + 2 * dim, low, mask=inside)
        tl.store(out + place_out + 3 * dim, deviation, mask=inside)
        tl.store(mean + place, total / number, mask=inside)
        rising = tl.where(variance >= SMALLEST_VARIANCE, 1 / (number * deviation), 0.0)
        tl.store(slope + place, rising, mask=inside)
        tl.store(high_place + place, high_at, mask=inside)
        tl.store(low_place + place, low_at, mask=inside)


@triton.jit
@no_type_check
def put_aside(aggregate: tl.constexpr, known, values, places, plane, place, inside):
    total, centre, spread, high, high_at, low, low_at = known
    if (aggregate == SUM or aggregate == MEAN) or aggregate == PNA:
        tl.store(values + place, total, mask=inside)
    if aggregate == PNA:
        tl.store(values + place + plane, centre, mask=inside)
        tl.store(values + place + 2 * plane, spread, mask=inside)
        tl.store(values + place + 3 * plane, high, mask=inside)
        tl.store(values + place + 4 * plane, low, mask=inside)
    if aggregate == MAX:
        tl.store(values + place, high, mask=inside)
    if aggregate == MIN:
        tl.store(values + place, low, mask=inside)
    if aggregate == MAX or aggregate == PNA:
        tl.store(places + place, high_at, mask=inside)
    if aggregate == PNA:
        tl.store(places + place + plane, low_at, mask=inside)
    if aggregate == MIN:
        tl.store(places + place, low_at, mask=inside)


@triton.jit
@no_type_check
def taken_up(aggregate: tl.constexpr, known, before, after, number, values, places, plane, place, inside):
    """``known``, with what was put aside at a tile of places."""
    value = tl.load(values + place, mask=inside, other=0.0)
    at = tl.zeros_like(value).to(tl.int32)
    centre, spread, high, low, low_at = value, value, value, value, at
    here = inside
    if (aggregate == MAX or aggregate == MIN) or aggregate == PNA:
        at = tl.load(places + place, mask=inside, other=NOTHING)
        here = inside & (at != NOTHING)
        low_at = at
    if aggregate == PNA:
        centre = tl.load(values + place + plane, mask=inside, other=0.0)
        spread = tl.load(values + place + 2 * plane, mask=inside, other=0.0)
        high = tl.load(values + place + 3 * plane, mask=inside, other=0.0)
        low = tl.load(values + place + 4 * plane, mask=inside, other=0.0)
        low_at = tl.load(places + place + plane, mask=inside, other=NOTHING)
    return joined(aggregate, known, before, after, number, value, centre, spread, high, at, low, low_at, here)
