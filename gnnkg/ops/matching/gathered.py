"""Candidates that are rows of a table, by their numbers."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnnkg.ops.rows import rows


class Turns(NamedTuple):
    """Phases among the columns of a table: a mixture takes them by the shorter way around."""

    period: float
    columns: int
    """how many, from the first on"""


class Mixture(NamedTuple):
    """Mixup of rows: share * row ``ids`` + (1 - share) * row ``second``."""

    second: Int[Tensor, "B K"]
    share: Float[Tensor, "B K"]
    turns: Turns | None = None


class Gathered:
    """``table[ids]``, each query's own candidates (B, K, D), or mixtures of them; they are stored when ``read`` is called.

    It serves a step: ops that read the table in place see it as it is then, ``read`` as it was when first called. Shares and ids
    get no gradient. Raises ValueError for a mixture of another shape than the ids.
    """

    def __init__(
        self,
        table: Float[Tensor, "N D"],
        ids: Int[Tensor, "B K"],
        mixture: Mixture | None = None,
        factor: float = 1.0,
    ) -> None:
        if mixture is not None and not mixture.second.shape == mixture.share.shape == ids.shape:
            raise ValueError(
                f"expected the rows to mix with and their shares in the shape of the ids {tuple(ids.shape)}, not "
                f"{tuple(mixture.second.shape)} and {tuple(mixture.share.shape)}"
            )
        self.table = table
        self.ids = ids
        self.mixture = mixture
        self.factor = factor
        """what all of it is multiplied by"""
        self._read: dict[bool, Tensor] = {}

    @property
    def shape(self) -> torch.Size:
        """(B, K, D)"""
        return torch.Size((*self.ids.shape, self.table.shape[1]))

    def __mul__(self, factor: float) -> Gathered:
        return Gathered(self.table, self.ids, self.mixture, self.factor * factor)

    def read(self) -> Float[Tensor, "B K D"]:
        """The candidates themselves; a second call gives the same tensor."""
        differentiable = torch.is_grad_enabled()
        if differentiable not in self._read:
            found = self._mixed()
            self._read[differentiable] = found if self.factor == 1 else found * self.factor
        return self._read[differentiable]

    def _mixed(self) -> Tensor:
        ours, mixture = rows(self.ids, self.table), self.mixture
        if mixture is None:
            return ours
        theirs, turns = rows(mixture.second, self.table), mixture.turns
        if turns is not None:
            number = ((theirs - ours) / turns.period).detach().round()
            number[..., turns.columns :] = 0
            theirs = theirs - turns.period * number
        return theirs.lerp(ours, mixture.share.to(ours.dtype).unsqueeze(2))

    def of_columns(self, chosen: Int[Tensor, " X"]) -> Gathered:
        """Only these candidates of each query."""
        ids, mixture = self.ids.index_select(1, chosen), self.mixture
        if mixture is not None:
            second, share = (each.index_select(1, chosen) for each in (mixture.second, mixture.share))
            mixture = mixture._replace(second=second, share=share)
        return Gathered(self.table, ids, mixture, self.factor)

    def halves(self) -> tuple[Gathered, Gathered]:
        """The two halves of the candidates' vectors; of what they read, this reads the whole, once."""
        first, second = self.table.chunk(2, dim=1)
        low = high = self.mixture
        if low is not None and low.turns is not None:
            period, columns = low.turns
            width = first.shape[1]
            low = low._replace(turns=Turns(period, min(columns, width)))
            high = low._replace(turns=Turns(period, columns - width) if columns > width else None)
        return _Half(self, 0, first, low), _Half(self, 1, second, high)


class _Half(Gathered):
    def __init__(self, whole: Gathered, number: int, table: Tensor, mixture: Mixture | None, factor: float = 1) -> None:
        super().__init__(table, whole.ids, mixture, whole.factor * factor)
        self.whole = whole
        self.number = number
        self.more = factor
        """what the half is multiplied by beside the whole"""

    def __mul__(self, factor: float) -> _Half:
        return _Half(self.whole, self.number, self.table, self.mixture, self.more * factor)

    def read(self) -> Float[Tensor, "B K D"]:
        return self.whole.read().chunk(2, dim=2)[self.number] * self.more


def candidates_of(table: Float[Tensor, "N D"], ids: Int[Tensor, "S K"], num_queries: int) -> Gathered | None:
    """Rows that are to be matched in place; None where that does not pay.

    It does where each query has candidates of its own, and without gradients. A gradient has the size of the table, and where
    queries' heads are rows of that table too, it is a second one: that pays where there are as many candidates as rows.
    """
    if len(ids) != num_queries or (torch.is_grad_enabled() and ids.numel() < len(table)):
        return None
    return Gathered(table if torch.is_grad_enabled() else table.detach(), ids)
