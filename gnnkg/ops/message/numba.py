"""Message passing on CPU: blocks of 16 columns, each of them by the loops of ``numba_kernels.py``.

States lie side by side, (N, B * D), and a task is a block of columns: nothing of one is touched by another, so results do not
depend on the number of threads. Beside inputs and results there are a few blocks a thread; the backward pass of "max", "min" and
"pna" reads the results, and where those were rounded to bfloat16 they are kept as they were.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gnnkg.ops import cpu
from gnnkg.ops.message import numba_kernels as kernels
from gnnkg.ops.message.adjacency import Adjacency
from gnnkg.ops.message.fused import Inputs, Needs
from gnnkg.ops.message.reference import Aggregate, Message
from gnnkg.ops.simd import LANES

READ = {"max": 1, "min": 1, "pna": 4}
"""how many parts of the results the backward pass reads"""
GROUPS = 8
"""parts in which the gradient of weights is summed, each of them one number an edge"""


class Columns(NamedTuple):
    """Which column each lane of each block takes, -1 for none; (blocks, 16) each."""

    state: np.ndarray
    """of x, (N, B * D)"""
    relation: np.ndarray
    """of the relations, (R, B * D) or (R, D)"""
    out: tuple[np.ndarray, ...]
    """of the parts of out, (N, B * D), or four in (N, B * 4 D)"""


@cache
def _columns(message: Message, num_states: int, width: int, shared: bool, parts: int) -> Columns:
    if message == "rotate":  # 8 real parts and the imaginary parts that belong to them
        unit = np.arange(num_states * width // 2).reshape(num_states, -1) % (width // 2)
        real = (unit + width * np.arange(num_states)[:, None]).reshape(-1)
        real, imaginary = _padded(real, LANES // 2), _padded(real + width // 2, LANES // 2)
        state = np.concatenate([real, imaginary], 1)
    else:
        state = _padded(np.arange(num_states * width), LANES)
    b, d = state // width, state % width

    def there(columns: np.ndarray) -> np.ndarray:
        return np.where(state >= 0, columns, -1).astype(np.int32)

    out = tuple(there((b * parts + part) * width + d) for part in range(parts))
    return Columns(there(state), there(d if shared else state), out)


def _padded(columns: np.ndarray, lanes: int) -> np.ndarray:
    return np.pad(columns, (0, -len(columns) % lanes), constant_values=-1).reshape(-1, lanes)


class Edges(NamedTuple):
    """The edges that are there, int32."""

    starts: np.ndarray
    source: np.ndarray
    relation: np.ndarray
    weight: np.ndarray
    place: np.ndarray
    """among all edges"""

    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(torch.from_numpy(array) for array in self)


def _present(edges: Adjacency, weight: Tensor | None) -> Edges:
    starts, source, relation = (tensor.numpy() for tensor in edges.small)
    if weight is None:
        nothing = np.empty(0, np.int32)
        return Edges(starts, source, relation, np.empty(0, np.float32), nothing)
    starts_kept, source_kept, relation_kept, place = (np.empty_like(a) for a in (starts, source, relation, source))
    kept = Edges(starts_kept, source_kept, relation_kept, np.empty(len(edges), np.float32), place)
    kernels.present(starts, source, relation, weight.detach().numpy(), *kept)
    count = kept.starts[-1]
    return Edges(kept.starts, *(array[:count] for array in kept[1:]))


def _matrix(tensor: Tensor) -> np.ndarray:
    """(N, B, D) as (N, B * D); bfloat16 as int16, which NumPy lacks."""
    tensor = tensor.detach().flatten(1)
    return (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _empty_like(tensor: Tensor, *shape: int) -> Tensor:
    if tensor.dtype == torch.float32:
        return cpu.empty(*shape)
    size = math.prod(shape)
    return cpu.empty(-(-size // 2)).view(tensor.dtype)[:size].view(shape)


def _block(rows: int) -> np.ndarray:
    return cpu.empty(rows, LANES).numpy()


def _take(table: np.ndarray, columns: np.ndarray, block: np.ndarray) -> np.ndarray:
    if table.dtype == np.int16:
        kernels.take_half(table, columns, block.view(np.int32))
    else:
        kernels.take(table, columns, block)
    return block


def _put(block: np.ndarray, columns: np.ndarray, table: np.ndarray) -> None:
    if table.dtype == np.int16:
        kernels.put_half(block.view(np.int32), columns, table)
    else:
        kernels.put(block, columns, table)


def _relations(message: Message, table: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The rows of the relations that the loops read: one each, or two for "rotate"."""
    if message != "rotate":
        return _take(table, columns, rows)
    kernels.twofold(_take(table, columns, _block(len(table))), rows)
    return rows


