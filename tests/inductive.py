"""An encoder that knows no entity by name, and two small graphs of the same relations that share none."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor, nn

from gnnkg.core import EVERY_ENTITY, Candidates, Encoder, Lookup, Space, Vectors
from gnnkg.graph import KnowledgeGraph
from gnnkg.ops.message import propagate

RELATIONS = {"next": 1, "after": 2, "third": 3}
"""name and how many steps along the ring"""


class ByRelations(Encoder):
    """An entity is the mean of the learned vectors of the relations that lead to it; relations have vectors of their own too."""

    inductive = True

    def __init__(self, graph: KnowledgeGraph, space: Space) -> None:
        super().__init__(graph)
        self.sent = nn.Parameter(torch.randn(2 * graph.num_relations, space.entity_dim))
        self.relation = nn.Parameter(torch.randn(2 * graph.num_relations, space.relation_dim))

    def forward(self, graph: KnowledgeGraph) -> Lookup:
        edges, weight = graph.messages
        ones = self.sent.new_ones(graph.num_entities, 1, self.sent.shape[1])
        entity = propagate(ones, self.sent, edges, weight, aggregate="mean").squeeze(1)

        def lookup(
            head: Int[Tensor, " B"], relation: Int[Tensor, " B"], candidates: Candidates = EVERY_ENTITY
        ) -> Vectors:
            tail = entity.unsqueeze(0) if candidates.table is None else entity[candidates.table]
            own = None if candidates.own is None else entity[candidates.own]
            return Vectors(entity[head], self.relation[relation], tail, own)

        return lookup


def ring(name: str, size: int, relations: tuple[str, ...] = ("next", "after", "third")) -> list[str]:
    """Facts of a ring of entities as lines: everyone has a next, and so on."""
    return [
        f"{name} {i}\t{relation}\t{name} {(i + RELATIONS[relation]) % size}\n"
        for i in range(size)
        for relation in relations
    ]
