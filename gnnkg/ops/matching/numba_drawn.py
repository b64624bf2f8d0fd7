"""Matching on CPU with a mask for each pair (``drawn.py``): neither masks nor mutated candidates are stored.

Inputs are contiguous float32. Besides them, the results and the gradients nothing is made that has a number for each pair.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from gnnkg.ops import cpu
from gnnkg.ops.matching import numba_drawn_kernels, numba_drawn_panels, reference
from gnnkg.ops.matching.drawn import Drawn, mix
from gnnkg.ops.matching.numba import MIN_SHARED, candidates, packed, strided, transposed, units_of_task
from gnnkg.ops.matching.numba_drawn_kernels import OPS
from gnnkg.ops.matching.numba_fours import FOUR
from gnnkg.ops.matching.numba_kernels import COLUMNS

WHOLE = 32
"""words that loops over rows take at once"""


class _Numbers(NamedTuple):
    """What loops draw masks from (``drawn.py``)."""

    start: np.uint32
    salt: np.uint32
    words: np.ndarray
    """a word for two components, or in the halves of vectors for one; some more than there are"""
    threshold: np.uint32

    def signed(self) -> tuple[np.generic | np.ndarray, ...]:
        """The same as the integers that vectors hold."""
        return tuple(x.view(np.int32) for x in self)


def _numbers(drawn: Drawn, width: int) -> _Numbers:
    start, salt, threshold = drawn.numbers()
    num_words = width // 2 if drawn.form in ("both", "block") else width
    words = mix(torch.arange(1, -(-num_words // WHOLE) * WHOLE + 1)).numpy().astype(np.uint32)
    return _Numbers(np.uint32(start), np.uint32(salt), words, np.uint32(threshold))


def _even(x: Float[Tensor, "*X D"]) -> Float[Tensor, "*X E"]:
    """An odd width with a component of zeros more, which changes no sum."""
    return functional.pad(x, (0, 1)) if x.shape[-1] % 2 else x


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
    query, tail, own, scale = _even(query), _even(tail), _even(own), None if scale is None else _even(scale)
    factor = query if scale is None else scale  # any array will do where it is not read
    num_queries, (num_tables, num_candidates, width) = query.shape[0], tail.shape
    numbers = _numbers(drawn, width)
    out = cpu.empty(num_queries, num_candidates)
    bare = cpu.empty(num_queries, num_candidates) if both else out
    work = 2 * num_queries * num_candidates * width
    if num_queries < MIN_SHARED * num_tables:
        loops = numba_drawn_kernels.kernels(OPS[op], drawn.form, both)
        num_tasks = num_queries * -(-num_candidates // COLUMNS)
        cpu.run(loops.forward, num_tasks, work, query, factor, own, tail, *numbers, out, bare)
    else:
        loops = numba_drawn_panels.kernels(OPS[op], drawn.form, both)
        panels, mine = packed(tail), _of_own(op, query, scale, own)
        num_tasks = num_tables * panels.shape[1] * -(-(num_queries // num_tables) // FOUR)
        cpu.run(loops.forward, num_tasks, work, query, factor, mine, panels, *numbers.signed(), out, bare)
    return (bare, out) if both else out


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
    given_width, bare, gradient = query.shape[1], strided(gradients[0]), strided(gradients[-1])
    query, tail, own = _even(query), _even(tail), _even(own)
    factor = query if scale is None else _even(scale)  # any array will do where it is not read
    num_queries, (num_tables, num_candidates, width) = query.shape[0], tail.shape
    numbers = _numbers(drawn, width)
    work = 3 * num_queries * num_candidates * width
    if num_queries < MIN_SHARED * num_tables:
        loops = numba_drawn_kernels.kernels(OPS[op], drawn.form, both)
        by_query, d_tail = [cpu.empty(num_queries, width) for _ in range(3)], cpu.empty(*tail.shape)
        inputs = query, factor, own, tail, *numbers, gradient, bare
        cpu.run(loops.backward, num_tables, work, *inputs, *by_query, d_tail)
    else:
        loops = numba_drawn_panels.kernels(OPS[op], drawn.form, both)
        columns = transposed(tail)
        by_unit, d_columns = [cpu.empty(width, num_queries) for _ in range(3)], cpu.empty(*columns.shape)
        units = units_of_task(num_tables, width // 2, work)
        arrays = query, factor, own, columns, *numbers.signed(), gradient, bare, *by_unit, d_columns
        cpu.run(loops.backward, num_tables * -(-(width // 2) // units), work, units, *arrays)
        by_query, d_tail = [x.t() for x in by_unit], candidates(d_columns, num_candidates)
    d_query, d_scale, d_own = (x[:, :given_width] for x in by_query)
    d_scale = None if scale is None else d_scale.contiguous()
    return d_query.contiguous(), d_scale, d_tail[..., :given_width], d_own.contiguous()
