"""Attacks on the facts that an encoder reads: few deletions and additions that end an event (``events.py``).

A point is then no head vector. It says which facts of a pool are there: a weight of 0 or 1 for each, which both of its edges carry.
The model's weights and the filter stay as they are: facts change after training. Whatever is returned as a success was tried in a
forward pass; that none was found proves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gnnkg.core import Model
from gnnkg.evaluation.events import Event, InTop, Scores
from gnnkg.graph import Facts, KnowledgeGraph, KnownTails

Kind = Literal["delete", "add"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Method = Literal["gradient", "random"]

HALF = 0.5
"""the weight of absent facts while their gradients are taken: at 0 they have none. On UMLS it found the best of CompGCN's and
NBFNet's additions more often than weights near 0, where an edge is never the largest message, or 1"""
AT_ONCE = 64
"""facts that are half there together: each makes the degrees a little wrong for the others"""
RIVALS = 3
"""beside the head and the truth, near which facts are added, and changed at random"""


@dataclass(frozen=True, eq=False)
class Pool:
    """The facts of a graph, and others that may be added to it."""

    graph: KnowledgeGraph
    """with all M of them, those of the graph first"""
    start: Float[Tensor, " M"]
    """the point that is the graph itself"""

    @classmethod
    def of(cls, graph: KnowledgeGraph, others: Facts, dtype: torch.dtype = torch.float32) -> Pool:
        """``others``: facts that the graph does not hold, each once. ``dtype``: that of the model."""
        facts = torch.cat([graph.facts, others])
        whole = KnowledgeGraph(facts, graph.num_entities, graph.num_relations, graph.vocabulary)
        start = torch.ones(len(facts), dtype=dtype, device=graph.device)
        start[len(graph.facts) :] = 0
        return cls(whole.annotated(graph.annotations), start)

    def at(self, point: Float[Tensor, " M"]) -> KnowledgeGraph:
        """The graph of the facts that are there."""
        return self.graph.weighted(point[self.graph.messages.edges.order % len(point)])


def scores_by_facts(model: Model, pool: Pool, head: Int[Tensor, " B"], relation: Int[Tensor, " B"]) -> Scores:
    """The scores of some queries' candidates as a function of the facts that are there: points (X, M) in place of heads."""

    def scores(point: Float[Tensor, "X M"], query: Int[Tensor, " X"]) -> Float[Tensor, "X N"]:
        rows = zip(point, head[query].split(1), relation[query].split(1), strict=True)
        return torch.cat([model(pool.at(one), *asked) for one, *asked in rows])

    return scores


def in_top_by_facts(model: Model, pool: Pool, known: KnownTails, query: Sequence[int], top: int) -> InTop:
    """The event that the truth of a query (head, relation in [0, 2R), truth) is in the best ``top`` but for the known tails."""
    head, relation, truth = (torch.tensor([each], device=pool.start.device) for each in query)
    mask = torch.zeros(1, pool.graph.num_entities, dtype=torch.bool, device=head.device)
    mask[0, known.of(head, relation).tails] = True
    return InTop(scores_by_facts(model, pool, head, relation), truth, mask, top)


def ends_of(event: InTop, pool: Pool, head: int) -> Int[Tensor, " X"]:
    """The head of a query, its truth and the best rivals as they are."""
    zero = torch.zeros(1, dtype=torch.long, device=pool.start.device)
    rivals = event.rivals(pool.start.unsqueeze(0), zero, RIVALS)[0]
    return torch.cat([zero + head, event.truth, rivals[rivals >= 0]])


def additions(graph: KnowledgeGraph, ends: Int[Tensor, " X"], count: int, generator: torch.Generator) -> Facts:
    """At most ``count`` different facts that the graph does not hold, drawn at random among those with one of the ``ends``."""
    one = ends[torch.randint(len(ends), (2 * count,), generator=generator).to(ends.device)]
    other = torch.randint(graph.num_entities, (2 * count,), generator=generator).to(ends.device)
    relation = torch.randint(graph.num_relations, (2 * count,), generator=generator).to(ends.device)
    as_head = (torch.rand(2 * count, generator=generator) < 0.5).to(ends.device)
    drawn = torch.stack([torch.where(as_head, one, other), relation, torch.where(as_head, other, one)], 1)
    drawn = torch.unique(drawn[~graph.known.holds(*drawn.unbind(1))], dim=0)
    return drawn[torch.randperm(len(drawn), generator=generator).to(drawn.device)[:count]]


