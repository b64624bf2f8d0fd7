"""Multi-hop queries by fuzzy beam search: with any link predictor, one hop at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnnkg.data.multihop.query import Anchor, Hop, Query, Union, alternatives
from gnnkg.evaluation.multihop.batch import QueryBatch
from gnnkg.evaluation.multihop.degrees import Logic, Scale, all_of, any_of, both, degrees
from gnnkg.evaluation.multihop.links import Links


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """How true each entity is at a node of the query, and what that rests on."""

    node: Query
    degree: Float[Tensor, "B N"]
    """its logarithm, in [-inf, 0]"""
    through: Int[Tensor, "B N"] | None = None
    """at a hop from a variable: the entity of the source that makes each entity so true"""
    parts: tuple[Found, ...] = ()
    """of the source, or of each part"""


@dataclass(frozen=True, slots=True)
class Beam:
    """Answers queries by link scores that are scaled to [0, 1] and combined by fuzzy logic:

        d(t) = max over the ``size`` best s of d(s) and link(s, r, t)

    Arakelyan et al., "Complex Query Answering with Neural Link Predictors", ICLR 2021 (CQD-Beam). A union comes to the top first
    (disjunctive normal form), so that each alternative has a beam of its own. A size of N or more is the exhaustive search.
    Raises ValueError for a size below 1, and for another scale or logic.
    """

    scale: Scale = "softmax"
    logic: Logic = "product"
    size: int = 64

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"a beam keeps at least 1 entity, not {self.size}")

    def __str__(self) -> str:
        return f"beam search, {self.size} entities, {self.scale} scores, {self.logic} logic"

    def queries_at_once(self, links: Links) -> int:
        """How many queries fit into the memory for one block."""
        return max(1, links.size // self.size)

    def __call__(self, links: Links, batch: QueryBatch) -> Found:
        """What is found for each query. The degrees of an only hop are in the order of the model's scores."""
        if isinstance(batch.shape, Anchor):
            raise ValueError("a query asks for a hop at least, and this one is a known entity")
        search = _Search(self, links, batch)
        parts = tuple(search.found(part) for part in alternatives(batch.shape))
        if len(parts) == 1:
            return parts[0]
        return Found(
            Union(tuple(part.node for part in parts)), any_of([part.degree for part in parts], self.logic), parts=parts
        )


class _Search:
    def __init__(self, beam: Beam, links: Links, batch: QueryBatch) -> None:
        self.beam = beam
        self.links = links
        self.batch = batch

    def found(self, node: Query) -> Found:
        if isinstance(node, Hop):
            relation = self.batch.relations[:, node.relation]
            if isinstance(node.source, Anchor):
                scores = self.links.of_anchors(self.batch.anchors[:, node.source.entity], relation)
                return Found(node, degrees(scores, self.beam.scale))
            source = self.found(node.source)
            return replace(self.hop(source.degree, relation), node=node, parts=(source,))
        assert not isinstance(node, Anchor | Union)
        parts = tuple(self.found(part) for part in node.parts)
        return Found(node, all_of([part.degree for part in parts], self.beam.logic), parts=parts)

    def hop(self, source: Float[Tensor, "B N"], relation: Int[Tensor, " B"]) -> Found:
        """The best way to each entity from the best of the source."""
        best, entity = source.topk(min(self.beam.size, source.shape[1]), dim=1)  # (B, k)
        degree = torch.full_like(source, -torch.inf)
        through = entity[:, :1].repeat(1, source.shape[1])
        wide = min(best.shape[1], self.links.size)  # of the beam at once
        rows = max(1, self.links.size // wide)  # queries at once
        for first in range(0, len(source), rows):
            here = slice(first, first + rows)
            for begin in range(0, best.shape[1], wide):
                head, value = entity[here, begin : begin + wide], best[here, begin : begin + wide]
                asked = relation[here].unsqueeze(1).expand_as(head)
                scores = self.links.between(head.flatten(), asked.flatten())
                links = degrees(scores, self.beam.scale).view(*head.shape, -1)
                ways, place = both(links, value.unsqueeze(2).to(links.dtype), self.beam.logic).max(1)  # (b, N)
                better = ways > degree[here]
                degree[here] = torch.where(better, ways.double(), degree[here])
                through[here] = torch.where(better, head.gather(1, place), through[here])
        return Found(Anchor(0), degree, through)
