from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from gnnkg.annotations import Feature
from gnnkg.core import ReadFeature
from gnnkg.features.reading import feature_of
from gnnkg.graph import KnowledgeGraph


@dataclass(frozen=True)
class Numbers:
    """Numeric literals, standardised, and beside each whether it is there.

        x_a = (v_a - mean_a) / std_a, or 0 where absent;    then 1 or 0 for each attribute: present or not

    Means and deviations (n - 1 in the denominator; 1 where there is none) are those of the values present in training. ``log``
    takes sign(v) log(1 + |v|) first: for numbers such as populations, which lie orders of magnitude apart. An entity has the
    modality if it has one of the numbers. Another graph's attributes are matched by name; new ones are not read.
    """

    feature: str = "numeric"
    log: bool = False

    def __call__(self, graph: KnowledgeGraph) -> ReadFeature:
        trained = feature_of(graph, self.feature)
        values = self._scaled(trained.values)
        count = trained.present.sum(0)
        mean = torch.where(trained.present, values, 0).sum(0) / count.clamp(min=1)
        spread = torch.where(trained.present, values - mean, 0).square().sum(0) / (count - 1).clamp(min=1)
        std = torch.where(spread > 0, spread, 1.0).sqrt()
        columns = {name: i for i, name in enumerate(trained.names)}
        names = (*trained.names, *(f"has {name}" for name in trained.names))

        def read(graph: KnowledgeGraph) -> Feature:
            found = feature_of(graph, self.feature)
            here = [i for i, name in enumerate(found.names) if name in columns]
            there = [columns[found.names[i]] for i in here]
            standard = torch.zeros(len(found.values), len(columns), device=found.values.device)
            present = torch.zeros_like(standard, dtype=torch.bool)
            present[:, there] = found.present[:, here]
            at = standard.device
            scaled = (self._scaled(found.values[:, here]) - mean[there].to(at)) / std[there].to(at)
            standard[:, there] = torch.where(found.present[:, here], scaled, 0).float()
            has = present.any(1, keepdim=True).expand(-1, 2 * len(columns))
            return Feature(torch.cat([standard, present.float()], 1), has, names)

        return read

    def _scaled(self, values: Float[Tensor, "N F"]) -> Float64[Tensor, "N F"]:
        values = values.double()  # numbers such as dates differ late in their digits, and squares of masses are large
        return values.sign() * values.abs().log1p() if self.log else values