def _share(num_tasks: int, work: int, worker: Callable[[], Callable[[int], None]]) -> None:
    """Tasks among threads; a worker is what does some of them in turn, and keeps its memory meanwhile."""

    def run(first: int, last: int) -> None:
        do = worker()
        for task in range(first, last):
            do(task)

    cpu.run(run, num_tasks, work)


def forward(
    inputs: Inputs, edges: Adjacency, message: Message, aggregate: Aggregate
) -> tuple[Tensor, tuple[Tensor, ...]]:
    num_nodes, (num_sources, num_states, width) = edges.num_nodes, inputs.x.shape
    parts = 4 if aggregate == "pna" else 1
    columns = _columns(message, num_states, width, inputs.relation.shape[1] == 1, parts)
    here = _present(edges, inputs.weight)
    weighted = bool((here.weight != 1).any())
    loops = kernels.loops(kernels.MESSAGES[message], weighted)
    x, relation = _matrix(inputs.x), _matrix(inputs.relation)
    boundary = None if inputs.boundary is None else _matrix(inputs.boundary)
    out = _empty_like(inputs.x, num_nodes, num_states, parts * width)
    results = _matrix(out)
    num_blocks = len(columns.state)
    rounded = out.dtype != torch.float32
    exact = cpu.empty(READ.get(aggregate, 0) if rounded else 0, num_blocks, num_nodes, LANES).numpy()

    def worker() -> Callable[[int], None]:
        x_block, out_blocks = _block(num_sources), [_block(num_nodes) for _ in range(parts)]
        rows = _block(relation.shape[0] * (2 if message == "rotate" else 1))
        boundary_block = x_block if boundary is None else _block(num_nodes)

        def do(block: int) -> None:
            _take(x, columns.state[block], x_block)
            _relations(message, relation, columns.relation[block], rows)
            if boundary is not None:
                _take(boundary, columns.state[block], boundary_block)
            graph = *here[:4], x_block, rows, boundary_block, int(boundary is not None)
            if aggregate in ("sum", "mean"):
                loops.forward_sum(*graph, aggregate == "mean", out_blocks[0])
            elif aggregate != "pna":
                sign = np.float32(1 if aggregate == "max" else -1)
                loops.forward_extreme(*graph, sign, out_blocks[0])
            else:
                loops.forward_pna(*graph, *out_blocks)
            for part in range(len(exact)):
                exact[part, block] = out_blocks[part]
            for part, result in enumerate(out_blocks):
                _put(result, columns.out[part][block], results)

        return do

    _share(num_blocks, len(edges) * num_states * width, worker)
    kept = () if inputs.weight is None else here.tensors()
    return out, (torch.from_numpy(exact), *kept)


