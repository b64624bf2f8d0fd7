from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from gnnkg.annotations import Feature
from gnnkg.core import ReadFeature
from gnnkg.graph import KnowledgeGraph


@dataclass(frozen=True)
class RelationBag:
    """How often an entity is head and how often it is tail in facts of each relation: 2R columns; from training facts only.

    ``scale``: counts as they are (EVA, Liu et al., AAAI 2021), their log(1 + n), or 1 for any number. Not ``directed``: head and
    tail are counted together, in R columns. ``most``: only the relations with the most facts are counted, so many of them. An
    entity without a fact lacks the modality. A fact that is asked about in training is counted itself, which no test fact is: the
    bag tells more in training than later. The table is dense, N x 2R numbers. Raises ValueError for ``most`` below 1.
    """

    scale: Literal["count", "log", "binary"] = "log"
    directed: bool = True
    most: int | None = None

    def __post_init__(self) -> None:
        if self.most is not None and self.most < 1:
            raise ValueError(f"most must be at least 1 relation, not {self.most}")

    def __call__(self, graph: KnowledgeGraph) -> ReadFeature:
        num_relations = graph.num_relations
        frequency = torch.bincount(graph.facts[:, 1], minlength=num_relations)
        kept = frequency.argsort(descending=True, stable=True)[: self.most].sort().values
        ids = torch.cat([kept, kept + num_relations]) if self.directed else kept
        width = len(ids)
        column = torch.full((2 * num_relations,), -1, device=ids.device)
        column[kept] = torch.arange(len(kept), device=ids.device)
        column[kept + num_relations] = torch.arange(width - len(kept), width, device=ids.device)

        def read(graph: KnowledgeGraph) -> Feature:
            head, relation, _ = graph.edges
            place = column.to(head.device)[relation]
            cells = (head * width + place)[place >= 0]
            cells = torch.bincount(cells, minlength=graph.num_entities * width)
            count = cells.view(graph.num_entities, width).float()
            values = {"count": count, "log": count.log1p(), "binary": (count > 0).float()}[self.scale]
            has = (count > 0).any(1, keepdim=True).expand(-1, width)
            return Feature(values, has, tuple(str(r) for r in ids.tolist()))

        return read
