"""Message passing on CPU: blocks of 16 columns, each of them by the loops of ``numba_kernels.py``.

States lie side by side, (N, B * D), and a task is a block of columns: nothing of one is touched by another, so results do not
depend on the number of threads. Beside inputs and results there are a few blocks a thread; the backward pass of "max", "min" and
"pna" reads the results, and where those were rounded to bfloat16 it computes them again.

The gradients of a sum (or mean) are sums themselves: that of the states is message passing along the edges turned around, that of
the relations a sum over the edges of each. Both take a sorted order of the edges, which an adjacency keeps; one that lives for a
batch goes through its edges in the one order that it has, as the other aggregates do.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gnnkg.ops import cpu
from gnnkg.ops.message import numba_kernels as kernels
from gnnkg.ops.message.adjacency import Adjacency
from gnnkg.ops.message.fused import Inputs, Needs
from gnnkg.ops.message.reference import Aggregate, Message
from gnnkg.ops.simd import HALF, LANES

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
        real, imaginary = _padded(real, HALF), _padded(real + width // 2, HALF)
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
    """The edges that are there, in groups of one target, of one source or of one relation; int32."""

    starts: np.ndarray
    """of each group"""
    first: np.ndarray
    """source of each edge; in groups of one source its target"""
    second: np.ndarray
    """relation of each edge; in groups of one relation its target"""
    weight: np.ndarray
    place: np.ndarray
    """among all edges"""

    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(torch.from_numpy(array) for array in self)


def _present(order: tuple[Tensor, ...], weight: Tensor | None) -> Edges:
    """Of an order of edges, as an adjacency keeps it, those whose weight is not 0."""
    starts, first, second, *edges = (tensor.numpy() for tensor in order)
    if weight is None:
        return Edges(starts, first, second, np.empty(0, np.float32), np.empty(0, np.int32))
    some_starts, some_first, some_second, place = (np.empty_like(a) for a in (starts, first, second, first))
    kept = Edges(some_starts, some_first, some_second, np.empty(len(first), np.float32), place)
    sorted_edges = edges[0] if edges else np.empty(0, np.int32)
    kernels.present(starts, first, second, sorted_edges, weight.detach().numpy(), *kept)
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
    kernels.take(table, columns, block)
    return block


def _rows(message: Message, num_relations: int) -> np.ndarray:
    return _block(num_relations * (2 if message == "rotate" else 1))


def _relations(message: Message, table: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The rows of the relations that the loops read: one each, or two for "rotate"."""
    if message != "rotate":
        return _take(table, columns, rows)
    kernels.twofold(_take(table, columns, _block(len(table))), rows)
    return rows


