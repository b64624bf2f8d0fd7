"""Weighted distances on GPU, in Triton: sum_u weight_u phi(query_u, tail_u) and its gradients.

A program holds a tile of (queries, candidates, units), indexed by q, k and u, in registers. The gradients of queries and of
tails are two kernels, each of which sums over the other axis in order: no atomics, the same bits every time. A modulus takes
two planes, real parts [0, U) and imaginary parts [U, 2U). Weights are loaded as 0 beyond the edges of a tile.
"""

from __future__ import annotations

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from gnnkg.ops.matching.fused import ones

Weight = Float[Tensor, "B U"] | Float[Tensor, "S K U"]

L1, SQUARED, MODULUS, SINE = (tl.constexpr(op) for op in range(4))
OPS = {"l1": L1, "squared": SQUARED, "modulus": MODULUS, "sine": SINE}

LAUNCH: dict[str, Any] = {"enable_fp_fusion": True}


@triton.jit
@no_type_check
def _phi(op: tl.constexpr, a, b):
    if op == L1:
        value = tl.abs(a)
    elif op == SQUARED:
        value = a * a
    elif op == MODULUS:
        value = tl.sqrt(a * a + b * b + 1e-12)
    else:
        value = tl.abs(tl.sin(a * 0.5))
    return value


@triton.jit
@no_type_check
def _slope(op: tl.constexpr, a, b, gradient):
    """gradient * d phi / d a; for a modulus, the factor that a and b are still to be multiplied by."""
    if op == L1:
        value = tl.where(a > 0, gradient, tl.where(a < 0, -gradient, 0.0))
    elif op == SQUARED:
        value = 2 * gradient * a
    elif op == MODULUS:
        value = gradient / tl.sqrt(a * a + b * b + 1e-12)
    else:
        s = tl.sin(a * 0.5)
        rising = 0.5 * gradient * tl.cos(a * 0.5)
        value = tl.where(s > 0, rising, tl.where(s < 0, -rising, 0.0))
    return value


@triton.jit
@no_type_check
def _load(table, rows, columns, width, row_mask, column_mask):
    """table[rows, columns] as a (rows, columns) tile, 0 outside."""
    inside = row_mask[:, None] & column_mask[None, :]
    return tl.load(table + rows[:, None] * width + columns[None, :], mask=inside, other=0.0)


@triton.jit
@no_type_check
def _tile(
    op: tl.constexpr, per_candidate: tl.constexpr, query, scale, tail, weight, q, k, u, in_q, in_k, in_u, num_units
):
    """Differences a and b, and what they are weighted by, as (queries, candidates, units); scale and tail beside them."""
    two: tl.constexpr = op == MODULUS
    width = num_units * 2 if two else num_units
    t = _load(tail, k, u, width, in_k, in_u)[None, :, :]
    c = t
    if op == SQUARED:
        c = _load(scale, q, u, num_units, in_q, in_u)[:, None, :]
        a = _load(query, q, u, width, in_q, in_u)[:, None, :] - c * t
    else:
        a = _load(query, q, u, width, in_q, in_u)[:, None, :] - t
    b = a
    if two:
        b = (
            _load(query, q, u + num_units, width, in_q, in_u)[:, None, :]
            - _load(tail, k, u + num_units, width, in_k, in_u)[None, :, :]
        )
    if per_candidate:
        w = _load(weight, k, u, num_units, in_k, in_u)[None, :, :]
    else:
        w = _load(weight, q, u, num_units, in_q, in_u)[:, None, :]
    return a, b, c, t, w


@triton.jit
@no_type_check
def _forward(
    query, scale, tail, weight, out, group, num_candidates, num_units,
    op: tl.constexpr, per_candidate: tl.constexpr, tile_q: tl.constexpr, tile_k: tl.constexpr, tile_u: tl.constexpr,
):  # fmt: skip
    q_blocks, k_blocks = tl.cdiv(group, tile_q), tl.cdiv(num_candidates, tile_k)
    program = tl.program_id(0).to(tl.int64)
    s = program // (q_blocks * k_blocks)
    q_local = program // k_blocks % q_blocks * tile_q + tl.arange(0, tile_q)
    k_local = program % k_blocks * tile_k + tl.arange(0, tile_k)
    in_q, in_k = q_local < group, k_local < num_candidates
    q, k = s * group + q_local, s * num_candidates + k_local
    total = tl.zeros((tile_q, tile_k), dtype=tl.float32)
    for u0 in range(0, num_units, tile_u):
        u = u0 + tl.arange(0, tile_u)
        in_u = u < num_units
        a, b, _, _, w = _tile(op, per_candidate, query, scale, tail, weight, q, k, u, in_q, in_k, in_u, num_units)
        total += tl.sum(w * _phi(op, a, b), axis=2)
    tl.store(out + q[:, None] * num_candidates + k_local[None, :], total, mask=in_q[:, None] & in_k[None, :])


