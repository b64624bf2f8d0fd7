from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from gnnkg.core import EVERY_ENTITY, Candidates, Encoder, Space, Vectors
from gnnkg.encoders.modality_noise import Noise, Spread
from gnnkg.graph import KnowledgeGraph
from gnnkg.ops.matching import candidates_of
from gnnkg.ops.rows import rows, several


class Table(Encoder):
    """Free vectors: one row an entity, one a relation (shallow embedding).

    ``inverse="tied"`` reads r backwards through the scorer's analytic inverse; ``"learned"`` gives r + R a row of its own
    (reciprocal relations, Lacroix et al., ICML 2018). Dropout acts on the vectors that are read, in training only. ``init``
    replaces the scorer's own initialisation. ``sparse=True`` makes a step's time independent of N: gradients and updates touch
    the rows alone that the batch reads. It needs an optimiser that takes sparse gradients, Adagrad (``fused: false``) or SGD, and a
    sampler that names its candidates; what is learned is the same.

    Raises ValueError where the scorer has no analytic inverse and ``inverse="tied"``, and for all entities as the candidates in
    training under ``sparse=True``.
    """

    def __init__(
        self,
        graph: KnowledgeGraph,
        space: Space,
        inverse: Literal["tied", "learned"] = "learned",
        entity_dropout: float = 0.0,
        relation_dropout: float = 0.0,
        init: Callable[[Tensor, Tensor], None] | None = None,
        sparse: bool = False,
    ) -> None:
        super().__init__(graph)
        if inverse == "tied" and space.inverse is None:
            raise ValueError("this scorer has no analytic inverse: use inverse='learned'")
        self.num_relations = graph.num_relations
        self.invert = space.inverse if inverse == "tied" else None
        num_rows = graph.num_relations * (2 if self.invert is None else 1)
        self.entity = nn.Parameter(torch.empty(graph.num_entities, space.entity_dim))
        self.relation = nn.Parameter(torch.empty(num_rows, space.relation_dim))
        self.entity_dropout = nn.Dropout(entity_dropout)
        self.relation_dropout = nn.Dropout(relation_dropout)
        self.sparse = sparse
        if sparse:  # else torch warns that it does not check the indices which it hands to itself
            torch.sparse.check_sparse_tensor_invariants.disable()
        self.noise: Noise | None = None
        """on the entities in training; ``SNAG`` sets it"""
        (init or space.init)(self.entity, self.relation)

    def forward(self, graph: KnowledgeGraph) -> TableLookup:
        return TableLookup(self, self.rows(graph))

    def rows(self, graph: KnowledgeGraph) -> Float[Tensor, "N D"]:
        """The vectors of the graph's entities. Raises ValueError where it has others than this table, or other relations."""
        part = graph.part_of
        num_entities = graph.num_entities if part is None else part.num_entities
        if (num_entities, graph.num_relations) != (len(self.entity), self.num_relations):
            raise ValueError(
                f"this table holds {len(self.entity):,} entities and {self.num_relations:,} relations, and the graph has "
                f"{num_entities:,} and {graph.num_relations:,}: free vectors know only what they were trained on"
            )
        ids = None if part is None else part.entities
        rows = self.entity if ids is None else self.entity[ids]
        if self.noise is None or not self.training:
            return rows
        if self.noise.wants_spread:
            self.noise.measure(Spread.of(self.entity))
        return self.noise(rows, ids)


class TableLookup:
    """Reads rows: a ``Table``'s own, or what a graph encoder made of them, with the table's dropout and inverses."""

    def __init__(
        self, table: Table, entity: Float[Tensor, "N D"], relation: Float[Tensor, "X W"] | None = None
    ) -> None:
        self.table = table
        self.entity = entity
        self.relation = table.relation if relation is None else relation
        self.sparse = table.sparse and entity is table.entity

    def _entities(self, *ids: Int[Tensor, " ..."]) -> list[Float[Tensor, "... D"]]:
        if self.sparse:
            read = [functional.embedding(each, self.entity, sparse=True) for each in ids]
        else:
            read = several(self.entity, *ids)
        return [self.table.entity_dropout(each) for each in read]

    @property
    def _stand_as_read(self) -> bool:
        """Whether rows are read as they stand in the table, and have a dense gradient."""
        dropout = self.table.entity_dropout
        return not (self.sparse or (dropout.training and dropout.p > 0))

    def _relations(self, ids: Int[Tensor, " B"]) -> Float[Tensor, "B W"]:
        table = self.table
        if table.invert is None:
            return table.relation_dropout(rows(ids, self.relation))
        backwards = ids >= table.num_relations
        stated = rows(ids % table.num_relations, self.relation)
        return table.relation_dropout(torch.where(backwards.unsqueeze(1), table.invert(stated), stated))

    def __call__(
        self, head: Int[Tensor, " B"], relation: Int[Tensor, " B"], candidates: Candidates = EVERY_ENTITY
    ) -> Vectors:
        if candidates.table is None and self.sparse and torch.is_grad_enabled():
            raise ValueError(
                "Table(sparse=True) trains with a sampler that names its candidates, such as Uniform: a gradient for all "
                "entities is not sparse"
            )
        table, own, tail = candidates.table, candidates.own, None
        if table is None:
            tail = self.table.entity_dropout(self.entity).unsqueeze(0)
        elif self._stand_as_read:
            tail = candidates_of(self.entity, table, len(head))
        ids = {"tail": table if tail is None else None, "own": own, "head": head}
        named = {name: each for name, each in ids.items() if each is not None}
        read: dict[str, Any] = dict(zip(named, self._entities(*named.values()), strict=True))
        relations = self._relations(relation)
        return Vectors(read["head"], relations, read.get("tail", tail), read.get("own"), own_row=own)
