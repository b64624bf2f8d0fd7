"""Weighted distances on CPU: sum_u weight_u phi(query_u, tail_u) and its gradients; of ``both`` the sum without weights too.

Two families of loops. *Panels* (``numba_panels.py``) serve tables that many queries share, *rows* (``numba_kernels.py``) tables of
few queries, which they read once and in place.

Inputs are contiguous float32; weight is (B, U), zeros and ones, or of fewer rows that queries share, or (S, K, U) for a weight of
the candidates, or None for ones.
Nothing of size (B, K, D) is made, apart from the gradient of tails that have that size themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.ops import cpu
from gnnkg.ops.matching import numba_kernels, numba_own, numba_panels
from gnnkg.ops.matching.fused import Form
from gnnkg.ops.matching.numba_kernels import COLUMNS, OPS, Weights
from gnnkg.ops.simd import LANES

Weight = Float[Tensor, "G U"] | Float[Tensor, "S K U"]

MIN_SHARED = 8
"""queries a table from which transposing it pays"""
MIN_GROUP = 64
"""queries a row of weights from which dividing its units pays"""
MOST_UNITS = 50
"""in a task of the backward pass: the more, the less often gradients are read"""


def packed(table: Float[Tensor, "S K X"]) -> Float[Tensor, "S blocks X 16"]:
    """Blocks of 16 candidates, each transposed; zero where the last one has no more of them.

    Memory of torch's, as that of ``transposed``: registers are loaded from it that want its alignment, 64 bytes.
    """
    num_tables, num_candidates, width = table.shape
    panels = cpu.empty(num_tables, -(-num_candidates // LANES), width, LANES)
    full, left = divmod(num_candidates, LANES)
    panels[:, :full] = table[:, : full * LANES].unflatten(1, (full, LANES)).transpose(2, 3)
    if left:
        panels[:, full, :, :left] = table[:, full * LANES :].transpose(1, 2)
        panels[:, full, :, left:] = 0
    return panels


def transposed(table: Float[Tensor, "S K X"]) -> Float[Tensor, "S X columns"]:
    """A row for each unit, in whole lines of 16 candidates; zero after the last candidate."""
    num_tables, num_candidates, width = table.shape
    columns = cpu.empty(num_tables, width, -(-num_candidates // LANES) * LANES)
    columns[:, :, :num_candidates] = table.transpose(1, 2)
    columns[:, :, num_candidates:] = 0
    return columns


def candidates(columns: Float[Tensor, "S X columns"], num_candidates: int) -> Float[Tensor, "S K X"]:
    """What was transposed."""
    return columns[:, :, :num_candidates].transpose(1, 2).contiguous()


def strided(gradient: Float[Tensor, "B K"]) -> tuple[np.ndarray, int, int]:
    """Its numbers as they lie in memory, how far it is from row to row, and the columns: for kernels that read it in place."""
    if gradient.stride(1) != 1 or gradient.stride(0) < gradient.shape[1]:
        gradient = gradient.contiguous()
    num_rows, num_columns = gradient.shape
    flat = gradient.as_strided(((num_rows - 1) * gradient.stride(0) + num_columns,), (1,))
    return flat.detach().numpy(), gradient.stride(0), num_columns


def forward(
    op: str,
    form: Form,
    query: Float[Tensor, "B D"],
    scale: Float[Tensor, "B U"] | None,
    tail: Float[Tensor, "S K D"],
    weight: Weight | None,
    own: Float[Tensor, "B D"] | None,
    leader: Float[Tensor, "B D"] | None,
) -> Float[Tensor, "B X"] | tuple[Float[Tensor, "B X"], Float[Tensor, "B X"]]:
    """The sums; of ``both`` those without weights first. ``own`` adds to those with weights of queries what these take out (None:
    nothing); the sum of a ``leader``, which no weight concerns, comes before the others.
    """
    num_queries, (num_tables, num_candidates, width) = query.shape[0], tail.shape
    scale = query if scale is None else scale  # any array will do where it is not read
    weights, weight, place = _weights(weight, query)
    lost = torch.zeros(num_queries, 1, dtype=torch.float32)
    if own is not None:
        lost = own_forward(op, query, scale, own, weight, place, weights == "query")
    whole = None if leader is None else own_forward(op, query, scale, leader, weight, place, False)
    out, bare, written = room(form, num_queries, num_candidates, whole)
    work = num_queries * num_candidates * width
    if num_queries < MIN_SHARED * num_tables:
        loops = numba_kernels.kernels(OPS[op], weights, form.both)
        num_tasks = num_queries * -(-num_candidates // COLUMNS)
        arrays = query, scale, tail, weight, place, lost, *written, out, bare
    else:
        panels = packed(tail)
        num_tasks = num_tables * panels.shape[1] * -(-(num_queries // num_tables) // numba_panels.QUERIES)
        divided, order, number = False, place, place  # any arrays will do
        if weights == "query" and len(weight) * MIN_GROUP <= num_queries:
            divided, order, number = True, *_divided(weight)
        loops = numba_panels.kernels(OPS[op], weights, form.both, divided)
        weight = packed(weight) if weights == "candidate" else weight
        arrays = query, scale, panels, weight, place, order, number, lost, *written, out, bare
    cpu.run(loops.forward, num_tasks, work, *arrays)
    return (bare, out) if form.both else out


def backward(
    op: str,
    form: Form,
    query: Float[Tensor, "B D"],
    scale: Float[Tensor, "B U"] | None,
    tail: Float[Tensor, "S K D"],
    weight: Weight | None,
    own: Float[Tensor, "B D"] | None,
    leader: Float[Tensor, "B D"] | None,
    *gradients: Float[Tensor, "B X"],
) -> tuple[Tensor | None, ...]:
    """Gradients of query, scale, tail, weight (which gets none), own and leader, from one of the sums or from those of both."""
    num_queries, (num_tables, num_candidates, width) = query.shape[0], tail.shape
    few = num_queries < MIN_SHARED * num_tables
    num_units = width // 2 if op == "modulus" else width
    first, bare, gradient = parted(turned(form, few, gradients, torch.neg), leader)
    weights, weight, place = _weights(weight, query)
    work = num_queries * num_candidates * width
    inputs = query, query if scale is None else scale
    if few:
        loops = numba_kernels.kernels(OPS[op], weights, form.both)
        by_query, d_tail = [cpu.empty(num_queries, width), cpu.empty(num_queries, num_units)], cpu.empty(*tail.shape)
        cpu.run(loops.backward, num_tables, work, *inputs, tail, weight, place, gradient, bare, *by_query, d_tail)
    else:
        columns = transposed(tail)
        laid = transposed(weight) if weights == "candidate" else weight
        loops = numba_panels.kernels(OPS[op], weights, form.both)
        by_unit, d_columns = (
            [cpu.empty(width, num_queries), cpu.empty(num_units, num_queries)],
            cpu.empty(*columns.shape),
        )
        units = units_of_task(num_tables, num_units, work)
        arrays = *inputs, columns, laid, place, gradient, bare, *by_unit, d_columns
        cpu.run(loops.backward, num_tables * -(-num_units // units), work, units, *arrays)
        by_query = [by_unit[0].t().contiguous(), by_unit[1] if scale is None else by_unit[1].t().contiguous()]
        d_tail = candidates(d_columns, num_candidates)
    d_own = d_leader = None
    if own is not None:
        d_own = own_backward(op, inputs, own, weight, place, weights == "query", gradient, by_query)
    if leader is not None:
        d_leader = own_backward(op, inputs, leader, weight, place, False, strided(first), by_query)
    d_query, d_scale = by_query
    found = d_query, None if scale is None else d_scale, d_tail, None, d_own, d_leader
    return turned(form, not few, found, Tensor.neg_)


def room(
    form: Form, num_queries: int, num_candidates: int, leaders: Float[Tensor, "B 1"] | None
) -> tuple[Float[Tensor, "B X"], Float[Tensor, "B X"], tuple[int, np.float32, np.float32]]:
    """For the sums with weights and those without (or the same), where those of leaders stand already; and the column in which
    candidates begin, and the offset and factor of what is written of a sum.
    """
    offset, factor = form.margin or 0.0, 1.0 if form.margin is None else -1.0
    lead = 0 if leaders is None else 1
    out = cpu.empty(num_queries, lead + num_candidates)
    bare = cpu.empty(*out.shape) if form.both else out
    if leaders is not None:
        bare[:, :1] = out[:, :1] = leaders.mul_(factor).add_(offset)
    return out, bare, (lead, np.float32(offset), np.float32(factor))


def turned(
    form: Form, here: bool, values: tuple[Tensor | None, ...], negative: Callable[[Tensor], Tensor]
) -> tuple[Any, ...]:
    """What a margin turns round, ``here``: where tables are of few queries the gradients given, elsewhere those found, most often
    smaller.
    """
    if form.margin is None or not here:
        return values
    return tuple(None if each is None else negative(each) for each in values)


def parted(
    gradients: tuple[Tensor, ...], leader: Tensor | None
) -> tuple[Float[Tensor, "B X"], tuple[np.ndarray, int, int], tuple[np.ndarray, int, int]]:
    """Those of leaders (none where there are none), and for kernels those of the sums without weights and with them."""
    lead = 0 if leader is None else 1
    first = torch.stack([each[:, :lead] for each in gradients]).sum(0)
    bare, gradient = (strided(each[:, lead:]) for each in (gradients[0], gradients[-1]))
    return first, bare, gradient


def own_forward(
    op: str, query: Tensor, scale: Tensor, own: Tensor, weight: Tensor, place: np.ndarray, weighted: bool
) -> Float[Tensor, "B 1"]:
    """The sums of own tails, or what weights take out of them."""
    out, loops = cpu.empty(len(query), 1), numba_own.kernels(OPS[op], weighted)
    arrays = query, scale, own, weight, place, out
    cpu.run(loops.forward, -(-len(query) // numba_own.TILE), query.numel(), *arrays)
    return out


def own_backward(
    op: str,
    inputs: tuple[Tensor, Tensor],
    own: Tensor,
    weight: Tensor,
    place: np.ndarray,
    weighted: bool,
    gradient: tuple[np.ndarray, int, int],
    by_query: list[Tensor],
) -> Float[Tensor, "B D"]:
    """The gradient of own tails; those of queries and scales are added to."""
    d_own, loops = torch.empty_like(own), numba_own.kernels(OPS[op], weighted)
    arrays = *inputs, own, weight, place, gradient, *by_query, d_own
    cpu.run(loops.backward, -(-len(own) // numba_own.TILE), own.numel(), *arrays)
    return d_own


def units_of_task(num_tables: int, num_units: int, work: int) -> int:
    """In the backward pass: as many as leave two tasks for each thread that the work is worth, and MOST_UNITS at most."""
    return max(1, min(MOST_UNITS, num_tables * num_units // (2 * cpu.threads(work))))


def _weights(weight: Weight | None, query: Tensor) -> tuple[Weights, Tensor, np.ndarray]:
    """Of which kind, the weights, and the row of them that each query has; any will do where they are not read."""
    if weight is None:
        return "none", query, np.empty(0, np.int64)
    if weight.dim() == 3:
        return "candidate", weight, np.empty(0, np.int64)
    return "query", weight, rows_of_masks(len(query), len(weight))


def rows_of_masks(num_queries: int, num_masks: int) -> np.ndarray:
    """The mask of each query, where as many that follow each other share one."""
    return np.arange(num_queries) * num_masks // num_queries


def _divided(weight: Float[Tensor, "G U"]) -> tuple[np.ndarray, np.ndarray]:
    """The units (G, U) with those that count first, and how many these are (G,)."""
    numbers = weight.numpy()
    return np.argsort(-numbers, axis=1, kind="stable"), numbers.sum(1).astype(np.int64)
