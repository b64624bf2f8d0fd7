"""What samplers share: labels for a table behind each query's own tail, who stands in its columns, ragged draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from gnnkg.core import Batch, Candidates, Labels
from gnnkg.graph import KnowledgeGraph

Built = TypeVar("Built")


def behind_own(
    batch: Batch, table: Int[Tensor, "S K"], active: Bool[Tensor, "B K"] | None
) -> tuple[Candidates, Labels]:
    """Each query's own tail as column 0, labelled 1, then a table of negatives, of which the ``active`` take part."""
    num_queries, device = len(batch.head), batch.head.device
    value = torch.zeros(1, 1 + table.shape[1], device=device)
    value[0, 0] = 1
    truth = torch.zeros(1, dtype=torch.int64, device=device).expand(num_queries)
    mask = None if active is None else torch.cat([torch.ones_like(active[:, :1]), active], dim=1)
    return Candidates(table, batch.tail), Labels(value.expand(num_queries, -1), mask, truth, batch.weight)


def columns(batch: Batch, candidates: Candidates) -> Int[Tensor, "B C"]:
    """The entity in each column of the score matrix."""
    num_queries = len(batch.head)
    if candidates.table is None:
        ids = torch.arange(batch.graph.num_entities, device=batch.head.device).expand(num_queries, -1)
    else:
        ids = candidates.table.repeat_interleave(num_queries // len(candidates.table), 0)
    return ids if candidates.own is None else torch.cat([candidates.own.unsqueeze(1), ids], 1)


def known(batch: Batch, table: Int[Tensor, "S K"]) -> Bool[Tensor, "B K"]:
    """Which candidates are known training tails of the query."""
    return batch.graph.known.among(batch.head, batch.relation, table)


def draw_below(limit: Int[Tensor, " X"], num: int) -> Int[Tensor, "X {num}"]:
    """Uniform draws from 0 ... limit - 1, a row for each limit; 0 where that is 0."""
    return torch.randint(2**62, (len(limit), num), device=limit.device) % limit.clamp(min=1)[:, None]


class OfGraph(Generic[Built]):
    """Something that is built from a graph, once as long as the same graph is asked about."""

    def __init__(self, build: Callable[[KnowledgeGraph], Built]) -> None:
        self._build = build
        self._last: tuple[KnowledgeGraph, Built] | None = None

    def of(self, graph: KnowledgeGraph) -> Built:
        if self._last is None or self._last[0] is not graph:
            self._last = graph, self._build(graph)
        return self._last[1]
