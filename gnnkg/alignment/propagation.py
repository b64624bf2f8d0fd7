"""What an entity lacks, its neighbours tell: features spread over the graph."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gnnkg.annotations import Feature
from gnnkg.core import MakeFeature, ReadFeature
from gnnkg.encoders.gcn import spread
from gnnkg.encoders.neighbours import neighbours
from gnnkg.graph import KnowledgeGraph


@dataclass(frozen=True)
class Propagated:
    """A modality after some steps of spreading over the graph.

        x <- (1 - keep) A x + keep x_0,    A: the neighbours' mean as of ``GCN``

    ``feature``: a part of ``gnnkg.features``. ``only_missing``: entities that have the modality keep it as it is and the others
    take A x, with nothing of their own to keep (as DESAlign fills what is missing, arXiv 2401.17859); otherwise everyone's changes
    (MyGram's diffusion). Who is not reached from any entity that has it stays absent. Raises ValueError for settings out of range.
    """

    feature: MakeFeature
    steps: int = 3
    keep: float = 0.5
    only_missing: bool = True

    def __post_init__(self) -> None:
        if self.steps < 0 or not 0 <= self.keep <= 1:
            raise ValueError(f"steps must be at least 0 and keep in [0, 1], not {self.steps} and {self.keep}")

    def __call__(self, graph: KnowledgeGraph) -> ReadFeature:
        read = self.feature(graph)
        return lambda other: self._spread(other, read(other))

    @torch.no_grad()
    def _spread(self, graph: KnowledgeGraph, feature: Feature) -> Feature:
        around, there = neighbours(graph.messages.of_layer(0)), feature.has.unsqueeze(1)
        values = own = torch.where(feature.present, feature.values, 0)
        has = there
        for _ in range(self.steps):
            moved = spread(values, around)
            blended = own if self.only_missing else (1 - self.keep) * moved + self.keep * own
            values = torch.where(there, blended, moved)
            has = has | (spread(has.to(values.dtype), around) > 0)
        return Feature(values, has.expand(values.shape), feature.names)
