"""A trained model as the executors see it: link scores of any number of queries, in blocks, and entities that are perturbed."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnnkg.core import EVERY_ENTITY, Candidates, Lookup, Scorer, Vectors
from gnnkg.evaluation.memory import SMALLEST_BLOCK, queries_at_once
from gnnkg.noise import Family, entity_vectors, spread, unit_noise


class Links:
    """Scores of (head, relation, ?) for all N entities.

    ``anchored`` is the lookup that reads known entities of a query, ``lookup`` the one for those in between; they differ where
    the known ones are perturbed. ``memory`` as in ``queries_at_once``.
    """

    def __init__(
        self,
        scorer: Scorer,
        lookup: Lookup,
        num_entities: int,
        device: torch.device | str = "cpu",
        memory: int | None = None,
        anchored: Lookup | None = None,
    ) -> None:
        self.scorer = scorer
        self.lookup = lookup
        self.anchored = anchored or lookup
        self.num_entities = num_entities
        self.device = torch.device(device)
        self.size = queries_at_once(lookup, num_entities, self.device, memory)
        """how many queries are scored at once"""

    def of_anchors(self, head: Int[Tensor, " B"], relation: Int[Tensor, " B"]) -> Float[Tensor, "B N"]:
        """In double precision, so that no scale makes two of them tie."""
        return torch.cat(
            [self._scores(self.anchored, head[rows], relation[rows]).double() for rows in self.blocks(len(head))]
        )

    def between(self, head: Int[Tensor, " B"], relation: Int[Tensor, " B"]) -> Float[Tensor, "B N"]:
        """Of at most ``size`` queries."""
        return self._scores(self.lookup, head, relation)

    def blocks(self, count: int) -> Iterator[slice]:
        """Slices of at most ``size`` queries."""
        return (slice(first, first + self.size) for first in range(0, count, self.size))

    def _scores(self, lookup: Lookup, head: Tensor, relation: Tensor) -> Tensor:
        return self.scorer(lookup(padded(head), padded(relation)))[: len(head)]


def padded(rows: Tensor) -> Tensor:
    """With copies of the last row up to a multiple of 8: a row then scores the same bits in any block (``queries_at_once``)."""
    return torch.cat([rows, rows[-1:].expand(-len(rows) % SMALLEST_BLOCK, *rows.shape[1:])])


class Perturbed:
    """A lookup whose heads are moved: h + alpha sigma u, with a u of variance 1 for each entity, drawn once from a seed.

    sigma is the spread of the entities' own vectors, or given. What is drawn for an entity depends on the seed alone, not on who is
    asked when. Candidates are not moved. Raises ValueError where the scorer does not read the head.
    """

    def __init__(
        self,
        scorer: Scorer,
        lookup: Lookup,
        alpha: float,
        seed: int = 0,
        family: Family = "gaussian",
        divisor: float = 3.0,
        device: torch.device | str = "cpu",
        sigma: float | None = None,
    ) -> None:
        if not scorer.reads_head:
            raise ValueError(
                f"{type(scorer).__name__} does not read the vector of a query's entity: there is nothing to perturb"
            )
        vectors = entity_vectors(lookup, device)
        self.lookup = lookup
        self.sigma = float(spread(vectors, divisor)) if sigma is None else sigma
        noise = unit_noise(
            tuple(vectors.shape), family, torch.Generator().manual_seed(seed)
        )  # the same on every device
        self.shift = (alpha * self.sigma * noise).to(vectors)

    def __call__(
        self, head: Int[Tensor, " B"], relation: Int[Tensor, " B"], candidates: Candidates = EVERY_ENTITY
    ) -> Vectors:
        vectors = self.lookup(head, relation, candidates)
        return vectors.replace(head=vectors.head + self.shift[head])
