"""The edges of a graph as message passing reads them: sorted by target, with orders by source and by relation beside."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor


class Groups(NamedTuple):
    """Edges by group, for instance by source: those of group g are ``edges[starts[g]:starts[g + 1]]``, ascending."""

    starts: Int[Tensor, " starts"]
    edges: Int[Tensor, " E"]


@dataclass(frozen=True, eq=False)
class Adjacency:
    """E directed edges (source, relation, target), stably sorted by target (CSC).

    Edge e of the graph it was built from is edge ``place[e]`` here; all other arrays are in the sorted order.
    """

    num_nodes: int
    """that messages reach: ids of targets"""
    num_sources: int
    """that messages come from: the same nodes, but where a layer is computed in part"""
    num_relations: int
    """of the relation ids of the edges; with inverse relations, 2R"""
    source: Int[Tensor, " E"]
    relation: Int[Tensor, " E"]
    target: Int[Tensor, " E"]
    starts: Int[Tensor, " S"]
    """N + 1 of them: the in-edges of v are [starts[v], starts[v + 1])"""
    order: Int[Tensor, " E"]
    """sorted edge i is edge order[i] of those given"""
    once: bool = False
    """whether they live for one batch: then no order is worth sorting for but this one"""

    @classmethod
    def of(
        cls,
        source: Int[Tensor, " E"],
        relation: Int[Tensor, " E"],
        target: Int[Tensor, " E"],
        num_nodes: int,
        num_relations: int,
        num_sources: int | None = None,
        once: bool = False,
    ) -> Adjacency:
        """Sorts edges. Ids must be in range. ``num_sources`` where messages come from other nodes than those they reach."""
        order = torch.argsort(target, stable=True)
        return cls(
            num_nodes,
            num_nodes if num_sources is None else num_sources,
            num_relations,
            source[order].contiguous(),
            relation[order].contiguous(),
            target[order].contiguous(),
            _starts(target, num_nodes),
            order,
            once,
        )

    def __len__(self) -> int:
        return len(self.source)

    @property
    def device(self) -> torch.device:
        return self.source.device

    @cached_property
    def small(self) -> tuple[Int[Tensor, " starts"], Int[Tensor, " E"], Int[Tensor, " E"]]:
        """starts, source and relation as int32: half as much to read. Raises ValueError where ids do not fit."""
        if max(len(self), self.num_sources, self.num_relations) > torch.iinfo(torch.int32).max:
            raise ValueError(
                f"fused message passing counts in 32 bits: {len(self):,} edges of {self.num_sources:,} nodes are too many"
            )
        return self.starts.int(), self.source.int(), self.relation.int()

    @cached_property
    def small_by_source(self) -> tuple[Int[Tensor, " starts"], Int[Tensor, " E"], Int[Tensor, " E"], Int[Tensor, " E"]]:
        """In the order by source, as int32: the starts, target and relation of each edge, and which it is."""
        starts, edges = _grouped(self.source, self.num_sources)
        return starts.int(), self.target[edges].int(), self.small[2][edges], edges.int()

    @cached_property
    def small_by_relation(
        self,
    ) -> tuple[Int[Tensor, " starts"], Int[Tensor, " E"], Int[Tensor, " E"], Int[Tensor, " E"]]:
        """In the order by relation, as int32: the starts, source and target of each edge, and which it is."""
        starts, edges = _grouped(self.relation, self.num_relations)
        return starts.int(), self.small[1][edges], self.target[edges].int(), edges.int()

    @cached_property
    def by_source(self) -> Groups:
        return _grouped(self.source, self.num_sources)

    @cached_property
    def onward(self) -> tuple[Int[Tensor, " starts"], Int[Tensor, " E"]]:
        """The targets of each source's edges: starts of each source, and targets."""
        return self.by_source.starts, self.target[self.by_source.edges]

    @cached_property
    def by_relation(self) -> Groups:
        return _grouped(self.relation, self.num_relations)

    @cached_property
    def place(self) -> Int[Tensor, " E"]:
        """Where each edge stands that was given."""
        place = torch.empty_like(self.order)
        place[self.order] = torch.arange(len(self.order), device=self.device)
        return place


def _grouped(group: Tensor, num_groups: int) -> Groups:
    return Groups(_starts(group, num_groups), torch.argsort(group, stable=True))


def _starts(group: Tensor, num_groups: int) -> Tensor:
    starts = torch.zeros(num_groups + 1, dtype=torch.int64, device=group.device)
    torch.cumsum(torch.bincount(group, minlength=num_groups), 0, out=starts[1:])
    return starts