def free_facts(pool: Pool, kind: Kind, method: Method, ends: Int[Tensor, " X"]) -> Bool[Tensor, " M"]:
    """Those of a pool that an attack may change; random changes are near the ``ends``, where they have a chance."""
    free = pool.start == (1 if kind == "delete" else 0)
    return free & torch.isin(pool.graph.facts[:, [0, 2]], ends).any(1) if method == "random" else free


class Lead(Event, Protocol):
    """An event that holds while a margin is above 0, such as ``InTop``."""

    @property
    def k(self) -> int:
        """The k-th of the rivals is the one to overtake."""
        ...

    def margin(self, head: Float[Tensor, "X M"], query: Int[Tensor, " X"]) -> Float[Tensor, " X"]: ...


@dataclass(frozen=True)
class Changes:
    """What an attack on one query did."""

    rows: tuple[int, ...]
    """of the pool: the facts that it changed, in this order"""
    margins: tuple[float, ...]
    """before, and after each change"""

    @property
    def held(self) -> bool:
        """Whether the event holds before any change; where it does not, there is nothing to attack."""
        return self.margins[0] > 0

    @property
    def needed(self) -> int | None:
        """How many changes end the event; None: it held out."""
        return None if self.margins[-1] > 0 else len(self.rows)


def attack(
    event: Lead,
    start: Float[Tensor, " M"],
    free: Bool[Tensor, " M"],
    most: int,
    query: int = 0,
    method: Method = "gradient",
    tries: int = 8,
    generator: torch.Generator | None = None,
) -> Changes:
    """Deletes facts that are there and ``free``, and adds free ones that are not, until the event ends or ``most`` are changed.

    Greedy: each step tries so many changes and keeps the one that leaves the smallest margin, also if none makes it smaller. Which
    are tried: those that lower the margin to the nearest rival most, to first order in the weights of the facts; or, ``"random"``,
    any, which is the baseline at the same number of forward passes. Raises ValueError for fewer than one of either.
    """
    if most < 1 or tries < 1:
        raise ValueError(f"an attack changes at least one fact and tries at least one, not {most} and {tries}")
    asked = torch.tensor([query], device=start.device)
    point, free, rows = start.clone(), free.clone(), []
    margins = [_margin(event, point, asked)]
    while margins[-1] > 0 and len(rows) < most and free.any():
        places = free.nonzero()[:, 0]
        if method == "gradient":
            order = _first_order(event, point, places, asked).argsort(stable=True)
        else:
            order = torch.randperm(len(places), generator=generator).to(places.device)
        tried = places[order[:tries]].tolist()
        found = [_margin(event, _flipped(point, row), asked) for row in tried]
        best = min(range(len(tried)), key=lambda place: (found[place] > 0, found[place]))
        point = _flipped(point, tried[best])
        free[tried[best]] = False
        rows.append(tried[best])
        margins.append(found[best])
    return Changes(tuple(rows), tuple(margins))


@torch.no_grad()
def _margin(event: Lead, point: Float[Tensor, " M"], asked: Int[Tensor, " 1"]) -> float:
    return float(event.margin(point.unsqueeze(0), asked))


def _flipped(point: Float[Tensor, " M"], row: int) -> Float[Tensor, " M"]:
    changed = point.clone()
    changed[row] = 1 - point[row]
    return changed


def _first_order(
    event: Lead, point: Float[Tensor, " M"], places: Int[Tensor, " X"], asked: Int[Tensor, " 1"]
) -> Float[Tensor, " X"]:
    """By how much each change would move the margin to the rival that is nearest now, were it linear in the facts' weights."""
    rival = event.rivals(point.unsqueeze(0), asked, event.k)[:, -1]
    there = point[places] > 0
    moved = torch.empty(len(places), dtype=point.dtype, device=point.device)
    if there.any():
        moved[there] = -event.slope(point.unsqueeze(0), asked, rival)[0, places[there]]
    for absent in (~there).nonzero()[:, 0].split(AT_ONCE):
        half = point.index_fill(0, places[absent], HALF)
        moved[absent] = event.slope(half.unsqueeze(0), asked, rival)[0, places[absent]]
    return moved
