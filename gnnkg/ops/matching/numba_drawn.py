"""Matching on CPU with a mask for each pair (``drawn.py``): neither masks nor mutated candidates are stored.

Inputs are contiguous float32. Besides them, the results and the gradients nothing is made that has a number for each pair.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int, Int32
from torch import Tensor

from gnnkg.ops import cpu
from gnnkg.ops.hashing import start_and_salt
from gnnkg.ops.matching import numba_drawn_kernels, numba_drawn_panels, reference
from gnnkg.ops.matching.drawn import Drawn
from gnnkg.ops.matching.numba import MIN_SHARED, candidates, packed, strided, transposed, units_of_task
from gnnkg.ops.matching.numba_drawn_kernels import OPS
from gnnkg.ops.matching.numba_kernels import COLUMNS


def words(
    seed: int, components: Int[Tensor, " C"], num_queries: int, num_candidates: int
) -> tuple[Int32[Tensor, "B C"], Int32[Tensor, "K C"]]:
    """Those of queries and of candidates; ``drawn.words`` defines them."""
    rows = num_queries + num_candidates
    found = cpu.empty(rows, len(components)).view(torch.int32)
    start, salt = (np.uint32(each) for each in start_and_salt(seed))
    places = (components * rows).numpy().astype(np.uint32)
    cpu.run(numba_drawn_kernels.fill_words, rows, 8 * found.numel(), start, salt, places, found)
    return found[:num_queries], found[num_queries:]


def forward(
    op: str,
    drawn: Drawn,
    both: bool,
    query: Float[Tensor, "B D"],
    scale: Float[Tensor, "B D"] | None,
    tail: Float[Tensor, "S K D"],
    own: Float[Tensor, "B D"],
) -> Float[Tensor, "B K"] | tuple[Float[Tensor, "B K"], Float[Tensor, "B K"]]:
    """The sums of mutated candidates; of ``both`` those of the candidates as they are first."""
    factor = query if scale is None else scale  # any array will do where it is not read
    num_queries, (num_tables, num_candidates, width) = query.shape[0], tail.shape
    query_words, tail_words = words(drawn.seed, drawn.components(width), num_queries, num_candidates)
    threshold = np.int32(drawn.threshold)
    out = cpu.empty(num_queries, num_candidates)
    bare = cpu.empty(num_queries, num_candidates) if both else out
    work = 2 * num_queries * num_candidates * width
    if num_queries < MIN_SHARED * num_tables:
        loops = numba_drawn_kernels.kernels(OPS[op], both)
        num_tasks = num_queries * -(-num_candidates // COLUMNS)
        masks = query_words, tail_words, threshold
        cpu.run(loops.forward, num_tasks, work, query, factor, own, tail, *masks, out, bare)
    else:
        loops = numba_drawn_panels.kernels(OPS[op], both)
        panels, mine = packed(tail), _of_own(op, query, scale, own)
        num_tasks = num_tables * panels.shape[1] * -(-(num_queries // num_tables) // numba_drawn_panels.QUERIES)
        masks = query_words, _laid(packed, tail_words), threshold
        cpu.run(loops.forward, num_tasks, work, query, factor, mine, panels, *masks, out, bare)
    return (bare, out) if both else out


def _laid(out: Callable[[Tensor], Tensor], tail_words: Int32[Tensor, "K E"]) -> Int32[Tensor, "*X"]:
    """As tails are, in one table; numbers are moved there by their bits."""
    return out(tail_words.view(torch.float32).unsqueeze(0)).view(torch.int32)


def _of_own(op: str, query: Tensor, scale: Tensor | None, own: Tensor) -> Float[Tensor, "B D"]:
    """Each component's share of the sum where it is the own tail's; of a modulus, which has two, the differences."""
    if op == "modulus":
        return query - own
    units: reference.Units = getattr(reference, f"{op}_units")
    return units(query, own if scale is None else scale * own)


def backward(
    op: str,
    drawn: Drawn,
    both: bool,
    query: Float[Tensor, "B D"],
    scale: Float[Tensor, "B D"] | None,
    tail: Float[Tensor, "S K D"],
    own: Float[Tensor, "B D"],
    *gradients: Float[Tensor, "B K"],
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B D"] | None, Float[Tensor, "S K D"], Float[Tensor, "B D"]]:
    """Gradients of query, scale, tail and own, from one of the sums or from those of both."""
    bare, gradient = strided(gradients[0]), strided(gradients[-1])
    factor = query if scale is None else scale  # any array will do where it is not read
    num_queries, (num_tables, num_candidates, width) = query.shape[0], tail.shape
    query_words, tail_words = words(drawn.seed, drawn.components(width), num_queries, num_candidates)
    threshold = np.int32(drawn.threshold)
    work = 3 * num_queries * num_candidates * width
    if num_queries < MIN_SHARED * num_tables:
        loops = numba_drawn_kernels.kernels(OPS[op], both)
        by_query, d_tail = [cpu.empty(num_queries, width) for _ in range(3)], cpu.empty(*tail.shape)
        masks = query_words, tail_words, threshold
        inputs = query, factor, own, tail, *masks, gradient, bare
        cpu.run(loops.backward, num_tables, work, *inputs, *by_query, d_tail)
    else:
        loops = numba_drawn_panels.kernels(OPS[op], both)
        columns = transposed(tail)
        by_unit, d_columns = [cpu.empty(width, num_queries) for _ in range(3)], cpu.empty(*columns.shape)
        num_units = width // 2 if op == "modulus" else width
        units = units_of_task(num_tables, num_units, work)
        masks = query_words, _laid(transposed, tail_words), threshold
        arrays = query, factor, own, columns, *masks, gradient, bare, *by_unit, d_columns
        cpu.run(loops.backward, num_tables * -(-num_units // units), work, units, *arrays)
        by_query, d_tail = [x.t() for x in by_unit], candidates(d_columns, num_candidates)
    d_query, d_scale, d_own = (x.contiguous() for x in by_query)
    return d_query, None if scale is None else d_scale, d_tail, d_own
