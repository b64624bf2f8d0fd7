"""Attacks against a certificate: inside each radius, on the smoothed model, which it is about, and on the model without noise."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gnnkg.core import Lookup, Model
from gnnkg.data.dataset import Dataset
from gnnkg.evaluation.attacks import lowest, worst
from gnnkg.evaluation.certification.bound import FIRST_DRAWS, Side, settled
from gnnkg.evaluation.certification.certificate import Certificate, Row
from gnnkg.evaluation.events import InTop, Smoothed, scores_of
from gnnkg.evaluation.ranks import evaluating
from gnnkg.graph import KnownTails
from gnnkg.noise import unit_noise

SEARCH_DRAWS = 100
"""by which an attack judges the smoothed model while it searches"""


@dataclass(frozen=True, slots=True)
class Attacked:
    """Attacks inside the radius of one certified query: gradients and random directions."""

    head: int
    relation: int
    """in [0, 2R)"""
    truth: int
    radius: float
    held: bool
    """whether the model without noise has the event"""
    distance: float | None
    """the length of the smallest perturbation found that ends that; None where none was, or where there was nothing to end"""
    share: float
    """of the draws that were searched with, those that have the event at the worst point found; it seems to turn at 1/2 or below"""
    verdict: Side
    """on which side of 1/2 the probability of the event lies there, by ``draws`` fresh draws, with the certificate's confidence"""
    draws: int


@dataclass(frozen=True)
class Trial:
    """How many certified queries attacks inside their radius turned."""

    rows: tuple[Attacked, ...]
    fresh_draws: int
    """at most, for each query"""
    wall_seconds: float

    @property
    def tried(self) -> int:
        return len(self.rows)

    @property
    def held(self) -> int:
        """Those whose event the model without noise has too."""
        return sum(row.held for row in self.rows)

    @property
    def held_turned(self) -> int:
        """Of them, those where an attack ends it: no certificate speaks against that."""
        return sum(row.distance is not None for row in self.rows)

    @property
    def suspected(self) -> int:
        """Where an attack on the smoothed model seemed to succeed, by the draws that it searched with."""
        return sum(row.share <= 0.5 for row in self.rows)

    @property
    def turned(self) -> int:
        """Where fresh draws say so: that contradicts the certificate."""
        return sum(row.verdict == "below" for row in self.rows)

    @property
    def undecided(self) -> int:
        """Where they leave open on which side of 1/2 the probability is."""
        return sum(row.verdict == "open" for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        named = "tried", "held", "held_turned", "suspected", "turned", "undecided"
        return {name: getattr(self, name) for name in named} | asdict(self)

    def __str__(self) -> str:
        return (
            f"attacks inside the radius of {self.tried:,} certified queries: the smoothed answer turned in {self.turned:,} "
            f"({self.suspected:,} suspected, {self.undecided:,} undecided after {self.fresh_draws:,} fresh draws); without noise "
            f"{self.held_turned:,} of {self.held:,} turned"
        )


def attack(
    model: Model,
    dataset: Dataset,
    certificate: Certificate,
    *,
    most: int | None = None,
    filter: Sequence[str] | None = None,
    fresh_draws: int = 10_000,
    known_rows: Sequence[Attacked] = (),
    report: Callable[[Sequence[Attacked], int], None] | None = None,
) -> Trial:
    """Attacks the certified queries of a certificate, or the first ``most`` of them. ``report`` is as that of ``certify``.

    ``known_rows``: what an earlier call with the same arguments has found. Whatever the search thinks of the worst point that it
    found for a query, fresh draws judge it. The model, the data set and the filter are to be those of the certificate.

    Raises ValueError where nothing is certified.
    """
    begin = time.perf_counter()
    if certificate.part != "head":
        raise ValueError(f"attacks are on the head's vector, and this certificate is about the {certificate.part}")
    radii = certificate.radii()
    places = np.flatnonzero(radii > 0)[:most].tolist()
    if not places:
        raise ValueError("no query is certified: there is nothing to attack")
    device = next(model.parameters(), dataset.graph.facts).device
    graph, known = dataset.graph.to(device), dataset.filtering(filter)[1].to(device)
    rows = list(known_rows)
    with evaluating(model):
        lookup = model.encoder(graph)
        for place in places[len(rows) :]:
            row = certificate.rows[place]
            event, head = _event(model, lookup, known, row, certificate.smoothing.top, device)
            rows.append(_attacked(row, event, head, float(radii[place]), certificate, fresh_draws))
            if report is not None:
                report(rows, len(places))
    return Trial(tuple(rows), fresh_draws, time.perf_counter() - begin)


def of_query(seed: int, *query: int) -> torch.Generator:
    """Random numbers that are a query's own, whatever else is attacked, and in which order."""
    state = np.random.SeedSequence([seed, *query]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))


def _attacked(
    row: Row, event: InTop, head: Tensor, radius: float, certificate: Certificate, fresh_draws: int
) -> Attacked:
    draw = of_query(certificate.smoothing.seed, row.head, row.relation, row.truth)
    inside = radius * (1 - 1e-6)

    def noise(number: int) -> Tensor:
        return certificate.deviation * unit_noise((number, head.shape[1]), generator=draw).to(head)

    plain = worst(event, head, inside, steps=20, restarts=4, directions=50, generator=draw)
    smoothed = Smoothed(event, noise(SEARCH_DRAWS))
    share, perturbation = lowest(smoothed, head, inside, steps=8, restarts=2, directions=8, generator=draw)

    def held(number: int) -> int:
        """Of so many more draws at the worst point."""
        query = torch.zeros(1, dtype=torch.long, device=head.device)
        parts = [min(1000, number - start) for start in range(0, number, 1000)]
        return sum(int(event.holds(head + perturbation + noise(n), query.expand(n)).sum()) for n in parts)

    verdict, draws = settled(held, FIRST_DRAWS, fresh_draws, 1 - certificate.smoothing.confidence)
    return Attacked(
        head=row.head,
        relation=row.relation,
        truth=row.truth,
        radius=radius,
        held=bool(plain.held[0]),
        distance=float(plain.distance[0]) if plain.succeeded[0] else None,
        share=float(share[0]),
        verdict=verdict,
        draws=draws,
    )


def _event(
    model: Model, lookup: Lookup, known: KnownTails, row: Row, top: int, device: torch.device
) -> tuple[InTop, Tensor]:
    """The event of a certified query, and its head vector (1, D)."""
    head, relation = (torch.tensor([each], device=device) for each in (row.head, row.relation))
    vectors = lookup(head, relation)
    mask = torch.zeros(1, vectors.tail.shape[1], dtype=torch.bool, device=device)
    mask[0, known.of(head, relation).tails] = True
    truth = torch.tensor([row.truth], device=device)
    return InTop(scores_of(model.scorer, vectors), truth, mask, top), vectors.head
