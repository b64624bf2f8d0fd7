"""The definition of rows by their ids, in torch."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional


def rows(ids: Int[Tensor, " *X"], table: Float[Tensor, "N D"]) -> Float[Tensor, "*X D"]:
    """As ``gnnkg.ops.rows.rows``, whose docstring says what is computed."""
    return functional.embedding(ids, table)
