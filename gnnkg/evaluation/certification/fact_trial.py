"""Attacks against a certificate for facts: as many are deleted, or added, as it allows, on the smoothed model that it is about."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text
from torch import Tensor

from gnnkg.core import Model
from gnnkg.data.dataset import Dataset
from gnnkg.evaluation.certification.bound import FIRST_DRAWS, Side, settled
from gnnkg.evaluation.certification.fact_certificate import FactCertificate
from gnnkg.evaluation.certification.trial import of_query
from gnnkg.evaluation.events import InTop
from gnnkg.evaluation.fact_attacks import (
    KINDS,
    Changes,
    Kind,
    Lead,
    Method,
    Pool,
    additions,
    attack,
    ends_of,
    free_facts,
    in_top_by_facts,
)
from gnnkg.evaluation.ranks import evaluating
from gnnkg.graph import KnowledgeGraph, KnownTails

SEARCH_DRAWS = 40
"""by which an attack judges the smoothed model while it searches"""
METHODS: tuple[Method, ...] = "gradient", "random"
MEANING = (
    "An answer seemed to turn where the draws that an attack searched with say so; it turned where fresh draws put its probability "
    "below 1/2, at the certificate's confidence, which would contradict the certificate. No certificate is about the model on the "
    "whole graph: what as many changes do to it stands beside. That no attack turned an answer proves nothing by itself."
)


@dataclass(frozen=True)
class Thinned:
    """Some draws of what random deletion leaves still have the event: a smoothed answer, for as long as half of them do.

    By common random numbers, so an estimate: what it says of changes is to be confirmed with draws of its own.
    """

    event: InTop
    left: Float[Tensor, "n M"]
    """1 for the facts of a pool that a draw leaves, 0 for the others"""

    @property
    def k(self) -> int:
        return self.event.k

    def margin(self, head: Float[Tensor, "X M"], query: Int[Tensor, " X"]) -> Float[Tensor, " X"]:
        """The share of the draws: an attack goes on below 1/2, so that the fresh draws decide."""
        return torch.stack([self.event.holds(head * left, query) for left in self.left]).to(head).mean(0)

    def holds(self, head: Float[Tensor, "X M"], query: Int[Tensor, " X"]) -> Tensor:
        return self.margin(head, query) > 0

    def slope(self, head: Float[Tensor, "X M"], query: Int[Tensor, " X"], against: Tensor | None = None) -> Tensor:
        """That of the mean lead over the rival."""
        return torch.stack([self.event.slope(head * left, query, against) * left for left in self.left]).mean(0)

    def rivals(self, head: Float[Tensor, "X M"], query: Int[Tensor, " X"], count: int) -> Tensor:
        return self.event.rivals(head, query, count)


PART = 64
"""draws of what is left of all facts that are held at once"""


@dataclass(frozen=True, slots=True)
class Tried:
    """An attack on one certified answer."""

    head: int
    relation: int
    """in [0, 2R)"""
    truth: int
    kind: Kind
    allowed: int
    """how many facts the certificate lets it change"""
    changed: tuple[tuple[int, int, int], ...]
    """the facts, as (head, relation, tail), that the attack settled on"""
    share: float
    """of the draws that it searched with, that have the event after these changes; the answer seems to turn at 1/2 or below"""
    verdict: Side | None
    """on which side of 1/2 the probability of the event then lies, by ``draws`` fresh draws; None: it did not seem to turn"""
    draws: int
    held: bool
    """whether the model on the whole graph has the event without changes"""
    needed: int | None
    """how many changes end that, of those allowed; None: it held out"""


@dataclass(frozen=True)
class CertificateTrial:
    """How many certified answers attacks turned that change no more facts than the certificate allows."""

    dataset: str
    split: str
    subset: str
    deletion: float
    confidence: float
    top: int
    seed: int
    tries: int
    candidates: int
    rows: tuple[Tried, ...]
    wall_seconds: float

    def figures(self, kind: Kind) -> dict[str, Any]:
        rows = [row for row in self.rows if row.kind == kind]
        return {
            "tried": len(rows),
            "mean allowed": float(np.mean([row.allowed for row in rows])) if rows else None,
            "suspected": sum(row.verdict is not None for row in rows),
            "turned": sum(row.verdict == "below" for row in rows),
            "undecided": sum(row.verdict == "open" for row in rows),
            "fresh draws": sum(row.draws for row in rows),
            "held": sum(row.held for row in rows),
            "held turned": sum(row.needed is not None for row in rows),
        }

    def to_dict(self) -> dict[str, Any]:
        """With the figures; as JSON has it."""
        figures = {kind: self.figures(kind) for kind in KINDS}
        return {"part": "facts", "meaning": MEANING, "figures": figures} | asdict(self)

    def __rich__(self) -> Group:
        title = f"{self.dataset}, {self.split}: attacks on certified answers, in {self.wall_seconds:.1f} s"
        told = (
            f"facts deleted with probability {self.deletion:g}; event: truth in the best {self.top}; confidence "
            f"{100 * self.confidence:g} % per query; {self.tries} changes tried at each step, by gradient and at random, "
            f"additions among {self.candidates}; {SEARCH_DRAWS} draws searched with; seed {self.seed}"
        )
        heads = "", "tried", "allowed, mean", "seemed to turn", "turned", "undecided", "fresh draws", "without noise"
        table = Table(*heads, box=SIMPLE_HEAD, pad_edge=False)
        for column in table.columns[1:]:
            column.justify = "right"
        for kind in KINDS:
            found = self.figures(kind)
            names = "suspected", "turned", "undecided", "fresh draws"
            mean = "" if found["mean allowed"] is None else f"{found['mean allowed']:.2f}"
            plain = f"{found['held turned']:,} of {found['held']:,}"
            name = f"facts {'deleted' if kind == 'delete' else 'added'}"
            table.add_row(name, f"{found['tried']:,}", mean, *(f"{found[each]:,}" for each in names), plain)
        return Group(Text(title, style="bold"), Text(told, style="dim"), table, Text(MEANING, style="dim"))


def certified(certificate: FactCertificate, most: int | None = None) -> list[tuple[Kind, int, int]]:
    """What there is to attack: for each kind the places of the first ``most`` certified queries, and how many facts are allowed."""
    allowed: dict[Kind, np.ndarray] = {"delete": certificate.removed(), "add": certificate.added()}
    return [
        (kind, int(place), int(numbers[place]))
        for kind, numbers in allowed.items()
        for place in np.flatnonzero(numbers)[:most]
    ]


def attack_certified(
    model: Model,
    dataset: Dataset,
    certificate: FactCertificate,
    *,
    most: int | None = None,
    tries: int = 4,
    candidates: int = 64,
    fresh_draws: int = 16_000,
    filter: Sequence[str] | None = None,
    known_rows: Sequence[Tried] = (),
    report: Callable[[Sequence[Tried], int], None] | None = None,
) -> CertificateTrial:
    """Attacks certified answers, or the first ``most`` that stand deletions and additions each.

    ``known_rows``: what an earlier call with the same arguments has found, as ``report`` was given it after each answer.
    Where an answer seems to turn, fresh draws decide: until they do, and ``fresh_draws`` at most. The model, the data set and the
    filter are to be those of the certificate. Raises ValueError where nothing is certified.
    """
    begin, attacked = time.perf_counter(), certified(certificate, most)
    if not attacked:
        raise ValueError("no query is certified against a change of a single fact: there is nothing to attack")
    device = next(model.parameters(), dataset.graph.facts).device
    one = _One(
        model,
        dataset.graph.to(device),
        dataset.filtering(filter)[1].to(device),
        certificate,
        tries,
        candidates,
        fresh_draws,
    )
    rows = list(known_rows)
    with evaluating(model):
        for kind, place, allowed in attacked[len(rows) :]:
            query = certificate.queries[place]
            rows.append(one.tried(query, kind, allowed, of_query(certificate.seed, KINDS.index(kind), *query)))
            if report is not None:
                report(rows, len(attacked))
    return CertificateTrial(
        dataset=certificate.dataset,
        split=certificate.split,
        subset=certificate.subset,
        deletion=certificate.deletion,
        confidence=certificate.confidence,
        top=certificate.top,
        seed=certificate.seed,
        tries=tries,
        candidates=candidates,
        rows=tuple(rows),
        wall_seconds=time.perf_counter() - begin,
    )


@dataclass(frozen=True)
class _One:
    """How each certified answer is attacked."""

    model: Model
    graph: KnowledgeGraph
    known: KnownTails
    certificate: FactCertificate
    tries: int
    candidates: int
    fresh_draws: int

    def tried(self, query: tuple[int, int, int], kind: Kind, allowed: int, draw: torch.Generator) -> Tried:
        pool, event, ends = self._pool(query, kind, draw)

        def by_each_method(on: Lead) -> list[Changes]:
            return [
                attack(on, pool.start, free_facts(pool, kind, way, ends), allowed, 0, way, self.tries, draw)
                for way in METHODS
            ]

        plain = by_each_method(event)
        needed = [changes.needed for changes in plain if changes.held and changes.needed is not None]
        thinned = Thinned(event, self._left(pool, SEARCH_DRAWS, draw))
        smoothed = min(by_each_method(thinned), key=lambda changes: min(changes.margins))
        share = min(smoothed.margins)
        rows = list(smoothed.rows[: smoothed.margins.index(share)])
        point = pool.start.clone()
        point[rows] = 1 - point[rows]
        verdict, draws = self._side(event, pool, point, draw) if share <= 0.5 else (None, 0)
        changed = tuple(map(tuple, pool.graph.facts[rows].tolist()))
        return Tried(*query, kind, allowed, changed, share, verdict, draws, plain[0].held, min(needed, default=None))

    def _pool(self, query: tuple[int, int, int], kind: Kind, draw: torch.Generator) -> tuple[Pool, InTop, Tensor]:
        dtype, (top, known) = next(self.model.parameters()).dtype, (self.certificate.top, self.known)
        pool = Pool.of(self.graph, self.graph.facts[:0], dtype)
        event = in_top_by_facts(self.model, pool, known, query, top)
        ends = ends_of(event, pool, query[0])
        if kind == "add":
            pool = Pool.of(self.graph, additions(self.graph, ends, self.candidates, draw), dtype)
            event = in_top_by_facts(self.model, pool, known, query, top)
        return pool, event, ends

    def _left(self, pool: Pool, number: int, draw: torch.Generator) -> Float[Tensor, "n M"]:
        """Draws of what random deletion leaves."""
        return (torch.rand(number, len(pool.start), generator=draw) >= self.certificate.deletion).to(pool.start)

    def _side(self, event: InTop, pool: Pool, point: Tensor, draw: torch.Generator) -> tuple[Side, int]:
        """On which side of 1/2 the event's probability lies, and by how many draws."""
        query = torch.zeros(1, dtype=torch.long, device=point.device)

        def held(number: int) -> int:
            parts = [min(PART, number - done) for done in range(0, number, PART)]
            draws = (left for part in parts for left in self._left(pool, part, draw))
            return sum(int(event.holds((point * left).unsqueeze(0), query)) for left in draws)

        return settled(held, FIRST_DRAWS, self.fresh_draws, 1 - self.certificate.confidence)
