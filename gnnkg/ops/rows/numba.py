"""Rows on CPU. Reading, a task is a block of ids; adding up, of rows, each of which adds what it is given in the ids' order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from gnnkg.ops import cpu
from gnnkg.ops.simd import prefetch_row

BLOCK = 128  # ids or rows in a task
AHEAD = 8  # rows that are asked for before their turn: they lie anywhere in memory
ZERO = np.float32(0)


def read(ids: Int[Tensor, " *X"], table: Float[Tensor, "N D"]) -> Float[Tensor, "*X D"]:
    out = cpu.empty(*ids.shape, table.shape[1])
    cpu.run(_read, -(-ids.numel() // BLOCK), out.numel(), ids.view(-1), table, out.view(-1, table.shape[1]))
    return out


def add(
    ids: Sequence[Int[Tensor, " ..."]], given: Sequence[Float[Tensor, "... D"]], num_rows: int
) -> Float[Tensor, "N D"]:
    """out[n] = the sum of given[i] over all i with ids[i] = n, of all of the ids. They are those that ``read`` took."""
    most = max(range(len(ids)), key=lambda number: ids[number].numel())
    width = given[most].shape[-1]
    starts, place = np.zeros(num_rows + 1, np.int64), np.empty(ids[most].numel(), np.int64)
    _sort(ids[most].view(-1).numpy(), starts, place)
    out = cpu.empty(num_rows, width)
    cpu.run(
        _add, -(-num_rows // BLOCK), given[most].numel() + out.numel(), starts, place, given[most].view(-1, width), out
    )
    for number, few in enumerate(ids):
        if number != most:
            _add_few(few.view(-1).numpy(), given[number].detach().view(-1, width).numpy(), out.numpy())
    return out


@cpu.kernel
def _read(first, last, ids, table, out):
    for i in range(first * BLOCK, min(last * BLOCK, len(ids))):
        prefetch_row(table, ids[min(i + AHEAD, len(ids) - 1)], 0, table.shape[1])
        row, result = table[ids[i]], out[i]
        for d in range(len(row)):
            result[d] = row[d]


@cpu.kernel
def _sort(ids, starts, place):
    """The ids of row n stand at place[starts[n]:starts[n + 1]], in their order."""
    for n in ids:
        starts[n + 1] += 1
    for n in range(len(starts) - 1):
        starts[n + 1] += starts[n]
    free = starts[:-1].copy()
    for i, n in enumerate(ids):
        place[free[n]] = i
        free[n] += 1


@cpu.kernel
def _add(first, last, starts, place, given, out):
    for n in range(first * BLOCK, min(last * BLOCK, len(out))):
        total = out[n]
        for d in range(len(total)):
            total[d] = ZERO
        for i in range(starts[n], starts[n + 1]):
            prefetch_row(given, place[min(i + AHEAD, len(place) - 1)], 0, given.shape[1])
            row = given[place[i]]
            for d in range(len(row)):
                total[d] += row[d]


@cpu.kernel
def _add_few(ids, given, out):
    """One after the other: that is the order, whatever the number of threads."""
    for i in range(len(ids)):
        row, result = given[i], out[ids[i]]
        for d in range(len(row)):
            result[d] += row[d]
