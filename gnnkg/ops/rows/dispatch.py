"""The public op: a backend is chosen. Where there is no fused kernel, the definition serves."""

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
    fused = (
        ids.numel() * table.shape[1] >= MUCH
        and table.dtype == torch.float32
        and ids.dtype == torch.int64
        and backends.choose(table) == "numba"
    )
    if not fused or not ids.numel():
        return reference.rows(ids, table)
    low, high = (int(end) for end in ids.aminmax())
    if low < 0 or high >= len(table):
        raise IndexError(f"rows lie in [0, {len(table)}), but there is {low if low < 0 else high}")
    return _Read.apply(ids, table)


class _Read(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, ids: Tensor, table: Tensor) -> Tensor:
        from gnnkg.ops.rows import numba

        ctx.num_rows = len(table)
        ctx.save_for_backward(ids)
        return numba.read(ids.contiguous(), table.contiguous())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor):  # type: ignore[override]  # torch declares *args
        (ids,) = ctx.saved_tensors
        return None, _Add.apply(ids, gradient, ctx.num_rows)


class _Add(torch.autograd.Function):
    """The derivative of reading: what each row was given, added up."""

    @staticmethod
    def forward(ctx: Any, ids: Tensor, given: Tensor, num_rows: int) -> Tensor:
        from gnnkg.ops.rows import numba

        ctx.save_for_backward(ids)
        return numba.add(ids.contiguous(), given.contiguous(), num_rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor):  # type: ignore[override]  # torch declares *args
        (ids,) = ctx.saved_tensors
        return None, _Read.apply(ids, gradient), None
