"""Weighted distances on CPU: sum_u weight_u phi(query_u, tail_u) and its gradients, by the loops of ``numba_kernels.py``;
of ``both`` the sum without weights too.

Inputs are contiguous float32; weight is (B, U), or (S, K, U) for a weight of the candidates. Nothing of size (B, K, D) is
made, apart from the gradient of tails that have that size themselves.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from torch import Tensor

from gnnkg.ops import cpu
from gnnkg.ops.matching.numba_kernels import COLUMNS, OPS, ROWS, UNITS, kernels

Weight = Float[Tensor, "B U"] | Float[Tensor, "S K U"]

MIN_SHARED = 8
"""queries a table from which transposing it pays"""


def packed(table: Float[Tensor, "S K X"]) -> Float[Tensor, "S blocks X columns"]:
    num_tables, num_candidates, width = table.shape
    columns = min(COLUMNS, -(-num_candidates // 16) * 16)  # 16 floats are a cache line
    panels = cpu.empty(num_tables, -(-num_candidates // columns), width, columns)
    full = num_candidates // columns
    panels[:, :full] = table[:, : full * columns].unflatten(1, (full, columns)).transpose(2, 3)
    if full * columns < num_candidates:
        panels[:, full, :, : num_candidates - full * columns] = table[:, full * columns :].transpose(1, 2)
    return panels


def unpacked(panels: Float[Tensor, "S blocks X columns"], num_candidates: int) -> Float[Tensor, "S K X"]:
    return panels.transpose(2, 3).flatten(1, 2)[:, :num_candidates]


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
    weight: Weight,
    both: bool = False,
) -> Float[Tensor, "B K"] | tuple[Float[Tensor, "B K"], Float[Tensor, "B K"]]:
    """The sums; of ``both`` those without weights first."""
    num_queries, (num_tables, num_candidates, width) = query.shape[0], tail.shape
    loops = kernels(OPS[op], weight.dim() == 3, both)
    scale = query if scale is None else scale  # any array will do where it is not read
    out = cpu.empty(num_queries, num_candidates)
    bare = cpu.empty(num_queries, num_candidates) if both else out
    work = num_queries * num_candidates * width
    if num_queries < MIN_SHARED * num_tables:
        num_tasks = num_queries * -(-num_candidates // COLUMNS)
        cpu.run(loops.row_forward, num_tasks, work, query, scale, tail, weight, out, bare)
    else:
        weight = packed(weight) if weight.dim() == 3 else weight
        panels = packed(tail)
        num_tasks = num_tables * panels.shape[1] * -(-(num_queries // num_tables) // ROWS)
        cpu.run(loops.panel_forward, num_tasks, work, query, scale, panels, weight, out, bare)
    return (bare, out) if both else out


def backward(
    op: str,
    query: Float[Tensor, "B D"],
    scale: Float[Tensor, "B U"] | None,
    tail: Float[Tensor, "S K D"],
    weight: Weight,
    *gradients: Float[Tensor, "B K"],
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B U"] | None, Float[Tensor, "S K D"]]:
    """Gradients of query, scale and tail, from one of the sums or from those of both."""
    num_queries, (num_tables, num_candidates, width) = query.shape[0], tail.shape
    num_units = weight.shape[-1]
    loops = kernels(OPS[op], weight.dim() == 3, len(gradients) == 2)
    bare, gradient = strided(gradients[0]), strided(gradients[-1])
    work = num_queries * num_candidates * width
    inputs = query, query if scale is None else scale
    if num_queries < MIN_SHARED * num_tables:
        d_query, d_scale = cpu.empty(num_queries, width), cpu.empty(num_queries, num_units)
        d_tail = cpu.empty(*tail.shape)
        cpu.run(loops.row_backward, num_tables, work, *inputs, tail, weight, gradient, bare, d_query, d_scale, d_tail)
    else:
        weight = packed(weight) if weight.dim() == 3 else weight
        panels = packed(tail)
        d_query, d_scale = cpu.empty(width, num_queries), cpu.empty(num_units, num_queries)
        d_panels = cpu.empty(*panels.shape)
        num_tasks = num_tables * -(-num_units // UNITS)
        arrays = *inputs, panels, weight, gradient, bare, d_query, d_scale, d_panels
        cpu.run(loops.panel_backward, num_tasks, work, *arrays)
        d_query, d_scale, d_tail = d_query.t(), d_scale.t(), unpacked(d_panels, num_candidates)
    return d_query, None if scale is None else d_scale, d_tail
