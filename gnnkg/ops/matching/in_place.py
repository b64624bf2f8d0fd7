"""Matching with rows of a table where they stand: when fused kernels serve, and these as torch operations."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.ops import backends
from gnnkg.ops.matching.drawn import Drawn
from gnnkg.ops.matching.gathered import Gathered
from gnnkg.ops.matching.reference import Mix
from gnnkg.ops.rows import rows as rows_of
from gnnkg.ops.rows.dispatch import check_ids


def serves(op: str, query: Tensor, rows: Gathered, mix: Mix | None, scale: Tensor | None) -> bool:
    """Whether ``match`` does: on CPU, in float32, but for masks of candidates, mixtures that are mutated, and products of mixtures.

    Raises IndexError for ids that are no row's, where it does.
    """
    given = [each for each in (query, rows.table, None if mix is None else mix.own, scale) if each is not None]
    masks = mix.keep if mix is not None and isinstance(mix.keep, Tensor) else None
    if (
        backends.choose(*given, masks) != "numba"
        or len(rows.ids) != len(query)
        or any(each.dtype != torch.float32 for each in given)
        or torch.is_autocast_enabled("cpu")
        or not (query.numel() and rows.ids.numel() and rows.table.numel())
    ):
        return False
    mixture = rows.mixture
    if mixture is not None and (mix is not None or op == "dot" or _turns_in_part(rows)):
        return False
    if masks is not None and masks.dim() != 2:
        return False
    check_ids(rows.table, rows.ids, *(() if mixture is None else (mixture.second,)))
    return True


def _turns_in_part(rows: Gathered) -> bool:
    """Whether only some of the columns of a mixture are phases."""
    turns = None if rows.mixture is None else rows.mixture.turns
    return turns is not None and 0 < turns.columns < rows.table.shape[1]


class _Options(NamedTuple):
    op: str
    factor: float
    period: float | None
    drawn: Drawn | None = None
    both: bool = False


def match(
    op: str,
    query: Float[Tensor, "B D"],
    rows: Gathered,
    scale: Float[Tensor, "B D"] | None = None,
    mix: Mix | None = None,
    both: bool = False,
) -> Any:
    """The sums (B, K), of ``both`` those without the mix first. Masks of queries are (B, D), zeros and ones without a gradient.

    Products without a mix may be differentiated any number of times, others once.
    """
    if op == "squared" and scale is None:
        scale = torch.ones_like(query)
    second, share, turns = rows.mixture or (None, None, None)
    share = None if share is None else share.detach().float()
    own, keep = mix or (None, None)
    drawn, keep = (keep, None) if isinstance(keep, Drawn) else (None, keep)
    period = turns.period if turns is not None and turns.columns else None
    options = _Options(op, rows.factor, period, drawn, both)
    return _Match.apply(options, query, scale, own, rows.table, rows.ids, second, share, keep)


TABLE, GIVEN = 4, 8
"""the place of the table among the arguments of ``_Match``, and how many follow the options"""


class _Match(torch.autograd.Function):
    """``_Match.apply(options, query, scale, own, table, ids, second, share, keep)``"""

    @staticmethod
    def forward(ctx: Any, options: _Options, *given: Any):
        ctx.options = options
        ctx.save_for_backward(*given)
        query, scale, own = given[:3]
        rows, keep = _rows_and_masks(options, *given)
        if own is None:
            from gnnkg.ops.matching import numba_gathered

            return numba_gathered.forward(options.op, query, scale, rows)
        from gnnkg.ops.matching import numba_gathered_mutated

        found = numba_gathered_mutated.forward(options.op, query, scale, rows, own, keep, options.both)
        return found if options.both else found[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor):  # type: ignore[override]  # torch declares *args
        query, _, own, table, ids, *_ = ctx.saved_tensors
        if ctx.options.op == "dot" and own is None and torch.is_grad_enabled():  # to be differentiated again
            (gradient,) = gradients
            gradient = gradient * ctx.options.factor
            d_query = torch.bmm(gradient.unsqueeze(1), rows_of(ids, table)).squeeze(1)
            given = (gradient.unsqueeze(2) * query.unsqueeze(1)).flatten(0, 1)
            found = d_query, None, None, torch.zeros_like(table).index_add(0, ids.flatten(), given)
        else:
            found = _Gradient.apply(ctx.options, ctx.needs_input_grad[TABLE], *ctx.saved_tensors, *gradients)
        return None, *found, None, None, None, None


class _Gradient(torch.autograd.Function):
    """The gradient as an operation of its own, so that a second differentiation fails with advice."""

    @staticmethod
    def forward(ctx: Any, options: _Options, of_table: bool, *more: Any):
        given, gradients = more[:GIVEN], more[GIVEN:]
        query, scale, own = given[:3]
        rows, keep = _rows_and_masks(options, *given)
        if own is None:
            from gnnkg.ops.matching import numba_gathered

            found = numba_gathered.backward(options.op, query, scale, rows, gradients[0], of_table)
            return *found[:2], None, found[2]
        from gnnkg.ops.matching import numba_gathered_mutated

        d_query, d_scale, d_table, d_own = numba_gathered_mutated.backward(
            options.op, query, scale, rows, own, keep, gradients, of_table
        )
        return d_query, d_scale, d_own, d_table

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None):  # type: ignore[override]  # torch declares *args
        raise backends.one_derivative("the fused matching of rows")


def _rows_and_masks(options: _Options, *given: Any) -> tuple[Any, Any]:
    """As kernels take them, of what ``_Match`` is given."""
    from gnnkg.ops.matching.numba_gathered import Rows

    table, ids, second, share, keep = given[3:]
    rows = Rows(table, ids, options.factor, second, share, options.period)
    return rows, keep if options.drawn is None else options.drawn
