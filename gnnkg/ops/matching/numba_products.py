"""What products need beside matrix products, on CPU, in one pass where torch takes two or three."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnnkg.ops import cpu
from gnnkg.ops.matching.numba import rows_of_masks, strided

ZERO, ONE = np.float32(0), np.float32(1)
BLOCK, TILE = 8, 16
"""queries in a task; those whose gradients are put back together"""


def backward(
    query: Float[Tensor, "B D"], tail: Float[Tensor, "B K D"], gradient: Float[Tensor, "B K"]
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B K D"]]:
    """Of sum_d query_d * tail_d, to query and tail. Float32."""
    d_query, d_tail = cpu.empty(*query.shape), cpu.empty(*tail.shape)
    arrays = query.contiguous(), tail.contiguous(), gradient.contiguous(), d_query, d_tail
    cpu.run(_backward, len(query), 2 * tail.numel(), *arrays)
    return d_query, d_tail


@cpu.kernel
def _backward(first, last, query, tail, gradient, d_query, d_tail):
    """A task is a query."""
    for b in range(first, last):
        q, dq = query[b], d_query[b]
        dq[:] = ZERO
        for k in range(tail.shape[1]):
            g, t, dt = gradient[b, k], tail[b, k], d_tail[b, k]
            for d in range(len(q)):
                dt[d] = g * q[d]
            for d in range(len(q)):
                dq[d] += g * t[d]


def join(
    plain: Float[Tensor, "B X"],
    kept: Float[Tensor, "B X"],
    query: Float[Tensor, "B D"],
    own: Float[Tensor, "B D"],
    keep: Float[Tensor, "G D"],
    leader: Float[Tensor, "B D"] | None,
) -> None:
    """Makes of the products of components that masks take out, ``plain``, and of those that they keep, ``kept``, the sums without
    masks and with them. The first column is the leader's, where there is one.
    """
    place = rows_of_masks(len(query), len(keep))
    arrays = plain, kept, query, own, keep, place, query if leader is None else leader, leader is not None
    cpu.run(_join, -(-len(plain) // BLOCK), 2 * plain.numel(), *arrays)


@cpu.kernel
def _join(first, last, plain, kept, query, own, keep, place, leader, led):
    for b in range(first * BLOCK, min(last * BLOCK, len(plain))):
        q, o, w, lost = query[b], own[b], keep[place[b]], ZERO
        for d in range(len(q)):
            lost += (ONE - w[d]) * q[d] * o[d]
        p, k = plain[b, int(led) :], kept[b, int(led) :]
        for j in range(len(p)):
            p[j] += k[j]
        for j in range(len(k)):
            k[j] += lost
        if led:
            mine, first_score = leader[b], ZERO
            for d in range(len(q)):
                first_score += q[d] * mine[d]
            plain[b, 0] = kept[b, 0] = first_score


def put_back(found: Float[Tensor, "D X"], order: Int[Tensor, " D"], rows: Float[Tensor, "X D"]) -> None:
    """rows[x, order[d]] = found[d, x]"""
    cpu.run(_put_back, -(-len(rows) // TILE), rows.numel(), found, order, rows)


@cpu.kernel
def _put_back(first, last, found, order, rows):
    for x0 in range(first * TILE, min(last * TILE, len(rows)), TILE):
        tile = rows[x0 : min(x0 + TILE, len(rows))]
        for d in range(len(order)):
            line, u = found[d, x0 : x0 + len(tile)], order[d]
            for i in range(len(tile)):
                tile[i, u] = line[i]


def of_own(
    query: Float[Tensor, "B D"],
    own: Float[Tensor, "B D"],
    keep: Float[Tensor, "G D"],
    leader: Float[Tensor, "B D"] | None,
    of_lost: Float[Tensor, "B 1"],
    of_leader: Float[Tensor, "B 1"] | None,
    d_query: Float[Tensor, "B D"],
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B D"] | None]:
    """Gradients of own tails, of those that masks take components to and of those that come first; adds what they give queries."""
    place = rows_of_masks(len(query), len(keep))
    d_own, d_leader = torch.empty_like(own), None if leader is None else torch.empty_like(leader)
    none = query, of_lost, query  # any arrays will do
    of_leaders = none if leader is None else (leader, of_leader, d_leader)
    arrays = query, own, keep, place, of_lost, d_query, d_own, *of_leaders, leader is not None
    cpu.run(_of_own, -(-len(query) // BLOCK), 4 * query.numel(), *arrays)
    return d_own, d_leader


@cpu.kernel
def _of_own(first, last, query, own, keep, place, of_lost, d_query, d_own, leader, of_leader, d_leader, led):
    for b in range(first * BLOCK, min(last * BLOCK, len(query))):
        q, o, w, lost, dq, do = query[b], own[b], keep[place[b]], of_lost[b, 0], d_query[b], d_own[b]
        for d in range(len(q)):
            by = (ONE - w[d]) * lost
            dq[d] += by * o[d]
            do[d] = by * q[d]
        if led:
            mine, by, dl = leader[b], of_leader[b, 0], d_leader[b]
            for d in range(len(q)):
                dq[d] += by * mine[d]
                dl[d] = by * q[d]


def summed(
    of_plain: Float[Tensor, "B K"], of_kept: Float[Tensor, "B K"], rows: Float[Tensor, "B 1"]
) -> Float[Tensor, "B K"]:
    """of_plain + of_kept, and in ``rows`` the sum of each row of the latter; the gradients may be strided."""
    out = cpu.empty(*of_plain.shape)
    arrays = strided(of_plain), strided(of_kept), out, rows
    cpu.run(_summed, -(-len(out) // BLOCK), 2 * out.numel(), *arrays)
    return out


@cpu.kernel
def _summed(first, last, of_plain, of_kept, out, rows):
    for b in range(first * BLOCK, min(last * BLOCK, len(out))):
        p, k = of_plain[0][b * of_plain[1] :], of_kept[0][b * of_kept[1] :]
        result, total = out[b], ZERO
        for j in range(len(result)):
            result[j] = p[j] + k[j]
        for j in range(len(result)):
            total += k[j]
        rows[b, 0] = total
