"""Matching on CPU with a mask for each pair (``drawn.py``): neither masks nor mutated candidates are stored.

Inputs are contiguous float32. Besides them, the results and the gradients there is one hash key a pair, (B, K).
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from gnnkg.ops import cpu
from gnnkg.ops.matching.drawn import Drawn, mix
from gnnkg.ops.matching.numba import MIN_SHARED, packed, strided, unpacked
from gnnkg.ops.matching.numba_drawn_kernels import OPS, ROWS, UNITS, kernels, pair_keys
from gnnkg.ops.matching.numba_kernels import COLUMNS
from gnnkg.ops.simd import LANES

WHOLE = 32
"""words that loops take at once"""


def _masks(drawn: Drawn, num_queries: int, num_candidates: int, width: int) -> tuple[Tensor, np.ndarray, np.uint32]:
    """What the loops draw masks from: a key for each pair, a word for two components, and the threshold."""
    start, salt, threshold = drawn.numbers()
    keys = cpu.empty(num_queries, num_candidates).view(torch.uint32)
    cpu.run(pair_keys, num_queries, 4 * keys.numel(), np.uint32(start), np.uint32(salt), keys)
    num_words = width // 2 if drawn.form in ("both", "block") else width
    words = mix(torch.arange(1, -(-num_words // WHOLE) * WHOLE + 1)).numpy().astype(np.uint32)
    return keys, words, np.uint32(threshold)


def _panels(tail: Float[Tensor, "S K D"]) -> Float[Tensor, "S blocks D columns"]:
    """Of up to COLUMNS candidates, in whole registers."""
    return packed(tail, min(COLUMNS, -(-tail.shape[1] // LANES) * LANES))


def _even(x: Float[Tensor, "*X D"]) -> Float[Tensor, "*X E"]:
    """An odd width with a component of zeros more, which changes no sum."""
    return functional.pad(x, (0, 1)) if x.shape[-1] % 2 else x


def forward(
    op: str,
    drawn: Drawn,
    query: Float[Tensor, "B D"],
    scale: Float[Tensor, "B D"] | None,
    tail: Float[Tensor, "S K D"],
    own: Float[Tensor, "B D"],
    both: bool = False,
) -> Float[Tensor, "B K"] | tuple[Float[Tensor, "B K"], Float[Tensor, "B K"]]:
    """The sums of mutated candidates; of ``both`` those of the candidates as they are first."""
    query, tail, own = _even(query), _even(tail), _even(own)
    factor = query if scale is None else _even(scale)  # any array will do where it is not read
    num_queries, (num_tables, num_candidates, width) = query.shape[0], tail.shape
    loops = kernels(OPS[op], drawn.form, both)
    masks = _masks(drawn, num_queries, num_candidates, width)
    out = cpu.empty(num_queries, num_candidates)
    bare = cpu.empty(num_queries, num_candidates) if both else out
    work = 2 * num_queries * num_candidates * width
    if num_queries < MIN_SHARED * num_tables:
        num_tasks = num_queries * -(-num_candidates // COLUMNS)
        cpu.run(loops.row_forward, num_tasks, work, query, factor, own, tail, *masks, out, bare)
    else:
        panels = _panels(tail)
        num_tasks = num_tables * panels.shape[1] * -(-(num_queries // num_tables) // ROWS)
        cpu.run(loops.panel_forward, num_tasks, work, query, factor, own, panels, *masks, out, bare)
    return (bare, out) if both else out


def backward(
    op: str,
    drawn: Drawn,
    query: Float[Tensor, "B D"],
    scale: Float[Tensor, "B D"] | None,
    tail: Float[Tensor, "S K D"],
    own: Float[Tensor, "B D"],
    *gradients: Float[Tensor, "B K"],
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B D"] | None, Float[Tensor, "S K D"], Float[Tensor, "B D"]]:
    """Gradients of query, scale, tail and own, from one of the sums or from those of both."""
    given, bare, gradient = query.shape[1], strided(gradients[0]), strided(gradients[-1])
    query, tail, own = _even(query), _even(tail), _even(own)
    factor = query if scale is None else _even(scale)  # any array will do where it is not read
    num_queries, (num_tables, num_candidates, width) = query.shape[0], tail.shape
    loops = kernels(OPS[op], drawn.form, len(gradients) == 2)
    masks = _masks(drawn, num_queries, num_candidates, width)
    work = 3 * num_queries * num_candidates * width
    if num_queries < MIN_SHARED * num_tables:
        by_query, d_tail = [cpu.empty(num_queries, width) for _ in range(3)], cpu.empty(*tail.shape)
        inputs = query, factor, own, tail, *masks, gradient, bare
        cpu.run(loops.row_backward, num_tables, work, *inputs, *by_query, d_tail)
    else:
        panels = _panels(tail)
        columns, d_panels = [cpu.empty(width, num_queries) for _ in range(3)], cpu.empty(*panels.shape)
        num_tasks = num_tables * -(-width // (2 * UNITS))
        arrays = query, factor, own, panels, *masks, gradient, bare, *columns, d_panels
        cpu.run(loops.panel_backward, num_tasks, work, *arrays)
        by_query, d_tail = [x.t() for x in columns], unpacked(d_panels, num_candidates)
    d_query, d_scale, d_own = (x[:, :given] for x in by_query)
    return d_query, None if scale is None else d_scale, d_tail[..., :given], d_own
