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

    ``scale``: counts as they are (EVA, Liu et al., AAAI 2021), their log(1 + n), or 1 for any number. An entity without a fact
    lacks the modality. A fact that is asked about in training is counted itself, which no test fact is: the bag tells more in
    training than later. The table is dense, N x 2R numbers.
    """

    scale: Literal["count", "log", "binary"] = "log"

    def __call__(self, graph: KnowledgeGraph) -> ReadFeature:
        num_columns = 2 * graph.num_relations

        def read(graph: KnowledgeGraph) -> Feature:
            head, relation, _ = graph.edges
            cells = torch.bincount(head * num_columns + relation, minlength=graph.num_entities * num_columns)
            count = cells.view(graph.num_entities, num_columns).float()
            values = {"count": count, "log": count.log1p(), "binary": (count > 0).float()}[self.scale]
            has = (count > 0).any(1, keepdim=True).expand(-1, num_columns)
            return Feature(values, has, tuple(str(r) for r in range(num_columns)))

        return read
