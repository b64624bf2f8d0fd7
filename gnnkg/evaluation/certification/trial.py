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
from gnnkg.evaluation.attacks import Attack, worst
from gnnkg.evaluation.certification.bound import Side, side
from gnnkg.evaluation.certification.certificate import Certificate, Row
from gnnkg.evaluation.events import InTop, Smoothed, scores_of
from gnnkg.evaluation.ranks import evaluating
from gnnkg.graph import KnownTails
from gnnkg.noise import unit_noise

SEARCH_DRAWS = 100
"""by which an attack judges the smoothed model while it searches"""


@dataclass(frozen=True)
class Trial:
    """How many certified queries attacks inside their radius turned: gradients, random directions, and the worse of both."""

    tried: int
    held: int
    """of them, those whose event the model without noise has too"""
    held_turned: int
    """where an attack ends it: no certificate speaks against that"""
    suspected: int
    """where an attack on the smoothed model seemed to succeed, by the draws that it searched with"""
    turned: int
    """where fresh draws confirm it: the probability of the event is below 1/2 with the certificate's confidence"""
    undecided: int
    """where they leave open on which side of 1/2 it is"""
    fresh_draws: int
    wall_seconds: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

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
    filter: Sequence[str] = ("train", "valid", "test"),
    fresh_draws: int = 10_000,
    step: Callable[[], None] = lambda: None,
) -> Trial:
    """Attacks the certified queries of a certificate, or the first ``most`` of them; ``step`` is called after each.

    The model, the data set and the filter are to be those of the certificate. Raises ValueError where nothing is certified.
    """
    begin = time.perf_counter()
    if certificate.part != "head":
        raise ValueError(f"attacks are on the head's vector, and this certificate is about the {certificate.part}")
    radii = certificate.radii()
    places = np.flatnonzero(radii > 0)[:most]
    if not len(places):
        raise ValueError("no query is certified: there is nothing to attack")
    device = next(model.parameters(), dataset.graph.facts).device
    graph, known = dataset.graph.to(device), dataset.known(*filter).to(device)
    draw = torch.Generator().manual_seed(certificate.smoothing.seed)
    plain, smoothed, verdicts = [], [], []
    with evaluating(model):
        lookup = model.encoder(graph)
        for place in places:
            radius = float(radii[place]) * (1 - 1e-6)  # strictly inside
            event, head = _event(model, lookup, known, certificate.rows[place], certificate.smoothing.top, device)
            noise = certificate.deviation * unit_noise((SEARCH_DRAWS, head.shape[1]), generator=draw).to(head)
            plain.append(worst(event, head, radius, steps=20, restarts=4, directions=50, generator=draw))
            found = worst(Smoothed(event, noise), head, radius, steps=8, restarts=2, directions=8, generator=draw)
            smoothed.append(found)
            if found.succeeded.any():
                point = head + found.perturbation
                verdicts.append(_side(event, point, certificate, fresh_draws, draw))
            step()
    return Trial(
        tried=len(places),
        held=_number(plain, "held"),
        held_turned=_number(plain, "succeeded"),
        suspected=_number(smoothed, "succeeded"),
        turned=verdicts.count("below"),
        undecided=verdicts.count("open"),
        fresh_draws=fresh_draws,
        wall_seconds=time.perf_counter() - begin,
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


def _side(event: InTop, point: Tensor, certificate: Certificate, number: int, draw: torch.Generator) -> Side:
    """On which side of 1/2 the event's probability lies under noise at this point: below, above, or open."""
    held, query = 0, torch.zeros(1, dtype=torch.long, device=point.device)
    for size in [1000] * (number // 1000) + [number % 1000]:
        noise = certificate.deviation * unit_noise((size, point.shape[1]), generator=draw).to(point)
        held += int(event.holds(point + noise, query.expand(size)).sum())
    return side(held, number, 1 - certificate.smoothing.confidence)


def _number(attacks: Sequence[Attack], name: str) -> int:
    return sum(int(getattr(attack, name).sum()) for attack in attacks)
