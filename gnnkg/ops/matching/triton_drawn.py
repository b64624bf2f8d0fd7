"""Matching on GPU with a mask for each pair (``drawn.py``): neither masks nor mutated candidates are stored.

Tiles and kernels are those of ``triton.py``: the gradients of queries, scales and own tails are one kernel, that of tails another.
A tile holds units: components, or for a modulus complex numbers, whose parts are two planes with a mask each.
"""

from __future__ import annotations

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from gnnkg.ops import hashing
from gnnkg.ops.matching import drawn as definition
from gnnkg.ops.matching.drawn import Drawn
from gnnkg.ops.matching.triton import LAUNCH, MODULUS, SQUARED, _load, _phi, _slope, blocks
from gnnkg.ops.matching.triton import OPS as DISTANCES

DOT = tl.constexpr(len(DISTANCES))
OPS = {**DISTANCES, "dot": DOT}
FORMS = {"both": 0, "block": 1, "low": 2, "high": 3}
BOTH, BLOCK, LOW, HIGH = (tl.constexpr(form) for form in FORMS.values())
NUMBERS = ["start", "salt", "bound"]
"""arguments for whose values nothing is to be compiled anew"""
FIRST, SECOND = tl.constexpr(hashing.FIRST), tl.constexpr(hashing.SECOND)
RANDOM, FIXED = tl.constexpr(definition.RANDOM), tl.constexpr(definition.FIXED)


@triton.jit
@no_type_check
def _mix(x):
    """On 32 bits without a sign."""
    x = x ^ (x >> 16)
    x = x * tl.full((), FIRST, tl.uint32)
    x = (x ^ (x >> 15)) * tl.full((), SECOND, tl.uint32)
    return x ^ (x >> 16)


