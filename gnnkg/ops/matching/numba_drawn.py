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
from gnnkg.ops.matching.fused import Form
from gnnkg.ops.matching.numba import (
    MIN_SHARED,
    candidates,
    own_backward,
    own_forward,
    packed,
    parted,
    room,
    strided,
    transposed,
    turned,
    units_of_task,
)
from gnnkg.ops.matching.numba_drawn_kernels import OPS
from gnnkg.ops.matching.numba_kernels import COLUMNS
from gnnkg.ops.matching.products import own_product

UNWEIGHTED = torch.empty(0, 0), np.empty(0, np.int64), False
"""an own tail's weight, the row of it that each query has, and whether there are any"""


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
    form: Form,
    query: Float[Tensor, "B D"],
    scale: Float[Tensor, "B D"] | None,
    tail: Float[Tensor, "S K D"],
    own: Float[Tensor, "B D"],
    leader: Float[Tensor, "B D"] | None,
) -> Float[Tensor, "B X"] | tuple[Float[Tensor, "B X"], Float[Tensor, "B X"]]:
    """The sums of mutated candidates; of ``both`` those of the candidates as they are first. The sum of a ``leader``, which no mask
    mutates, comes before the others.
    """
    factor = query if scale is None else scale  # any array will do where it is not read
    num_queries, (num_tables, num_candidates, width) = query.shape[0], tail.shape
    query_words, tail_words = words(drawn.seed, drawn.components(width), num_queries, num_candidates)
    threshold = np.int32(drawn.threshold)
    leaders = None if leader is None else _of_leader(op, query, factor, leader)
    out, bare, written = room(form, num_queries, num_candidates, leaders)
    work = 2 * num_queries * num_candidates * width
    if num_queries < MIN_SHARED * num_tables:
        loops = numba_drawn_kernels.kernels(OPS[op], form.both)
        num_tasks = num_queries * -(-num_candidates // COLUMNS)
        masks = query_words, tail_words, threshold
        cpu.run(loops.forward, num_tasks, work, query, factor, own, tail, *masks, *written, out, bare)
    else:
        loops = numba_drawn_panels.kernels(OPS[op], form.both)
        panels, mine = packed(tail), of_own(op, query, scale, own)
        num_tasks = num_tables * panels.shape[1] * -(-(num_queries // num_tables) // numba_drawn_panels.QUERIES)
        masks = query_words, _laid(packed, tail_words), threshold
        cpu.run(loops.forward, num_tasks, work, query, factor, mine, panels, *masks, *written, out, bare)
    return (bare, out) if form.both else out


def _laid(out: Callable[[Tensor], Tensor], tail_words: Int32[Tensor, "K D"]) -> Int32[Tensor, "*X"]:
    """As tails are, in one table; numbers are moved there by their bits."""
    return out(tail_words.view(torch.float32).unsqueeze(0)).view(torch.int32)


def of_own(op: str, query: Tensor, scale: Tensor | None, own: Tensor) -> Float[Tensor, "B D"]:
    """Each component's share of the sum where it is the own tail's; of a modulus, which has two, the differences."""
    if op == "modulus":
        return query - own
    units: reference.Units = getattr(reference, f"{op}_units")
    return units(query, own if scale is None else scale * own)


def _of_leader(op: str, query: Tensor, factor: Tensor, leader: Tensor) -> Float[Tensor, "B 1"]:
    if op == "dot":
        return own_product(query, leader)
    return own_forward(op, query, factor, leader, *UNWEIGHTED)


def backward(
    op: str,
    drawn: Drawn,
    form: Form,
    query: Float[Tensor, "B D"],
    scale: Float[Tensor, "B D"] | None,
    tail: Float[Tensor, "S K D"],
    own: Float[Tensor, "B D"],
    leader: Float[Tensor, "B D"] | None,
    *gradients: Float[Tensor, "B X"],
) -> tuple[Tensor | None, ...]:
    """Gradients of query, scale, tail, own and leader, from one of the sums or from those of both."""
    factor = query if scale is None else scale  # any array will do where it is not read
    num_queries, (num_tables, num_candidates, width) = query.shape[0], tail.shape
    few = num_queries < MIN_SHARED * num_tables
    first, bare, gradient = parted(turned(form, few, gradients, torch.neg), leader)
    query_words, tail_words = words(drawn.seed, drawn.components(width), num_queries, num_candidates)
    threshold = np.int32(drawn.threshold)
    work = 3 * num_queries * num_candidates * width
    if few:
        loops = numba_drawn_kernels.kernels(OPS[op], form.both)
        by_query, d_tail = [cpu.empty(num_queries, width) for _ in range(3)], cpu.empty(*tail.shape)
        masks = query_words, tail_words, threshold
        inputs = query, factor, own, tail, *masks, gradient, bare
        cpu.run(loops.backward, num_tables, work, *inputs, *by_query, d_tail)
    else:
        loops = numba_drawn_panels.kernels(OPS[op], form.both)
        columns = transposed(tail)
        by_unit, d_columns = [cpu.empty(width, num_queries) for _ in range(3)], cpu.empty(*columns.shape)
        num_units = width // 2 if op == "modulus" else width
        units = units_of_task(num_tables, num_units, work)
        masks = query_words, _laid(transposed, tail_words), threshold
        arrays = query, factor, own, columns, *masks, gradient, bare, *by_unit, d_columns
        cpu.run(loops.backward, num_tables * -(-num_units // units), work, units, *arrays)
        by_query, d_tail = [x.t().contiguous() for x in by_unit], candidates(d_columns, num_candidates)
    d_query, d_scale, d_own = by_query
    d_leader = None
    if leader is not None:
        if op == "dot":
            d_query.addcmul_(first, leader)
            d_leader = first * query
        else:
            more = [d_query, d_scale]
            d_leader = own_backward(op, (query, factor), leader, *UNWEIGHTED, strided(first), more)
    found = d_query, None if scale is None else d_scale, d_tail, d_own, d_leader
    return turned(form, not few, found, Tensor.neg_)