@triton.jit
@no_type_check
def _backward_query(
    query, scale, tail, weight, gradient, d_query, d_scale, group, num_candidates, num_units,
    op: tl.constexpr, per_candidate: tl.constexpr, tile_q: tl.constexpr, tile_k: tl.constexpr, tile_u: tl.constexpr,
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
    sum_a = tl.zeros((tile_q, tile_u), dtype=tl.float32)
    sum_b = tl.zeros((tile_q, tile_u), dtype=tl.float32)
    sum_c = tl.zeros((tile_q, tile_u), dtype=tl.float32)
    for k0 in range(0, num_candidates, tile_k):
        k_local = k0 + tl.arange(0, tile_k)
        in_k = k_local < num_candidates
        k = s * num_candidates + k_local
        a, b, _, t, w = _tile(op, per_candidate, query, scale, tail, weight, q, k, u, in_q, in_k, in_u, num_units)
        g = _load(gradient, q, k_local, num_candidates, in_q, in_k)[:, :, None]
        value = _slope(op, a, b, g * w)
        if two:
            sum_b += tl.sum(value * b, axis=1)
            value = value * a
        sum_a += tl.sum(value, axis=1)
        if op == SQUARED:
            sum_c -= tl.sum(value * t, axis=1)
    inside = in_q[:, None] & in_u[None, :]
    place = q[:, None] * width + u[None, :]
    tl.store(d_query + place, sum_a, mask=inside)
    if two:
        tl.store(d_query + place + num_units, sum_b, mask=inside)
    if op == SQUARED:
        tl.store(d_scale + place, sum_c, mask=inside)


@triton.jit
@no_type_check
def _backward_tail(
    query, scale, tail, weight, gradient, d_tail, group, num_candidates, num_units,
    op: tl.constexpr, per_candidate: tl.constexpr, tile_q: tl.constexpr, tile_k: tl.constexpr, tile_u: tl.constexpr,
):  # fmt: skip
    two: tl.constexpr = op == MODULUS
    width = num_units * 2 if two else num_units
    k_blocks, u_blocks = tl.cdiv(num_candidates, tile_k), tl.cdiv(num_units, tile_u)
    program = tl.program_id(0).to(tl.int64)
    s = program // (k_blocks * u_blocks)
    k_local = program // u_blocks % k_blocks * tile_k + tl.arange(0, tile_k)
    k, in_k = s * num_candidates + k_local, k_local < num_candidates
    u = program % u_blocks * tile_u + tl.arange(0, tile_u)
    in_u = u < num_units
    sum_a = tl.zeros((tile_k, tile_u), dtype=tl.float32)
    sum_b = tl.zeros((tile_k, tile_u), dtype=tl.float32)
    for q0 in range(0, group, tile_q):
        q_local = q0 + tl.arange(0, tile_q)
        q, in_q = s * group + q_local, q_local < group
        a, b, c, _, w = _tile(op, per_candidate, query, scale, tail, weight, q, k, u, in_q, in_k, in_u, num_units)
        g = _load(gradient, q, k_local, num_candidates, in_q, in_k)[:, :, None]
        value = _slope(op, a, b, g * w)
        if two:
            sum_b -= tl.sum(value * b, axis=0)
            value = value * a
        if op == SQUARED:
            value = value * c
        sum_a -= tl.sum(value, axis=0)
    inside = in_k[:, None] & in_u[None, :]
    place = k[:, None] * width + u[None, :]
    tl.store(d_tail + place, sum_a, mask=inside)
    if two:
        tl.store(d_tail + place + num_units, sum_b, mask=inside)


def blocks(group: int, num_candidates: int, num_units: int) -> tuple[int, int, int]:
    """The tile of a program: at most 8 queries, 32 candidates and 16 units."""
    return (
        min(8, triton.next_power_of_2(group)),
        min(32, triton.next_power_of_2(num_candidates)),
        min(16, triton.next_power_of_2(num_units)),
    )


def forward(
    op: str,
    query: Float[Tensor, "B D"],
    scale: Float[Tensor, "B U"] | None,
    tail: Float[Tensor, "S K D"],
    weight: Weight | None,
) -> Float[Tensor, "B K"]:
    weight = ones(op, query) if weight is None else weight
    num_tables, num_candidates, _ = tail.shape
    group, num_units = query.shape[0] // num_tables, weight.shape[-1]
    tile = blocks(group, num_candidates, num_units)
    out = query.new_empty(query.shape[0], num_candidates)
    grid = (num_tables * triton.cdiv(group, tile[0]) * triton.cdiv(num_candidates, tile[1]),)
    with torch.cuda.device_of(query):
        _forward[grid](
            query, query if scale is None else scale, tail, weight, out, group, num_candidates, num_units,
            OPS[op], weight.dim() == 3, *tile, **LAUNCH,
        )  # fmt: skip
    return out


def backward(
    op: str,
    query: Float[Tensor, "B D"],
    scale: Float[Tensor, "B U"] | None,
    tail: Float[Tensor, "S K D"],
    weight: Weight | None,
    gradient: Float[Tensor, "B K"],
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B U"] | None, Float[Tensor, "S K D"]]:
    """Gradients of query, scale and tail."""
    weight = ones(op, query) if weight is None else weight
    num_tables, num_candidates, _ = tail.shape
    group, num_units = query.shape[0] // num_tables, weight.shape[-1]
    tile = blocks(group, num_candidates, num_units)
    d_query, d_tail = torch.empty_like(query), torch.empty_like(tail)
    d_scale = query.new_empty(query.shape[0], num_units)
    inputs = query, query if scale is None else scale, tail, weight, gradient.contiguous()
    options = group, num_candidates, num_units, OPS[op], weight.dim() == 3, *tile
    unit_blocks = triton.cdiv(num_units, tile[2])
    with torch.cuda.device_of(query):
        grid = (num_tables * triton.cdiv(group, tile[0]) * unit_blocks,)
        _backward_query[grid](*inputs, d_query, d_scale, *options, **LAUNCH)
        grid = (num_tables * triton.cdiv(num_candidates, tile[1]) * unit_blocks,)
        _backward_tail[grid](*inputs, d_tail, *options, **LAUNCH)
    return d_query, None if scale is None else d_scale, d_tail
