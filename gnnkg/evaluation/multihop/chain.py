"""Multi-hop queries in closed form: relations that map entity vectors to entity vectors are applied one after the other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.data.multihop.query import Anchor, Hop, Intersection, Query, Union, alternatives
from gnnkg.evaluation.multihop.batch import QueryBatch
from gnnkg.evaluation.multihop.beam import Found
from gnnkg.evaluation.multihop.degrees import Logic, Scale, all_of, any_of, degrees
from gnnkg.evaluation.multihop.links import Links, padded


@dataclass(frozen=True, slots=True)
class Chain:
    """Answers a path by one vector: h + r1 + r2 for a translation, the product of rotations or of reflections (GQE's geometry).

    Hamilton et al., "Embedding Logical Queries on Knowledge Graphs", NeurIPS 2018. What is asked for last, an intersection or a
    union, combines the scaled scores of its parts by fuzzy logic, as ``Beam`` does; an intersection with a hop behind it is the
    mean of its parts' vectors. Unions come to the top first. No entity between is chosen, so there is none to show.
    Raises ValueError where the scorer does not chain (``Scorer.chains``).
    """

    scale: Scale = "softmax"
    logic: Logic = "product"

    def __str__(self) -> str:
        return f"in closed form, {self.scale} scores, {self.logic} logic"

    def queries_at_once(self, links: Links) -> int:
        """How many queries fit into the memory for one block."""
        return links.size

    def __call__(self, links: Links, batch: QueryBatch) -> Found:
        """What is found for each query. The degrees of an only hop are in the order of the model's scores."""
        probe = torch.zeros(2, dtype=torch.long, device=links.device)
        vectors = links.lookup(probe, probe)
        links.scorer.place(links.scorer.query(vectors.head, vectors.relation))  # which says where it cannot
        if vectors.tail.shape[0] > 1:
            raise ValueError(
                "this encoder has other entity vectors for each query, so relations cannot be chained; use the beam search"
            )
        if isinstance(batch.shape, Anchor):
            raise ValueError("a query asks for a hop at least, and this one is a known entity")
        chained = _Chained(self, links, batch)
        parts = tuple(chained.found(part) for part in alternatives(batch.shape))
        if len(parts) == 1:
            return parts[0]
        return Found(
            Union(tuple(part.node for part in parts)), any_of([part.degree for part in parts], self.logic), parts=parts
        )


class _Chained:
    def __init__(self, settings: Chain, links: Links, batch: QueryBatch) -> None:
        self.settings = settings
        self.links = links
        self.batch = batch

    def found(self, node: Query) -> Found:
        if isinstance(node, Intersection):
            parts = tuple(self.found(part) for part in node.parts)
            return Found(node, all_of([part.degree for part in parts], self.settings.logic), parts=parts)
        assert isinstance(node, Hop)
        query, zero = self.query(node), torch.zeros(1, dtype=torch.long, device=self.links.device)
        tail = self.links.lookup(zero, zero).tail  # (1, N, D)
        scores = [
            self.links.scorer.match(padded(query[rows]), tail)[: len(query[rows])]
            for rows in self.links.blocks(len(query))
        ]
        return Found(node, degrees(torch.cat(scores).double(), self.settings.scale))

    def place(self, node: Query) -> Float[Tensor, "B D"]:
        """The vector that the entities at a node should have."""
        assert isinstance(node, Hop | Intersection)
        if isinstance(node, Intersection):
            return torch.stack([self.place(part) for part in node.parts]).mean(0)
        return self.links.scorer.place(self.query(node))

    def query(self, node: Hop) -> Float[Tensor, "B Q"]:
        """What the scorer looks for at a hop."""
        relation = self.batch.relations[:, node.relation]
        if isinstance(node.source, Anchor):
            vectors = self.links.anchored(self.batch.anchors[:, node.source.entity], relation)
            return self.links.scorer.query(vectors.head, vectors.relation)
        step = self.links.lookup(torch.zeros_like(relation), relation).relation
        return self.links.scorer.query(self.place(node.source), step)
