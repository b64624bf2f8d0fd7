"""Which queries are asked in an epoch, and in which order: a pure function of (seed, epoch, place)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.core import Batch
from gnnkg.graph import KnowledgeGraph


@dataclass(frozen=True)
class Queries:
    """Training facts asked as queries.

    ``direction``: ``"both"`` asks each fact forwards and backwards, shuffled together; ``"alternate"`` gives batches of one
    direction in turn, starting with tails; ``"tail"`` asks (h, r, ?) only; ``"bernoulli"`` asks each fact once, in a direction
    drawn by relation: the head with probability tph / (tph + hpt), tails per head and heads per tail (TransH, Wang et al.,
    AAAI 2014), which makes false negatives rarer.

    ``distinct`` asks each (head, relation) once an epoch, with one of its tails drawn anew: for K-vs-all.
    ``subsampling`` weights a fact by sqrt(1 / (count(h, r) + count(t, r^-1))), counts starting at 4 (RotatE, ICLR 2019).
    ``drop_last`` leaves out the last batch of an epoch where it is short.
    """

    batch_size: int = 1000
    direction: Literal["both", "alternate", "tail", "bernoulli"] = "both"
    distinct: bool = False
    subsampling: bool = False
    drop_last: bool = False

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {self.batch_size}")
        if self.distinct and self.direction not in ("both", "tail"):
            raise ValueError(f"distinct queries are asked in direction 'both' or 'tail', not {self.direction!r}")

    def of(self, graph: KnowledgeGraph, seed: int) -> EpochPlan:
        """The plan of every epoch on this graph. Raises ValueError for a graph without facts."""
        if not len(graph.facts):
            raise ValueError("there are no training facts to learn from")
        return EpochPlan(self, graph, seed)


class EpochPlan:
    """``plan[step]`` is the batch of a training step, whichever steps came before it."""

    def __init__(self, queries: Queries, graph: KnowledgeGraph, seed: int) -> None:
        self.queries = queries
        self.graph = graph
        self.seed = seed
        self._num_facts = len(graph.facts)
        self._weight = _subsampling_weight(graph) if queries.subsampling else torch.ones(self._num_facts)
        self._ask_head = _ask_head(graph).cpu() if queries.direction == "bernoulli" else None
        self._epoch: int | None = None
        self._current: list[Tensor] = []
        self.steps_per_epoch = max(1, len(self._batches(self._order(0))))

    def _order(self, epoch: int) -> Tensor:
        """Rows in the doubled list of facts: row i < M asks fact i forwards, row i + M backwards. Drawn on the CPU."""
        draw = torch.Generator().manual_seed(_mix(self.seed, epoch))
        m = self._num_facts
        if self.queries.distinct:
            edges = self.graph.edges
            rows = torch.randperm(m if self.queries.direction == "tail" else 2 * m, generator=draw)
            key = (edges.head * 2 * self.graph.num_relations + edges.relation).cpu()[rows]
            order = torch.argsort(key, stable=True)  # the first of each key is one of its facts, at random
            first = torch.ones(len(key), dtype=torch.bool)
            first[1:] = key[order].diff() != 0
            rows = rows[order[first]]
            return rows[torch.randperm(len(rows), generator=draw)]
        if self.queries.direction == "both":
            return torch.randperm(2 * m, generator=draw)
        rows = torch.randperm(m, generator=draw)
        if self.queries.direction == "tail":
            return rows
        if self._ask_head is not None:
            return rows + m * (torch.rand(m, generator=draw) < self._ask_head[rows])
        return torch.stack([rows, torch.randperm(m, generator=draw) + m])

    def _batches(self, order: Tensor) -> list[Tensor]:
        size = self.queries.batch_size
        if order.dim() == 2:  # alternate: tails, heads, tails, ...
            split = [batch for pair in zip(order[0].split(size), order[1].split(size), strict=True) for batch in pair]
        else:
            split = list(order.split(size))
        full = [batch for batch in split if len(batch) == size]
        return full if self.queries.drop_last and full else split

    def __getitem__(self, step: int) -> Batch:
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._current, self._epoch = self._batches(self._order(epoch)), epoch
        rows, edges = self._current[place], self.graph.edges
        rows = rows.to(self.graph.device)
        weight = self._weight.to(self.graph.device)[rows % self._num_facts]
        return Batch(self.graph, edges.head[rows], edges.relation[rows], edges.tail[rows], weight)

    def __iter__(self) -> Iterator[Batch]:
        """The batches of the first epoch."""
        return (self[step] for step in range(self.steps_per_epoch))


def _mix(seed: int, count: int) -> int:
    """One 63-bit seed from two numbers (splitmix64)."""
    z = (seed * 0x9E3779B97F4A7C15 + count * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) & (2**64 - 1)
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
    return (z ^ (z >> 31)) >> 1


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """The seed of all randomness within one training step of one process."""
    return _mix(_mix(seed, step + 1), rank)


def _subsampling_weight(graph: KnowledgeGraph) -> Float[Tensor, " M"]:
    edges, m = graph.edges, len(graph.facts)
    key = edges.head * 2 * graph.num_relations + edges.relation
    _, place, count = torch.unique(key, return_inverse=True, return_counts=True)
    count = (count + 3)[place]
    return (1 / (count[:m] + count[m:]).double()).sqrt().float()


def _ask_head(graph: KnowledgeGraph) -> Float[Tensor, " M"]:
    """The probability that each fact is asked for its head."""
    head, relation, tail = graph.facts.unbind(1)
    facts = torch.bincount(relation, minlength=graph.num_relations)

    def distinct(entity: Tensor) -> Tensor:
        pairs = torch.unique(entity * graph.num_relations + relation)
        return torch.bincount(pairs % graph.num_relations, minlength=graph.num_relations)

    tails_per_head = facts / distinct(head).clamp(min=1)
    heads_per_tail = facts / distinct(tail).clamp(min=1)
    return (tails_per_head / (tails_per_head + heads_per_tail).clamp(min=1e-9))[relation]
