from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from gnnkg.core import Batch, Candidates, Labels
from gnnkg.graph import KnowledgeGraph
from gnnkg.samplers.tables import OfGraph, behind_own, known


class NSCaching(nn.Module):
    """Negatives drawn uniformly, with replacement, from a small cache of hard ones for each pattern (head, relation).

    Each time a pattern is met, its N1 = ``cache_size`` cached entities and N2 = ``num_candidates`` drawn from all are scored by the
    model, and N1 of their union are drawn without replacement as the next cache (Zhang et al., ICDE 2019):

        p(e) = exp(score(h, r, e)) / sum_j exp(score(h, r, j)),

    here as the N1 largest of score + Gumbel noise. A batch draws its negatives first and refreshes afterwards. ``lazy`` refreshes
    in every lazy-th epoch only. Each query has a table of its own, behind its own tail.

    ``filtered`` masks known training tails among the negatives, and lets them into a cache only where nothing else is left. Where a
    pattern is met twice in a batch, both draw from the same cache and the first refreshes it. A pattern that the graph has no fact
    of has no cache: N1 entities drawn anew stand in for it.

    The caches start with uniform draws, and anew where a batch's graph has other patterns than the one before. They are saved with
    the objective: 4 * N1 + 8 bytes a pattern, 19 MB for the 149,689 of FB15k-237. With several processes each has its own; those of
    the first are saved, and all begin with them where a run continues.
    """

    def __init__(
        self,
        num_negatives: int = 256,
        cache_size: int = 30,
        num_candidates: int = 30,
        lazy: int = 1,
        filtered: bool = False,
    ) -> None:
        super().__init__()
        if min(num_negatives, cache_size, num_candidates, lazy) < 1:
            told = f"{num_negatives}, {cache_size}, {num_candidates} and {lazy}"
            raise ValueError(f"num_negatives, cache_size, num_candidates and lazy must be at least 1, not {told}")
        self.num_negatives = num_negatives
        self.cache_size = cache_size
        self.num_candidates = num_candidates
        self.lazy = lazy
        self.filtered = filtered
        self.refreshes = True
        self.patterns: Int[Tensor, " P"] | None = None
        """what is cached for, as keys, ascending"""
        self.cache: Int[Tensor, "P N1"] | None = None
        """int32"""
        self._patterns = OfGraph(_patterns)

    def before_epoch(self, epoch: int) -> None:
        self.refreshes = epoch % self.lazy == 0

    def forward(self, batch: Batch) -> tuple[Candidates, Labels]:
        patterns, cache = self._caches_of(batch.graph)
        key = _key(batch.graph, batch.head, batch.relation)
        place = torch.searchsorted(patterns, key).clamp(max=len(patterns) - 1)
        cached = patterns[place] == key
        entities = torch.where(cached[:, None], cache[place].long(), self._from_all(batch, self.cache_size))
        drawn = torch.randint(self.cache_size, (len(key), self.num_negatives), device=key.device)
        table = entities.gather(1, drawn)
        if self.refreshes:
            rows = _first_of_each(place, cached)
            cache[place[rows]] = self._refreshed(batch, entities)[rows].int()
        return behind_own(batch, table, ~known(batch, table) if self.filtered else None)

    def _from_all(self, batch: Batch, num: int) -> Int[Tensor, "B {num}"]:
        return torch.randint(batch.graph.num_entities, (len(batch.head), num), device=batch.head.device)

    def _refreshed(self, batch: Batch, cached: Int[Tensor, "B N1"]) -> Int[Tensor, "B N1"]:
        """N1 of the cached entities and of new ones, by the model's scores."""
        if batch.score is None:
            raise ValueError(
                "NSCaching ranks its caches by the scores of the model in training, and this batch has none: call it through an "
                "Objective, which adds them, or give the batch a score function"
            )
        table = torch.cat([cached, self._from_all(batch, self.num_candidates)], 1).sort(1).values
        unwanted = torch.zeros_like(table, dtype=torch.bool)
        unwanted[:, 1:] = table[:, 1:] == table[:, :-1]  # a union has each entity once
        if self.filtered:
            unwanted |= known(batch, table)
        noise = -torch.empty(table.shape, device=table.device).exponential_().log()
        keys = (batch.score(Candidates(table)).float() + noise).masked_fill(unwanted, -torch.inf)
        return table.gather(1, keys.topk(self.cache_size, 1).indices)

    def _caches_of(self, graph: KnowledgeGraph) -> tuple[Tensor, Tensor]:
        patterns = self._patterns.of(graph)
        if self.cache is None or self.patterns is not patterns:
            saved = None if self.patterns is None else self.patterns.to(graph.device)
            if self.cache is None or saved is None or not torch.equal(saved, patterns):
                shape = len(patterns), self.cache_size
                self.cache = torch.randint(graph.num_entities, shape, dtype=torch.int32, device=graph.device)
            self.patterns, self.cache = patterns, self.cache.to(graph.device)
        return patterns, self.cache

    def get_extra_state(self) -> dict[str, Any]:
        return {} if self.cache is None else {"patterns": self.patterns, "cache": self.cache}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        if not state:
            self.patterns = self.cache = None
            return
        if state["cache"].shape[1] != self.cache_size:
            raise ValueError(
                f"these caches were saved with cache_size={state['cache'].shape[1]}, and this sampler has {self.cache_size}: "
                "continue with the same arguments"
            )
        self.patterns, self.cache = state["patterns"], state["cache"].clone()


def _key(graph: KnowledgeGraph, head: Int[Tensor, " X"], relation: Int[Tensor, " X"]) -> Int[Tensor, " X"]:
    return head * 2 * graph.num_relations + relation


def _patterns(graph: KnowledgeGraph) -> Int[Tensor, " P"]:
    """The patterns of a graph's facts in both directions as keys, ascending, after one that stands for the graph's size."""
    keys = torch.unique(_key(graph, graph.edges.head, graph.edges.relation))
    return torch.cat([keys.new_tensor([-graph.num_entities]), keys])


def _first_of_each(place: Int[Tensor, " B"], valid: Bool[Tensor, " B"]) -> Int[Tensor, " X"]:
    """The first row of each place, of the valid rows."""
    rows = valid.nonzero()[:, 0]
    place, order = torch.sort(place[rows], stable=True)
    first = torch.ones_like(place, dtype=torch.bool)
    first[1:] = place[1:] != place[:-1]
    return rows[order[first]]
