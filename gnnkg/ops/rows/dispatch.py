"""The public ops: a backend is chosen. Where there is no fused kernel, the definition serves."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnnkg.ops import backends
from gnnkg.ops.rows import reference

MUCH = 1 << 18
"""numbers to read, from which on the kernels take less time than torch"""


def rows(ids: Int[Tensor, " *X"], table: Float[Tensor, "N D"]) -> Float[Tensor, "*X D"]:
    """table[ids]. Differentiable any number of times. Raises IndexError for ids that are no row's."""
    if ids.numel() * table.shape[1] < MUCH or not _fused(table, ids):
        return reference.rows(ids, table)
    return _Read.apply(table, ids)[0]


def several(table: Float[Tensor, "N D"], *ids: Int[Tensor, " ..."]) -> tuple[Float[Tensor, "... D"], ...]:
    """``rows`` for each of several ids, with one gradient (N, D) in place of one for each.

    Of a batch's heads, tails and candidates it saves most of what their few rows cost beside a large table. Raises IndexError for
    ids that are no row's.
    """
    if not _fused(table, *ids):
        return tuple(reference.rows(each, table) for each in ids)
    return _Read.apply(table, *ids)


def _fused(table: Tensor, *ids: Tensor) -> bool:
    """Whether the kernels serve. Raises IndexError for ids that are no row's, where they do."""
    served = (
        table.dtype == torch.float32
        and all(each.dtype == torch.int64 for each in ids)
        and any(each.numel() for each in ids)
        and backends.choose(table) == "numba"
    )
    if served:
        check_ids(table, *ids)
    return served


def check_ids(table: Float[Tensor, "N D"], *ids: Int[Tensor, " ..."]) -> None:
    """Raises IndexError for ids that are no row's."""
    for each in ids:
        low, high = (int(end) for end in each.aminmax()) if each.numel() else (0, 0)
        if low < 0 or high >= len(table):
            raise IndexError(f"rows lie in [0, {len(table)}), but there is {low if low < 0 else high}")


class _Read(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, *ids: Tensor):
        from gnnkg.ops.rows import numba

        ctx.num_rows = len(table)
        ctx.save_for_backward(*ids)
        ctx.set_materialize_grads(False)
        table = table.contiguous()
        return tuple(numba.read(each.contiguous(), table) for each in ids)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None):  # type: ignore[override]  # torch declares *args
        used = [number for number, gradient in enumerate(gradients) if gradient is not None]
        ids, given = ([each[number] for number in used] for each in (ctx.saved_tensors, gradients))
        return _Add.apply(ctx.num_rows, *ids, *given) if used else None, *(None for _ in gradients)


class _Add(torch.autograd.Function):
    """The derivative of reading: what each row was given, added up. ``_Add.apply(num_rows, *ids, *given)``."""

    @staticmethod
    def forward(ctx: Any, num_rows: int, *arguments: Tensor) -> Tensor:
        from gnnkg.ops.rows import numba

        ids, given = arguments[: len(arguments) // 2], arguments[len(arguments) // 2 :]
        ctx.save_for_backward(*ids)
        return numba.add([each.contiguous() for each in ids], [each.contiguous() for each in given], num_rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor):  # type: ignore[override]  # torch declares *args
        ids = ctx.saved_tensors
        return None, *(None for _ in ids), *_Read.apply(gradient, *ids)
