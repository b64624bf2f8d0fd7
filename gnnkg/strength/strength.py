from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gnnkg.core import Batch, FollowsEpochs, Labels, Scorer, Vectors, in_evaluation_mode
from gnnkg.noise import Family, spread, unit_noise
from gnnkg.strength.schedules import Alpha


@runtime_checkable
class Observes(Protocol):
    """A schedule that is shown what its noise does."""

    def observe(self, scorer: Scorer, clean: Vectors, noisy: Vectors, labels: Labels) -> None: ...


class Strength(nn.Module):
    """The standard deviation of the noise on each query's entity, s = alpha * sigma.

    sigma is the ``quantile`` of the absolute components of the entity vectors over ``divisor`` (see ``gnnkg.noise.spread``), of
    the whole table or, with ``per_entity``, of each row. It is measured on the vectors that carry the noise, as evaluation reads
    them, before the first batch of every ``refresh``-th epoch (None: once), and is part of a checkpoint. ``sigma`` fixes it
    instead.

    Raises ValueError where sigma has not been measured: an ``Objective`` shows the entities to its terms.
    """

    def __init__(
        self,
        alpha: float | Alpha = 1.0,
        divisor: float = 3.0,
        quantile: float = 0.9973,
        per_entity: bool = False,
        sigma: float | None = None,
        refresh: int | None = 1,
    ) -> None:
        super().__init__()
        if isinstance(alpha, int | float) and not 0 <= alpha < math.inf:
            raise ValueError(f"alpha must be at least 0, not {alpha}")
        if sigma is not None and (not 0 < sigma < math.inf or per_entity):
            raise ValueError(f"a sigma that is given is one number above 0, for all entities; it is {sigma}")
        if refresh is not None and refresh < 1:
            raise ValueError(f"refresh must be at least 1, or None to measure once; it is {refresh}")
        spread(torch.ones(1, 1), divisor, quantile)  # refuses settings out of range
        self.alpha = alpha
        self.divisor = divisor
        self.quantile = quantile
        self.per_entity = per_entity
        self.given = sigma
        self.refresh = refresh
        self.sigma: Float[Tensor, ""] | Float[Tensor, " N"] | None = None
        self.measured = 0
        """the epoch that sigma is of"""
        self.epoch = 0
        self._batch: Batch | None = None

    def before_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        if isinstance(self.alpha, FollowsEpochs):
            self.alpha.before_epoch(epoch)

    def before_batch(self, batch: Batch, vectors: Callable[[], Float[Tensor, "N D"]]) -> None:
        """``vectors()``: those that sigma is of; asked for where it is due."""
        self._batch = batch
        if self.given is None and self._due:
            self.sigma = spread(vectors(), self.divisor, self.quantile, self.per_entity)
            self.measured = self.epoch

    @property
    def _due(self) -> bool:
        since = self.epoch - self.measured
        return self.sigma is None or since < 0 or (self.refresh is not None and since >= self.refresh)

    def of(self, vectors: Float[Tensor, "B D"], tails: bool = False) -> Float[Tensor, "#B 1"]:
        """s for the vectors of the batch's heads, or of its tails."""
        alpha, sigma, batch = self.alpha, self._sigma, self._batch
        if callable(alpha) or self.per_entity:
            if batch is None or len(batch.head) != len(vectors):
                raise ValueError(
                    "noise by entity or by a schedule needs the facts of the batch: train through an Objective, which shows them"
                )
            if callable(alpha):
                alpha = alpha(batch)
            if self.per_entity:
                sigma = sigma.to(vectors.device)[batch.tail if tails else batch.head]
        return (torch.as_tensor(alpha).to(vectors) * sigma.to(vectors)).reshape(-1, 1)

    def of_table(self, batch: Batch, table: Float[Tensor, "N D"]) -> Float[Tensor, "#N 1"]:
        """s for the rows of the table that sigma is of, which all queries share. Raises ValueError for an alpha of each query."""
        alpha = torch.as_tensor(self.alpha(batch) if callable(self.alpha) else self.alpha)
        if alpha.dim():
            raise ValueError(
                "the queries of a batch share the noise on a table: alpha may follow epochs (Annealed), not queries (ByFrequency)"
            )
        return (alpha.to(table) * self._sigma.to(table)).reshape(-1, 1)

    @property
    def _sigma(self) -> Float[Tensor, ""] | Float[Tensor, " N"]:
        sigma = self.sigma if self.given is None else self.given
        if sigma is None:
            raise ValueError(
                "the spread of the entities has not been measured: train through an Objective, which shows them, or give sigma"
            )
        return torch.as_tensor(sigma)

    def noisy(self, vectors: Vectors, family: Family) -> Vectors:
        """The vectors with noise of this strength on their heads."""
        head = vectors.head
        noise = unit_noise(tuple(head.shape), family, device=head.device, dtype=head.dtype)
        return vectors.replace(head=head + self.of(head) * noise)

    def show(self, scorer: Scorer, clean: Vectors, noisy: Vectors, labels: Labels) -> None:
        """Lets a schedule that watches see what noise does to the batch's queries."""
        if isinstance(self.alpha, Observes):
            with in_evaluation_mode(scorer):
                self.alpha.observe(scorer, clean, noisy, labels)

    def get_extra_state(self) -> dict[str, Any]:
        return {"sigma": self.sigma, "measured": self.measured}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.sigma, self.measured = state["sigma"], state["measured"]