def backward(
    gradient: Tensor,
    inputs: Inputs,
    edges: Adjacency,
    message: Message,
    aggregate: Aggregate,
    out: Tensor,
    kept: tuple[Tensor, ...],
    needs: Needs,
) -> Inputs:
    num_nodes, (num_sources, num_states, width) = edges.num_nodes, inputs.x.shape
    parts = 4 if aggregate == "pna" else 1
    columns = _columns(message, num_states, width, inputs.relation.shape[1] == 1, parts)
    exact = kept[0].numpy()
    here = _present(edges, None) if inputs.weight is None else Edges(*(tensor.numpy() for tensor in kept[1:]))
    weighted = needs.weight or bool((here.weight != 1).any())
    loops = kernels.loops(kernels.MESSAGES[message], weighted)
    x, relation, upstream, results = (_matrix(t) for t in (inputs.x, inputs.relation, gradient, out))
    boundary = None if inputs.boundary is None else _matrix(inputs.boundary)
    d_x = _empty_like(inputs.x, *inputs.x.shape)
    d_boundary = None if inputs.boundary is None else _empty_like(inputs.x, *inputs.boundary.shape)
    num_blocks, num_relations = len(columns.state), relation.shape[0]
    relation_blocks = cpu.empty(num_blocks, num_relations, LANES).numpy()
    # Blocks of one group take turns, so that they can share the gradient of the weights.
    num_groups = min(num_blocks, GROUPS) if needs.weight else num_blocks
    d_weights = np.zeros((num_groups if needs.weight else 1, len(here.source) if needs.weight else 0), np.float32)
    group_starts = np.linspace(0, num_blocks, num_groups + 1).astype(int)

    def worker() -> Callable[[int], None]:
        x_block, dx_block = _block(num_sources), _block(num_sources)
        gradient_blocks = [_block(num_nodes) for _ in range(parts)]
        result_blocks = [_block(num_nodes) for _ in range(READ.get(aggregate, 0))]
        rows, d_rows = (_block(num_relations * (2 if message == "rotate" else 1)) for _ in range(2))
        boundary_block, d_boundary_block = x_block, x_block
        if boundary is not None:
            boundary_block, d_boundary_block = _block(num_nodes), _block(num_nodes)

        def do(group: int) -> None:
            for block in range(group_starts[group], group_starts[group + 1]):
                do_block(block, d_weights[group if needs.weight else 0])

        def do_block(block: int, d_weight: np.ndarray) -> None:
            _take(x, columns.state[block], x_block)
            _relations(message, relation, columns.relation[block], rows)
            for part, taken in enumerate(gradient_blocks):
                _take(upstream, columns.out[part][block], taken)
            dx_block.fill(0)
            d_rows.fill(0)
            graph = *here[:4], x_block, rows
            given = int(boundary is not None)
            found = dx_block, d_rows, d_weight, needs.weight, d_boundary_block
            if aggregate in ("sum", "mean"):
                loops.backward_sum(*graph, given, aggregate == "mean", gradient_blocks[0], *found)
            else:
                read = exact[:, block]
                if not len(exact):
                    read = [_take(results, columns.out[k][block], taken) for k, taken in enumerate(result_blocks)]
                if boundary is not None:
                    _take(boundary, columns.state[block], boundary_block)
                backward_of = loops.backward_pna if aggregate == "pna" else loops.backward_extreme
                backward_of(*graph, boundary_block, given, *read, *gradient_blocks, *found)
            _put(dx_block, columns.state[block], _matrix(d_x))
            if d_boundary is not None:
                _put(d_boundary_block, columns.state[block], _matrix(d_boundary))
            if message == "rotate":
                kernels.onefold(d_rows, relation_blocks[block])
            else:
                relation_blocks[block] = d_rows

        return do

    _share(num_groups, len(edges) * num_states * width, worker)
    d_relation = cpu.empty(num_relations, relation.shape[1])
    cpu.run(
        kernels.collect,
        num_relations,
        num_relations * num_states * width,
        relation_blocks,
        columns.relation,
        d_relation,
    )
    d_weight = None
    if inputs.weight is not None:
        d_weight = torch.zeros_like(inputs.weight)
        if needs.weight:
            d_weight[torch.from_numpy(here.place).long()] = torch.from_numpy(d_weights.sum(0))
    return Inputs(d_x, d_relation.view_as(inputs.relation).to(inputs.relation.dtype), d_weight, d_boundary)