def _turned(message: Message, table: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> None:
    """The same for the way back: phi(g, turned r) is the gradient of a message g has, by the state it was made of."""
    if message == "add":
        rows.fill(0)
        return
    _relations(message, table, columns, rows)
    if message == "rotate":  # by the conjugate
        np.negative(rows[1::2], out=rows[1::2])


def _share(num_tasks: int, work: int, worker: Callable[[], Callable[[int], None]]) -> None:
    """Tasks among threads; a worker is what does those of one thread in turn, and keeps its memory meanwhile."""
    here = threading.local()

    def run(first: int, last: int) -> None:
        if not hasattr(here, "do"):
            here.do = worker()
        for task in range(first, last):
            here.do(task)

    cpu.run(run, num_tasks, work)


def forward(
    inputs: Inputs, edges: Adjacency, message: Message, aggregate: Aggregate
) -> tuple[Tensor, tuple[Tensor, ...]]:
    num_nodes, (num_sources, num_states, width) = edges.num_nodes, inputs.x.shape
    parts = 4 if aggregate == "pna" else 1
    columns = _columns(message, num_states, width, inputs.relation.shape[1] == 1, parts)
    here = _present(edges.small, inputs.weight)
    weighted = bool((here.weight != 1).any())
    loops = kernels.loops(kernels.MESSAGES[message], weighted)
    x, relation = _matrix(inputs.x), _matrix(inputs.relation)
    boundary = None if inputs.boundary is None else _matrix(inputs.boundary)
    out = _empty_like(inputs.x, num_nodes, num_states, parts * width)
    results = _matrix(out)

    def worker() -> Callable[[int], None]:
        x_block, out_blocks = _block(num_sources), [_block(num_nodes) for _ in range(parts)]
        rows = _rows(message, relation.shape[0])
        boundary_block = x_block if boundary is None else _block(num_nodes)

        def do(block: int) -> None:
            _take(x, columns.state[block], x_block)
            _relations(message, relation, columns.relation[block], rows)
            if boundary is not None:
                _take(boundary, columns.state[block], boundary_block)
            graph = *here[:4], x_block, rows, boundary_block, int(boundary is not None)
            _aggregate(loops, aggregate, graph, out_blocks)
            for part, result in enumerate(out_blocks):
                kernels.put(result, columns.out[part][block], results)

        return do

    _share(len(columns.state), len(edges) * num_states * width, worker)
    return out, () if inputs.weight is None else here.tensors()


def _aggregate(loops: kernels.Loops, aggregate: Aggregate, graph: tuple[Any, ...], out: list[np.ndarray]) -> None:
    """The results of a block: one, or the four of "pna"."""
    if aggregate in ("sum", "mean"):
        loops.forward_sum(*graph, aggregate == "mean", *out)
    elif aggregate == "pna":
        loops.forward_pna(*graph, *out)
    else:
        loops.forward_extreme(*graph, np.float32(1 if aggregate == "max" else -1), *out)


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
    here = _present(edges.small, None) if inputs.weight is None else Edges(*(tensor.numpy() for tensor in kept))
    if aggregate in ("sum", "mean") and not edges.once and not needs.weight:
        return _backward_sum(gradient, inputs, edges, here, message, aggregate == "mean", needs)
    num_nodes, (num_sources, num_states, width) = edges.num_nodes, inputs.x.shape
    parts = 4 if aggregate == "pna" else 1
    columns = _columns(message, num_states, width, inputs.relation.shape[1] == 1, parts)
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
    d_weights = np.zeros((num_groups if needs.weight else 1, len(here.first) if needs.weight else 0), np.float32)
    group_starts = np.linspace(0, num_blocks, num_groups + 1).astype(int)

    def worker() -> Callable[[int], None]:
        x_block, dx_block = _block(num_sources), _block(num_sources)
        gradient_blocks = [_block(num_nodes) for _ in range(parts)]
        result_blocks = [_block(num_nodes) for _ in range(READ.get(aggregate, 0))]
        rows, d_rows = (_rows(message, num_relations) for _ in range(2))
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
                if boundary is not None:
                    _take(boundary, columns.state[block], boundary_block)
                graph = *graph, boundary_block, given
                if out.dtype == torch.float32:
                    for part, taken in enumerate(result_blocks):
                        _take(results, columns.out[part][block], taken)
                else:
                    _aggregate(loops, aggregate, graph, result_blocks)
                backward_of = loops.backward_pna if aggregate == "pna" else loops.backward_extreme
                backward_of(*graph, *result_blocks, *gradient_blocks, *found)
            kernels.put(dx_block, columns.state[block], _matrix(d_x))
            if d_boundary is not None:
                kernels.put(d_boundary_block, columns.state[block], _matrix(d_boundary))
            _keep(message, d_rows, relation_blocks[block])

        return do

    _share(num_groups, len(edges) * num_states * width, worker)
    d_weight = None
    if inputs.weight is not None:
        d_weight = torch.zeros_like(inputs.weight)
        if needs.weight:
            d_weight[torch.from_numpy(here.place).long()] = torch.from_numpy(d_weights.sum(0))
    return Inputs(d_x, _collected(relation_blocks, columns, inputs.relation), d_weight, d_boundary)


def _backward_sum(
    gradient: Tensor, inputs: Inputs, edges: Adjacency, here: Edges, message: Message, mean: bool, needs: Needs
) -> Inputs:
    num_nodes, (num_sources, num_states, width) = edges.num_nodes, inputs.x.shape
    columns = _columns(message, num_states, width, inputs.relation.shape[1] == 1, 1)
    loops = kernels.loops(kernels.MESSAGES[message], bool((here.weight != 1).any()))
    out_of = _present(edges.small_by_source, inputs.weight)[:4] if needs.x else None
    of_relation = _present(edges.small_by_relation, inputs.weight)[:4] if needs.relation else None
    x, relation, upstream = _matrix(inputs.x), _matrix(inputs.relation), _matrix(gradient)
    d_x = _empty_like(inputs.x, *inputs.x.shape)
    d_boundary = None if inputs.boundary is None else _empty_like(inputs.x, *inputs.boundary.shape)
    relation_blocks = cpu.empty(len(columns.state), len(relation), LANES).numpy()

    def worker() -> Callable[[int], None]:
        x_block, gradient_block, rows = _block(num_sources), _block(num_nodes), _rows(message, len(relation))

        def do(block: int) -> None:
            state = columns.state[block]
            _take(upstream, columns.out[0][block], gradient_block)
            if mean:
                kernels.average(here.starts, int(d_boundary is not None), gradient_block)
            if out_of is not None:
                _turned(message, relation, columns.relation[block], rows)
                loops.forward_sum(*out_of, gradient_block, rows, gradient_block, 0, False, x_block)
                kernels.put(x_block, state, _matrix(d_x))
            if of_relation is not None:
                if message != "add":
                    _take(x, state, x_block)
                loops.backward_relations(*of_relation, x_block, gradient_block, rows)
                _keep(message, rows, relation_blocks[block])
            if d_boundary is not None:
                kernels.put(gradient_block, state, _matrix(d_boundary))

        return do

    _share(len(columns.state), len(edges) * num_states * width, worker)
    d_relation = _collected(relation_blocks, columns, inputs.relation) if needs.relation else inputs.relation
    return Inputs(d_x, d_relation, None, d_boundary)


def _keep(message: Message, d_rows: np.ndarray, block: np.ndarray) -> None:
    if message == "rotate":
        kernels.onefold(d_rows, block)
    else:
        block[...] = d_rows


def _collected(blocks: np.ndarray, columns: Columns, relation: Tensor) -> Tensor:
    """The gradient of the relations, from those of all blocks."""
    found = cpu.empty(len(relation), relation.shape[1] * relation.shape[2])
    cpu.run(kernels.collect, len(relation), len(relation) * columns.state.size, blocks, columns.relation, found)
    return found.view_as(relation).to(relation.dtype)
