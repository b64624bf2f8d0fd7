"""What an attack on query vectors tries to end: the truth is among the best k answers, of a model or of a smoothed one.

On tensors, so that any function from heads to scores can be attacked; ``scores_of`` makes one of a scorer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gnnkg.core import Scorer, Vectors

Scores = Callable[[Tensor, Tensor], Tensor]
"""(head vectors (X, D), the query that each stands for (X,)) -> scores of all candidates (X, N), differentiable"""


def scores_of(scorer: Scorer, vectors: Vectors) -> Scores:
    """The scores of some queries' candidates as a function of their head vectors."""
    tables, queries = len(vectors.tail), len(vectors.head)
    if tables not in (1, queries):
        raise ValueError(f"candidates are one table for all {queries} queries or one for each, not {tables} tables")

    def scores(head: Float[Tensor, "X D"], query: Int[Tensor, " X"]) -> Float[Tensor, "X N"]:
        tail = vectors.tail if tables == 1 else vectors.tail[query]
        return scorer(Vectors(head, vectors.relation[query], tail))

    return scores


@runtime_checkable
class Event(Protocol):
    """Something that holds or not at a head vector, and a direction in which it holds less."""

    def holds(self, head: Float[Tensor, "X D"], query: Int[Tensor, " X"]) -> Bool[Tensor, " X"]: ...

    def slope(
        self, head: Float[Tensor, "X D"], query: Int[Tensor, " X"], against: Int[Tensor, " X"] | None = None
    ) -> Float[Tensor, "X D"]:
        """The gradient of how far the event is from its end; ``against``: by one rival, -1 for the one that is nearest now."""
        ...

    def rivals(self, head: Float[Tensor, "X D"], query: Int[Tensor, " X"], count: int) -> Int[Tensor, "X count"]:
        """The candidates nearest to ending the event, in order; -1 where there are fewer."""
        ...


@dataclass(frozen=True)
class InTop:
    """Fewer than k candidates score as high as the truth. A tie counts against it; so does NaN.

    ``known``: the other true answers, which take no part. The margin is f(truth) - the k-th largest of the others.
    """

    scores: Scores
    truth: Int[Tensor, " B"]
    known: Bool[Tensor, "B N"]
    k: int = 1

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k must be at least 1, not {self.k}")

    def _others(self, head: Tensor, query: Tensor) -> tuple[Float[Tensor, " X"], Float[Tensor, "X N"]]:
        scores = self.scores(head, query)
        truth = self.truth[query].unsqueeze(1)
        gone = self.known[query].scatter(1, truth, True)
        return scores.gather(1, truth).squeeze(1), scores.masked_fill(gone, -torch.inf)

    def margin(
        self, head: Float[Tensor, "X D"], query: Int[Tensor, " X"], against: Int[Tensor, " X"] | None = None
    ) -> Float[Tensor, " X"]:
        """Infinite where fewer than k others take part."""
        truth, others = self._others(head, query)
        if self.k > others.shape[1]:
            return torch.full_like(truth, torch.inf)
        rival = others.topk(self.k, 1).values[:, -1]
        if against is not None:
            chosen = others.gather(1, against.clamp(min=0).unsqueeze(1)).squeeze(1)
            rival = torch.where(against < 0, rival, chosen)
        return truth - rival

    @torch.no_grad()
    def holds(self, head: Float[Tensor, "X D"], query: Int[Tensor, " X"]) -> Bool[Tensor, " X"]:
        return self.margin(head, query) > 0

    @torch.enable_grad()
    def slope(
        self, head: Float[Tensor, "X D"], query: Int[Tensor, " X"], against: Int[Tensor, " X"] | None = None
    ) -> Float[Tensor, "X D"]:
        leaf = head.detach().requires_grad_()
        margin = self.margin(leaf, query, against)
        return _gradient(margin.masked_fill(margin.isinf(), 0), leaf)

    @torch.no_grad()
    def rivals(self, head: Float[Tensor, "X D"], query: Int[Tensor, " X"], count: int) -> Int[Tensor, "X {count}"]:
        others = self._others(head, query)[1]
        best = others.topk(min(count, others.shape[1]), 1)
        found = best.indices.masked_fill(best.values == -torch.inf, -1)
        return torch.nn.functional.pad(found, (0, count - found.shape[1]), value=-1)


@dataclass(frozen=True)
class Smoothed:
    """More than ``threshold`` of the draws of noise leave the event: the answer of the smoothed model, by common random numbers.

    ``noise`` holds the draws (M, D), the same for every query and vector; so this is an estimate, and what it says of a
    perturbation is to be confirmed with draws of its own. The slope is that of the mean of sigmoid(margin / temperature), with the
    standard deviation of the margins over draws as temperature.
    """

    event: InTop
    noise: Float[Tensor, "M D"]
    threshold: float = 0.5
    at_once: int = 1024
    """vectors whose candidates are scored at once"""

    def _blocks(self, head: Tensor, query: Tensor) -> Iterator[tuple[Float[Tensor, "Y D"], Int[Tensor, " Y"]]]:
        """Some of the draws, added to all of the vectors: Y = m X rows, the vectors of a draw together."""
        for noise in self.noise.split(max(1, self.at_once // max(len(head), 1))):
            yield (head + noise.unsqueeze(1)).flatten(0, 1), query.repeat(len(noise))

    def share(self, head: Float[Tensor, "X D"], query: Int[Tensor, " X"]) -> Float[Tensor, " X"]:
        """How many of the draws leave the event."""
        held = [self.event.holds(*block).view(-1, len(head)) for block in self._blocks(head, query)]
        return torch.cat(held).to(head.dtype).mean(0)

    def holds(self, head: Float[Tensor, "X D"], query: Int[Tensor, " X"]) -> Bool[Tensor, " X"]:
        return self.share(head, query) > self.threshold

    @torch.enable_grad()
    def slope(
        self, head: Float[Tensor, "X D"], query: Int[Tensor, " X"], against: Int[Tensor, " X"] | None = None
    ) -> Float[Tensor, "X D"]:
        margins, slopes = [], []
        for points, rows in self._blocks(head.detach(), query):
            leaf = points.requires_grad_()
            margin = self.event.margin(leaf, rows, None if against is None else against.repeat(len(rows) // len(query)))
            margin = margin.masked_fill(margin.isinf(), 0)
            slopes.append(_gradient(margin, leaf).view(-1, *head.shape))
            margins.append(margin.detach().view(-1, len(head)))
        margin = torch.cat(margins)  # (M, X)
        temperature = margin.std(0, correction=0).clamp(min=torch.finfo(margin.dtype).tiny)
        soft = torch.sigmoid(margin / temperature)
        weight = soft * (1 - soft) / temperature
        return torch.einsum("mx,mxd->xd", weight, torch.cat(slopes)) / len(margin)

    def rivals(self, head: Float[Tensor, "X D"], query: Int[Tensor, " X"], count: int) -> Int[Tensor, "X {count}"]:
        return self.event.rivals(head, query, count)


def _gradient(of: Float[Tensor, " X"], by: Float[Tensor, "X D"]) -> Float[Tensor, "X D"]:
    """Zeros where scores do not depend on the head."""
    if not of.requires_grad:
        return torch.zeros_like(by)
    return torch.autograd.grad(of.sum(), by, allow_unused=True, materialize_grads=True)[0]
