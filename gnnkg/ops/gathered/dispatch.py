"""The public op: inputs are checked and a backend is chosen. Where there is no fused kernel, the candidates are stored."""

from __future__ import annotations

import math
from typing import Any, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.ops import backends, matching
from gnnkg.ops.gathered.table import Gathered
from gnnkg.ops.matching.dispatch import Op, check_even
from gnnkg.ops.rows import rows as rows_of
from gnnkg.ops.rows.dispatch import check_ids

TURN = 2 * math.pi


def match(
    op: Op,
    query: Float[Tensor, "B D"],
    rows: Gathered,
    scale: Float[Tensor, "B D"] | None = None,
    period: float = TURN,
) -> Float[Tensor, "B K"]:
    """The op of this name: ``l1(query, rows.read())``.

    ``period``: what a whole turn is, of the angles that the op sine takes. Products may be differentiated any number of times,
    distances once.

    Raises ValueError for shapes that do not fit, for a scale of another op than "squared" and a period of another than "sine", and
    IndexError for ids that are no row's.
    """
    if op not in get_args(Op):
        raise ValueError(f"expected an op of {', '.join(get_args(Op))}, not {op!r}")
    if rows.ids.dim() != 2 or query.shape != (len(rows.ids), rows.table.shape[1]):
        raise ValueError(
            f"expected queries (B, D) and rows (B, K) of a table (N, D), not {tuple(query.shape)}, {tuple(rows.ids.shape)} and "
            f"{tuple(rows.table.shape)}"
        )
    if scale is not None and (op != "squared" or scale.shape != query.shape):
        raise ValueError(f"a scale is of the op squared, in the shape of the queries {tuple(query.shape)}")
    if period != TURN and op != "sine":
        raise ValueError(f"the op {op} takes no period")
    if op == "modulus":
        check_even(query)
    if not _fused(op, query, rows, scale, period):
        return _stored(op, query, rows.read(), scale, period)
    if op == "squared" and scale is None:
        scale = torch.ones_like(query)
    second, share, _ = rows.mixture or (None, None, None)
    share = None if share is None else share.detach().float()
    return _Match.apply(op, _turned(rows), TURN / period, query, scale, rows.table, rows.ids, second, share)


def _stored(op: Op, query: Tensor, tail: Tensor, scale: Tensor | None, period: float) -> Tensor:
    if scale is not None:
        return matching.squared(query, tail, scale=scale)
    if period != TURN:
        query, tail = query * (TURN / period), tail * (TURN / period)
    return getattr(matching, op)(query, tail)


def _turned(rows: Gathered) -> bool:
    return rows.mixture is not None and rows.mixture.turns is not None


def _fused(op: Op, query: Tensor, rows: Gathered, scale: Tensor | None, period: float) -> bool:
    """Whether the kernels serve. Raises IndexError for ids that are no row's, where they do."""
    given = query, rows.table, *(() if scale is None else (scale,))
    mixture = rows.mixture
    if (
        backends.choose(*given) != "numba"
        or any(each.dtype != torch.float32 for each in given)
        or torch.is_autocast_enabled("cpu")
        or not (query.numel() and rows.ids.numel() and rows.table.numel())
    ):
        return False
    if mixture is not None:
        whole = op == "sine" and mixture.turns == (period, query.shape[1])
        if op == "dot" or not (mixture.turns is None or whole):
            return False
    check_ids(rows.table, rows.ids, *(() if mixture is None else (mixture.second,)))
    return True


class _Match(torch.autograd.Function):
    """``_Match.apply(op, turned, factor, query, scale, table, ids, second, share)``"""

    @staticmethod
    def forward(ctx: Any, op: str, turned: bool, factor: float, *given: Any):
        from gnnkg.ops.gathered import numba

        ctx.options = op, turned, factor
        ctx.save_for_backward(*given)
        return numba.forward(op, turned, factor, *given)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor):  # type: ignore[override]  # torch declares *args
        wanted = ctx.needs_input_grad[5]
        if ctx.options[0] == "dot" and torch.is_grad_enabled():  # to be differentiated again
            query, _, table, ids, *_ = ctx.saved_tensors
            d_query = torch.bmm(gradient.unsqueeze(1), rows_of(ids, table)).squeeze(1)
            given = (gradient.unsqueeze(2) * query.unsqueeze(1)).flatten(0, 1)
            found = d_query, None, torch.zeros_like(table).index_add(0, ids.flatten(), given) if wanted else None
        else:
            found = _Gradient.apply(wanted, ctx.options, gradient, *ctx.saved_tensors)
        return None, None, None, *found, None, None, None


class _Gradient(torch.autograd.Function):
    """The gradient as an operation of its own, so that a second differentiation fails with advice."""

    @staticmethod
    def forward(ctx: Any, wanted: bool, options: tuple[str, bool, float], gradient: Tensor, *given: Any):
        from gnnkg.ops.gathered import numba

        return numba.backward(*options, *given, gradient=gradient, of_table=wanted)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None):  # type: ignore[override]  # torch declares *args
        raise backends.one_derivative("the fused matching of rows")
