from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Int
from torch import Tensor

from gnnkg.core import EVERY_ENTITY, Candidates, Encoder, Lookup, Space, Vectors
from gnnkg.graph import KnowledgeGraph


class Sampled(Encoder):
    """Another encoder, run in training on sampled neighbourhoods of what a batch asks about; for graphs too large to encode whole.

    For each of its T layers, at most ``fanout`` of the edges that come in at each entity reached so far are drawn, without
    replacement, by DGL's sampler (Hamilton et al., "Inductive Representation Learning on Large Graphs", NeurIPS 2017), and the
    entities at their other ends are reached too. In evaluation the whole graph is encoded, which without gradients takes a
    fraction of the memory.

    How sampled vectors differ from whole ones: a part keeps the degrees that its entities have in the whole graph. Where no entity
    has more than ``fanout`` edges, R-GCN, CompGCN and NBFNet give what they give on the whole graph, but for CompGCN's batch
    statistics, which are those of the entities reached (GCN and DiagonalGAT count the pairs of the part). Elsewhere a mean over the
    edges of a relation (R-GCN) and a sum that is scaled up (CompGCN) are estimated without bias in a single layer. By how much the
    vectors of 16 candidates of 8 queries on CoDEx-S differ, relative to their length, before any training:

        fanout   R-GCN, 2 layers   CompGCN, 1 layer   CompGCN, 2 layers   NBFNet, 2 layers
        5        .14               .25                .20                 .25
        20       .035              .09                .07                 .19

    Draws are seeded by torch's generator.
    """

    def __init__(
        self,
        graph: KnowledgeGraph,
        space: Space,
        encoder: Callable[[KnowledgeGraph, Space], Encoder],
        fanout: int = 20,
    ) -> None:
        super().__init__(graph)
        if fanout < 1:
            raise ValueError(f"fanout must be at least 1, not {fanout}")
        self.encoder = encoder(graph, space)
        if not self.encoder.num_layers:
            raise ValueError(f"{type(self.encoder).__name__} passes no messages: there is nothing to sample")
        self.fanout = fanout
        self.num_layers = self.encoder.num_layers
        self.hides = self.encoder.hides
        self.inductive = self.encoder.inductive
        self.from_head = self.encoder.from_head

    @property
    def title(self) -> str:
        return f"{self.encoder.title} inside Sampled"

    def forward(self, graph: KnowledgeGraph) -> Lookup:
        return SampledLookup(self, graph) if self.training else self.encoder(graph)


class SampledLookup:
    """Draws a part of the graph for what is asked, and encodes that."""

    def __init__(self, sampled: Sampled, graph: KnowledgeGraph) -> None:
        self.sampled = sampled
        self.graph = graph

    def __call__(
        self, head: Int[Tensor, " B"], relation: Int[Tensor, " B"], candidates: Candidates = EVERY_ENTITY
    ) -> Vectors:
        table, own = candidates.table, candidates.own
        if table is None:
            table = torch.arange(self.graph.num_entities, device=head.device).unsqueeze(0)
        asked = [head, table.flatten(), *([] if own is None else [own])]
        entities, edges = self.graph.neighbourhood(torch.cat(asked), self.sampled.num_layers, self.sampled.fanout)
        part = self.graph.part(entities, edges)
        place = torch.empty(self.graph.num_entities, dtype=torch.int64, device=head.device)
        place[entities] = torch.arange(len(entities), device=head.device)
        inside = Candidates(place[table], None if own is None else place[own])
        return self.sampled.encoder(part)(place[head], relation, inside)
