from __future__ import annotations

from dataclasses import replace
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from gnnkg.core import Batch, Candidates, FollowsEpochs, Labels, Sampler
from gnnkg.graph import KnowledgeGraph
from gnnkg.samplers.tables import OfGraph, columns, draw_below
from gnnkg.samplers.with_positives import WithPositives


class Ranges(NamedTuple):
    """The entities seen as tails of each relation: those of r are ``entities[starts[r]:starts[r + 1]]``, ascending."""

    starts: Int[Tensor, " 2*R+1"]
    entities: Int[Tensor, " T"]
    keys: Int[Tensor, " T"]
    """r * N + entity"""
    before: Int[Tensor, " F"]
    """of every fact both ways, ascending: (h * 2R + r) * N + how many entities of the range of r that are not known tails of (h, r)
    stand before its tail"""


class Typed(nn.Module):
    """Any sampler, with candidates from the relation's range only: the entities seen as its tails in training, a constraint that
    needs no types (Krompass et al., ISWC 2015, "local closed-world assumption"). Backwards, r + R has the heads of r for tails.

    ``outside="masked"``: candidates outside of the range do not take part. ``"redrawn"``, for samplers that give each query a
    table of its own: candidates outside of it, and those that the sampler masks, are replaced by uniform draws from the range
    without the query's known tails.

    No query is left without negatives that it had before: where nothing within the range would take part, the query keeps what the
    sampler gave it, from all entities. So it is where all of the range is known: with ``"masked"`` unfiltered negatives too are
    then not typed, since they could be nothing but true. With ``"masked"`` it is also where a small table has met nothing of a
    small range; ``"redrawn"`` always finds what is there.

    Raises ValueError for ``"redrawn"`` around ``WithPositives``, which belongs outside.
    """

    def __init__(self, sampler: Sampler, outside: Literal["masked", "redrawn"] = "masked") -> None:
        super().__init__()
        if outside == "redrawn" and isinstance(sampler, WithPositives):
            raise ValueError(
                "outside='redrawn' would replace the known tails that WithPositives adds: wrap the other way around, "
                "WithPositives(Typed(...))"
            )
        self.sampler = sampler
        self.outside = outside
        self._ranges = OfGraph(_ranges)

    @property
    def filtered(self) -> bool:
        """Whether the wrapped sampler masks known tails."""
        return getattr(self.sampler, "filtered", False)

    def before_epoch(self, epoch: int) -> None:
        if isinstance(self.sampler, FollowsEpochs):
            self.sampler.before_epoch(epoch)

    def forward(self, batch: Batch) -> tuple[Candidates, Labels]:
        candidates, labels = self.sampler(batch)
        ranges = self._ranges.of(batch.graph)
        size = ranges.starts.diff()[batch.relation]
        unknown = size - batch.graph.known.count(batch.head, batch.relation)
        truth = torch.zeros_like(labels.value, dtype=torch.bool).scatter_(1, labels.truth[:, None], True)
        within = labels.active & (_inside(batch, candidates, ranges) | truth)
        typed = unknown > 0
        if self.outside == "masked":
            typed &= (within & ~truth).any(1)
            return candidates, replace(labels, mask=torch.where(typed[:, None], within, labels.active))
        if candidates.table is None or len(candidates.table) != len(batch.head):
            raise ValueError(
                "outside='redrawn' replaces candidates of one query, and the wrapped sampler shares its table among several: "
                "give it share='query' or its like, or choose outside='masked'"
            )
        redrawn = typed[:, None] & ~within
        again = _from_range(batch, ranges, unknown, candidates.table.shape[1])
        own = 0 if candidates.own is None else 1
        table = torch.where(redrawn[:, own:], again, candidates.table)
        value = torch.where(redrawn, labels.value.amin(1, keepdim=True), labels.value)
        mask = None if labels.mask is None else labels.mask | redrawn
        return replace(candidates, table=table), replace(labels, value=value, mask=mask)


def _ranges(graph: KnowledgeGraph) -> Ranges:
    num_entities, num_relations, (head, relation, tail) = graph.num_entities, 2 * graph.num_relations, graph.edges
    keys = torch.unique(relation * num_entities + tail)
    starts = torch.searchsorted(keys, torch.arange(num_relations + 1, device=keys.device) * num_entities)
    facts = torch.unique((head * num_relations + relation) * num_entities + tail)
    query, tail = facts // num_entities, facts % num_entities
    relation = query % num_relations
    place = torch.searchsorted(keys, relation * num_entities + tail) - starts[relation]
    known = torch.arange(len(facts), device=keys.device) - torch.searchsorted(query, query)
    return Ranges(starts, keys % num_entities, keys, query * num_entities + place - known)


def _inside(batch: Batch, candidates: Candidates, ranges: Ranges) -> Bool[Tensor, "B C"]:
    """Whether each column's entity lies in the range of the query's relation."""
    keys = batch.relation[:, None] * batch.graph.num_entities + columns(batch, candidates)
    if not len(ranges.keys):
        return torch.zeros_like(keys, dtype=torch.bool)
    return ranges.keys[torch.searchsorted(ranges.keys, keys).clamp_(max=len(ranges.keys) - 1)] == keys


def _from_range(batch: Batch, ranges: Ranges, unknown: Int[Tensor, " B"], num: int) -> Int[Tensor, "B {num}"]:
    """Uniform draws from what is not known of each query's range; anything where that is nothing.

    The j-th unknown entity of a range stands at j + the known ones that have no more than j unknown ones before them.
    """
    drawn = draw_below(unknown, num)
    if not len(ranges.entities):
        return drawn
    query = (batch.head * 2 * batch.graph.num_relations + batch.relation)[:, None] * batch.graph.num_entities
    known = torch.searchsorted(ranges.before, query + drawn, right=True) - torch.searchsorted(ranges.before, query)
    place = ranges.starts[batch.relation][:, None] + drawn + known
    return ranges.entities[place.clamp_(max=len(ranges.entities) - 1)]
