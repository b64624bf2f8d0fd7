"""Schedules of alpha, which the paper leaves as future work: by epoch, by how frequent a fact's parts are, by feedback."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gnnkg.core import Batch, Labels, Scorer, Vectors
from gnnkg.graph import KnowledgeGraph

Alpha = Callable[[Batch], Tensor]
"""the alpha of each query of a batch (B,), or one for all ()"""


class Annealed:
    """From ``start`` to ``end`` over the first ``epochs`` epochs, then ``end``:

        alpha(e) = start + (end - start) * g(min(1, e / epochs)),    g(x) = x (linear) or (1 - cos pi x) / 2 (cosine)

    ``start=0`` is a warm-up of the noise.
    """

    def __init__(
        self, start: float = 0.0, end: float = 1.0, epochs: int = 10, shape: Literal["linear", "cosine"] = "linear"
    ) -> None:
        if not (0 <= start < math.inf and 0 <= end < math.inf) or epochs < 1:
            raise ValueError(f"start and end must be at least 0 and epochs at least 1, not {start}, {end} and {epochs}")
        self.start = start
        self.end = end
        self.epochs = epochs
        self.shape = shape
        self.epoch = epochs  # outside of a training loop the way is gone

    def before_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __call__(self, batch: Batch) -> Float[Tensor, ""]:
        share = min(1.0, self.epoch / self.epochs)
        if self.shape == "cosine":
            share = (1 - math.cos(math.pi * share)) / 2
        return torch.tensor(self.start + (self.end - self.start) * share, device=batch.head.device)


class ByFrequency:
    """Other noise on frequent entities, or for frequent relations, than on rare ones:

        alpha_i = alpha * clamp((c_i / c)^power, 1 / limit, limit),    c_i = 1 + the training facts of i

    with c the geometric mean of c_i over all entities or relations. ``power`` above 0 gives those more noise about which the
    model knows more. ``of="entity"`` counts for the query's head.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        power: float = 0.25,
        of: Literal["entity", "relation"] = "entity",
        limit: float = 4.0,
    ) -> None:
        if not 0 <= alpha < math.inf or not 1 <= limit < math.inf:
            raise ValueError(f"alpha must be at least 0 and limit at least 1, not {alpha} and {limit}")
        self.alpha = alpha
        self.power = power
        self.of = of
        self.limit = limit
        self._known: tuple[KnowledgeGraph, Tensor] | None = None

    def __call__(self, batch: Batch) -> Float[Tensor, " B"]:
        if self._known is None or self._known[0] is not batch.graph:
            self._known = batch.graph, self.factors(batch.graph)
        asked = batch.head if self.of == "entity" else batch.relation % batch.graph.num_relations
        return self.alpha * self._known[1][asked]

    def factors(self, graph: KnowledgeGraph) -> Float[Tensor, " X"]:
        """Of every entity, or of every base relation."""
        head, relation, tail = graph.facts.unbind(1)
        ids: Int[Tensor, " X"] = torch.cat([head, tail]) if self.of == "entity" else relation
        kinds = graph.num_entities if self.of == "entity" else graph.num_relations
        logs = (1 + torch.bincount(ids, minlength=kinds)).float().log()
        return (self.power * (logs - logs.mean())).exp().clamp(1 / self.limit, self.limit)


class HoldWins(nn.Module):
    """Adapts alpha until noise costs a set share of the queries that the model wins:

        log alpha += rate * (kept - target),    alpha within [lowest, highest]

    A query is won where its truth outscores the batch's other candidates; ``kept`` is the share of those won without noise that
    are won with it. Every ``every`` steps, at the cost of scoring the candidates twice more. alpha is part of a checkpoint.
    """

    alpha: Tensor
    steps: Tensor

    def __init__(
        self,
        target: float = 0.8,
        start: float = 1.0,
        rate: float = 0.2,
        every: int = 10,
        lowest: float = 0.01,
        highest: float = 10.0,
    ) -> None:
        super().__init__()
        if not 0 < target < 1 or not 0 < lowest <= start <= highest < math.inf or every < 1 or not 0 < rate < math.inf:
            raise ValueError(
                f"target must lie in (0, 1), start in [lowest, highest] above 0, every be at least 1 and rate above 0; they are "
                f"{target}, {start} in [{lowest}, {highest}], {every} and {rate}"
            )
        self.target = target
        self.rate = rate
        self.every = every
        self.lowest = lowest
        self.highest = highest
        self.register_buffer("alpha", torch.tensor(start))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        return self.alpha.to(batch.head.device)

    @torch.no_grad()
    def observe(self, scorer: Scorer, clean: Vectors, noisy: Vectors, labels: Labels) -> None:
        due = self.steps % self.every == 0
        self.steps += 1
        if not due:
            return
        before, after = (_won(scorer(vectors), labels) for vectors in (clean, noisy))
        if before.any():
            kept = after[before].to(self.alpha).mean()
            self.alpha.mul_((self.rate * (kept - self.target)).exp()).clamp_(self.lowest, self.highest)


def _won(scores: Float[Tensor, "B C"], labels: Labels) -> Tensor:
    """Whether the truth outscores every column that should not score as high (known tails take no part)."""
    truth = scores.gather(1, labels.truth.unsqueeze(1))
    others = labels.negatives & (labels.value < labels.value.gather(1, labels.truth.unsqueeze(1)))
    return ((scores < truth) | ~others).all(1)
