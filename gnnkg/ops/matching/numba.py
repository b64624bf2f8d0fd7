"""Weighted distances on CPU: sum_u weight_u phi(query_u, tail_u) and its gradients; of ``both`` the sum without weights too.

Two families of loops. *Panels* (``numba_panels.py``) serve tables that many queries share, *rows* (``numba_kernels.py``) tables of
few queries, which they read once and in place.

Inputs are contiguous float32; weight is (B, U), zeros and ones, or of fewer rows that queries share, or (S, K, U) for a weight of
the candidates, or None for ones.
Nothing of size (B, K, D) is made, apart from the gradient of tails that have that size themselves.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from gnnkg.ops import cpu
from gnnkg.ops.matching import numba_kernels, numba_panels
from gnnkg.ops.matching.fused import ones
from gnnkg.ops.matching.numba_kernels import COLUMNS, OPS
from gnnkg.ops.matching.reference import spread
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
    query: Float[Tensor, "B D"],
    scale: Float[Tensor, "B U"] | None,
    tail: Float[Tensor, "S K D"],
    weight: Weight | None,
    both: bool = False,
) -> Float[Tensor, "B K"] | tuple[Float[Tensor, "B K"], Float[Tensor, "B K"]]:
    """The sums; of ``both`` those without weights first."""
    num_queries, (num_tables, num_candidates, width) = query.shape[0], tail.shape
    scale = query if scale is None else scale  # any array will do where it is not read
    out = cpu.empty(num_queries, num_candidates)
    bare = cpu.empty(num_queries, num_candidates) if both else out
    work = num_queries * num_candidates * width
    if num_queries < MIN_SHARED * num_tables:
        weight = ones(op, query) if weight is None else spread(weight, num_queries)
        loops = numba_kernels.kernels(OPS[op], weight.dim() == 3, both)
        num_tasks = num_queries * -(-num_candidates // COLUMNS)
        cpu.run(loops.forward, num_tasks, work, query, scale, tail, weight, out, bare)
    else:
        panels = packed(tail)
        num_tasks = num_tables * panels.shape[1] * -(-(num_queries // num_tables) // numba_panels.ROWS)
        if weight is not None and weight.dim() == 2 and len(weight) * MIN_GROUP <= num_queries:
            weights, order, number = "shared", *_divided(weight)
        else:
            weights, weight = _weights(weight, query, packed)
            order = number = weight
        loops = numba_panels.kernels(OPS[op], weights, both)
        cpu.run(loops.forward, num_tasks, work, query, scale, panels, weight, order, number, out, bare)
    return (bare, out) if both else out


def backward(
    op: str,
    query: Float[Tensor, "B D"],
    scale: Float[Tensor, "B U"] | None,
    tail: Float[Tensor, "S K D"],
    weight: Weight | None,
    *gradients: Float[Tensor, "B K"],
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B U"] | None, Float[Tensor, "S K D"]]:
    """Gradients of query, scale and tail, from one of the sums or from those of both."""
    num_queries, (num_tables, num_candidates, width) = query.shape[0], tail.shape
    num_units = width // 2 if op == "modulus" else width
    both = len(gradients) == 2
    bare, gradient = strided(gradients[0]), strided(gradients[-1])
    work = num_queries * num_candidates * width
    inputs = query, query if scale is None else scale
    if num_queries < MIN_SHARED * num_tables:
        weight = ones(op, query) if weight is None else spread(weight, num_queries)
        loops = numba_kernels.kernels(OPS[op], weight.dim() == 3, both)
        d_query, d_scale = cpu.empty(num_queries, width), cpu.empty(num_queries, num_units)
        d_tail = cpu.empty(*tail.shape)
        cpu.run(loops.backward, num_tables, work, *inputs, tail, weight, gradient, bare, d_query, d_scale, d_tail)
    else:
        columns = transposed(tail)
        weights, weight = _weights(weight, query, transposed)
        loops = numba_panels.kernels(OPS[op], weights, both)
        d_query, d_scale = cpu.empty(width, num_queries), cpu.empty(num_units, num_queries)
        d_columns = cpu.empty(*columns.shape)
        units = units_of_task(num_tables, num_units, work)
        arrays = *inputs, columns, weight, gradient, bare, d_query, d_scale, d_columns
        cpu.run(loops.backward, num_tables * -(-num_units // units), work, units, *arrays)
        d_query, d_scale, d_tail = d_query.t(), d_scale.t(), candidates(d_columns, num_candidates)
    return d_query, None if scale is None else d_scale, d_tail


def units_of_task(num_tables: int, num_units: int, work: int) -> int:
    """In the backward pass: as many as leave two tasks for each thread that the work is worth, and MOST_UNITS at most."""
    return max(1, min(MOST_UNITS, num_tables * num_units // (2 * cpu.threads(work))))


def _weights(
    weight: Tensor | None, query: Tensor, laid: Callable[[Tensor], Tensor]
) -> tuple[numba_panels.Weights, Tensor]:
    """What panels are weighted by: its kind, and as they read it, those of candidates ``laid`` out like their tails."""
    if weight is None:
        return "none", query  # any array will do
    return ("query", spread(weight, len(query))) if weight.dim() == 2 else ("candidate", laid(weight))


def _divided(weight: Float[Tensor, "G U"]) -> tuple[Int[Tensor, "G U"], Int[Tensor, " G"]]:
    """The units with those that count first, and how many these are."""
    return weight.argsort(dim=1, descending=True, stable=True), weight.sum(1).long()