@triton.jit
@no_type_check
def _words(form: tl.constexpr, row, component, rows, width, start, salt):
    """Of queries or candidates, (rows, components)."""
    d = component
    if form == BLOCK:
        d = component % ((width + 1) // 2)
    elif form == HIGH:
        d = component + width
    place = (d[None, :] * rows + row[:, None]).to(tl.uint32)
    return _mix(_mix(place + start.to(tl.uint32)) ^ salt.to(tl.uint32)) & RANDOM | FIXED


@triton.jit
@no_type_check
def _keep(form: tl.constexpr, q, k_row, rows, component, width, start, salt, bound):
    """Whether components of candidates stay, (queries, candidates, components)."""
    mine = _words(form, q, component, rows, width, start, salt)
    theirs = _words(form, k_row, component, rows, width, start, salt)
    return (mine[:, None, :] * theirs[None, :, :]).to(tl.int32, bitcast=True) < bound


@triton.jit
@no_type_check
def _plane(
    op: tl.constexpr,
    form: tl.constexpr,
    query,
    scale,
    tail,
    own,
    q,
    k,
    column,
    in_q,
    in_k,
    in_u,
    width,
    k_row,
    rows,
    start,
    salt,
    bound,
):
    """Difference (for ``dot`` the mutated component), mask, mutated component, query and scale, as (queries, candidates, units)."""
    keep = _keep(form, q, k_row, rows, column, width, start, salt, bound)
    t, p = _load(tail, k, column, width, in_k, in_u)[None, :, :], _load(own, q, column, width, in_q, in_u)[:, None, :]
    z = tl.where(keep, t, p)
    x = _load(query, q, column, width, in_q, in_u)[:, None, :]
    c = x
    if op == DOT:
        a = z
    elif op == SQUARED:
        c = _load(scale, q, column, width, in_q, in_u)[:, None, :]
        a = x - c * z
    else:
        a = x - z
    return a, keep, z, x, c


@triton.jit(do_not_specialize=NUMBERS)
@no_type_check
def _forward(
    query, scale, tail, own, out, start, salt, bound, rows, group, num_candidates, num_units,
    op: tl.constexpr, form: tl.constexpr, tile_q: tl.constexpr, tile_k: tl.constexpr, tile_u: tl.constexpr,
):  # fmt: skip
    two: tl.constexpr = op == MODULUS
    width = num_units * 2 if two else num_units
    q_blocks, k_blocks = tl.cdiv(group, tile_q), tl.cdiv(num_candidates, tile_k)
    program = tl.program_id(0).to(tl.int64)
    s = program // (q_blocks * k_blocks)
    q_local = program // k_blocks % q_blocks * tile_q + tl.arange(0, tile_q)
    k_local = program % k_blocks * tile_k + tl.arange(0, tile_k)
    in_q, in_k = q_local < group, k_local < num_candidates
    q, k = s * group + q_local, s * num_candidates + k_local
    k_row = rows - num_candidates + k_local
    total = tl.zeros((tile_q, tile_k), dtype=tl.float32)
    for u0 in range(0, num_units, tile_u):
        u = u0 + tl.arange(0, tile_u)
        in_u = u < num_units
        a, _, _, x, _ = _plane(
            op, form, query, scale, tail, own, q, k, u, in_q, in_k, in_u, width, k_row, rows, start, salt, bound
        )
        if op == DOT:
            value = x * a
        else:
            b = a
            v = u + num_units
            if two:
                b, _, _, _, _ = _plane(
                    op, form, query, scale, tail, own, q, k, v, in_q, in_k, in_u, width, k_row, rows, start, salt, bound
                )
            value = tl.where(in_u[None, None, :], _phi(op, a, b), 0.0)
        total += tl.sum(value, axis=2)
    tl.store(out + q[:, None] * num_candidates + k_local[None, :], total, mask=in_q[:, None] & in_k[None, :])


@triton.jit(do_not_specialize=NUMBERS)
@no_type_check
def _backward_query(
    query, scale, tail, own, gradient, d_query, d_scale, d_own, start, salt, bound, rows, group, num_candidates, num_units,
    op: tl.constexpr, form: tl.constexpr, tile_q: tl.constexpr, tile_k: tl.constexpr, tile_u: tl.constexpr,
):  # fmt: skip
    two: tl.constexpr = op == MODULUS
    width = num_units * 2 if two else num_units
    q_blocks, u_blocks = tl.cdiv(group, tile_q), tl.cdiv(num_units, tile_u)
    program = tl.program_id(0).to(tl.int64)
    s = program // (q_blocks * u_blocks)
    q_local = program // u_blocks % q_blocks * tile_q + tl.arange(0, tile_q)
    q, in_q = s * group + q_local, q_local < group
    u = program % u_blocks * tile_u + tl.arange(0, tile_u)
    in_u = u < num_units
    by_query = tl.zeros((tile_q, tile_u), dtype=tl.float32)
    by_query_b = tl.zeros((tile_q, tile_u), dtype=tl.float32)
    by_own = tl.zeros((tile_q, tile_u), dtype=tl.float32)
    by_own_b = tl.zeros((tile_q, tile_u), dtype=tl.float32)
    by_scale = tl.zeros((tile_q, tile_u), dtype=tl.float32)
    for k0 in range(0, num_candidates, tile_k):
        k_local = k0 + tl.arange(0, tile_k)
        in_k = k_local < num_candidates
        k = s * num_candidates + k_local
        k_row = rows - num_candidates + k_local
        a, keep, z, x, c = _plane(
            op, form, query, scale, tail, own, q, k, u, in_q, in_k, in_u, width, k_row, rows, start, salt, bound
        )
        g = _load(gradient, q, k_local, num_candidates, in_q, in_k)[:, :, None]
        if op == DOT:
            by_query += tl.sum(g * z, axis=1)
            by_own += tl.sum(tl.where(keep, 0.0, g * x), axis=1)
        else:
            b = a
            keep_b = keep
            v = u + num_units
            if two:
                b, keep_b, _, _, _ = _plane(
                    op, form, query, scale, tail, own, q, k, v, in_q, in_k, in_u, width, k_row, rows, start, salt, bound
                )
            value = _slope(op, a, b, g)
            if two:
                by_query_b += tl.sum(value * b, axis=1)
                by_own_b -= tl.sum(tl.where(keep_b, 0.0, value * b), axis=1)
                value = value * a
            by_query += tl.sum(value, axis=1)
            if op == SQUARED:
                by_scale -= tl.sum(value * z, axis=1)
                value = value * c
            by_own -= tl.sum(tl.where(keep, 0.0, value), axis=1)
    inside = in_q[:, None] & in_u[None, :]
    place = q[:, None] * width + u[None, :]
    tl.store(d_query + place, by_query, mask=inside)
    tl.store(d_own + place, by_own, mask=inside)
    if two:
        tl.store(d_query + place + num_units, by_query_b, mask=inside)
        tl.store(d_own + place + num_units, by_own_b, mask=inside)
    if op == SQUARED:
        tl.store(d_scale + place, by_scale, mask=inside)


@triton.jit(do_not_specialize=NUMBERS)
@no_type_check
def _backward_tail(
    query, scale, tail, own, gradient, d_tail, start, salt, bound, rows, group, num_candidates, num_units,
    op: tl.constexpr, form: tl.constexpr, tile_q: tl.constexpr, tile_k: tl.constexpr, tile_u: tl.constexpr,
):  # fmt: skip
    two: tl.constexpr = op == MODULUS
    width = num_units * 2 if two else num_units
    k_blocks, u_blocks = tl.cdiv(num_candidates, tile_k), tl.cdiv(num_units, tile_u)
    program = tl.program_id(0).to(tl.int64)
    s = program // (k_blocks * u_blocks)
    k_local = program // u_blocks % k_blocks * tile_k + tl.arange(0, tile_k)
    k, in_k = s * num_candidates + k_local, k_local < num_candidates
    k_row = rows - num_candidates + k_local
    u = program % u_blocks * tile_u + tl.arange(0, tile_u)
    in_u = u < num_units
    sum_a = tl.zeros((tile_k, tile_u), dtype=tl.float32)
    sum_b = tl.zeros((tile_k, tile_u), dtype=tl.float32)
    for q0 in range(0, group, tile_q):
        q_local = q0 + tl.arange(0, tile_q)
        q, in_q = s * group + q_local, q_local < group
        a, keep, _, x, c = _plane(
            op, form, query, scale, tail, own, q, k, u, in_q, in_k, in_u, width, k_row, rows, start, salt, bound
        )
        g = _load(gradient, q, k_local, num_candidates, in_q, in_k)[:, :, None]
        if op == DOT:
            sum_a += tl.sum(tl.where(keep, g * x, 0.0), axis=0)
        else:
            b = a
            keep_b = keep
            v = u + num_units
            if two:
                b, keep_b, _, _, _ = _plane(
                    op, form, query, scale, tail, own, q, k, v, in_q, in_k, in_u, width, k_row, rows, start, salt, bound
                )
            value = _slope(op, a, b, g)
            if two:
                sum_b -= tl.sum(tl.where(keep_b, value * b, 0.0), axis=0)
                value = value * a
            if op == SQUARED:
                value = value * c
            sum_a -= tl.sum(tl.where(keep, value, 0.0), axis=0)
    inside = in_k[:, None] & in_u[None, :]
    place = k[:, None] * width + u[None, :]
    tl.store(d_tail + place, sum_a, mask=inside)
    if two:
        tl.store(d_tail + place + num_units, sum_b, mask=inside)


def _signed(x: int) -> int:
    """The same 32 bits as a number that Triton passes as int32 whatever its size."""
    return x - (1 << 32) if x >= 1 << 31 else x


def _launch(op: str, drawn: Drawn, query: Tensor, tail: Tensor) -> tuple[tuple[int, ...], tuple[int, ...], tuple]:
    """Numbers of units, tile, and what kernels take after their tensors."""
    num_tables, num_candidates, width = tail.shape
    group, num_units = query.shape[0] // num_tables, width // 2 if op == "modulus" else width
    tile = blocks(group, num_candidates, num_units)
    start, salt = hashing.start_and_salt(drawn.seed)
    sizes = num_tables, group, num_candidates, num_units
    numbers = _signed(start), _signed(salt), drawn.threshold
    arguments = *numbers, len(query) + num_candidates, *sizes[1:], OPS[op], FORMS[drawn.form], *tile
    return sizes, tile, arguments


def forward(
    op: str,
    drawn: Drawn,
    query: Float[Tensor, "B D"],
    scale: Float[Tensor, "B D"] | None,
    tail: Float[Tensor, "S K D"],
    own: Float[Tensor, "B D"],
) -> Float[Tensor, "B K"]:
    (num_tables, group, num_candidates, _), tile, arguments = _launch(op, drawn, query, tail)
    out = query.new_empty(query.shape[0], num_candidates)
    grid = (num_tables * triton.cdiv(group, tile[0]) * triton.cdiv(num_candidates, tile[1]),)
    with torch.cuda.device_of(query):
        _forward[grid](query, query if scale is None else scale, tail, own, out, *arguments, **LAUNCH)
    return out


def backward(
    op: str,
    drawn: Drawn,
    query: Float[Tensor, "B D"],
    scale: Float[Tensor, "B D"] | None,
    tail: Float[Tensor, "S K D"],
    own: Float[Tensor, "B D"],
    gradient: Float[Tensor, "B K"],
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B D"] | None, Float[Tensor, "S K D"], Float[Tensor, "B D"]]:
    """Gradients of query, scale, tail and own."""
    (num_tables, group, num_candidates, num_units), tile, arguments = _launch(op, drawn, query, tail)
    d_query, d_tail, d_own = torch.empty_like(query), torch.empty_like(tail), torch.empty_like(own)
    d_scale = None if scale is None else torch.empty_like(scale)
    inputs = query, query if scale is None else scale, tail, own, gradient.contiguous()
    unit_blocks = triton.cdiv(num_units, tile[2])
    with torch.cuda.device_of(query):
        grid = (num_tables * triton.cdiv(group, tile[0]) * unit_blocks,)
        _backward_query[grid](*inputs, d_query, d_query if d_scale is None else d_scale, d_own, *arguments, **LAUNCH)
        grid = (num_tables * triton.cdiv(num_candidates, tile[1]) * unit_blocks,)
        _backward_tail[grid](*inputs, d_tail, *arguments, **LAUNCH)
    return d_query, d_scale, d_tail, d_own
