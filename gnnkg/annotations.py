"""What is known about the entities of a graph besides its facts: labels, texts and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Feature:
    """Numbers about entities."""

    values: Float[Tensor, "N F"]
    """0 where absent"""
    present: Bool[Tensor, "N F"]
    """the mask: a 0 in ``values`` may be a zero that was measured"""
    names: tuple[str, ...]
    """what each of the F columns counts"""

    def __post_init__(self) -> None:
        if len(self.names) != self.values.shape[1]:
            raise ValueError(f"a feature of {self.values.shape[1]} columns needs as many names, not {len(self.names)}")

    def to(self, device: torch.device | str) -> Feature:
        return Feature(self.values.to(device), self.present.to(device), self.names)

    def of(self, entities: Int[Tensor, " X"]) -> Feature:
        """The rows of some entities, in the order in which they are named."""
        return Feature(self.values[entities], self.present[entities], self.names)

    @property
    def has(self) -> Bool[Tensor, " N"]:
        """Which entities have at least one of the numbers."""
        return self.present.any(1)


@dataclass(frozen=True, slots=True, eq=False)
class Annotations:
    """Labels, texts and features, one row an entity: what an encoder of modalities reads of a data set."""

    labels: tuple[str, ...]
    """for people; the identifier where there is none"""
    texts: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    """None where absent"""
    features: Mapping[str, Feature] = field(default_factory=dict)

    def to(self, device: torch.device | str) -> Annotations:
        return Annotations(self.labels, self.texts, {name: each.to(device) for name, each in self.features.items()})

    def of(self, entities: Int[Tensor, " X"]) -> Annotations:
        """The rows of some entities, in the order in which they are named."""
        rows = entities.tolist()
        return Annotations(
            tuple(self.labels[i] for i in rows),
            {name: tuple(texts[i] for i in rows) for name, texts in self.texts.items()},
            {name: feature.of(entities) for name, feature in self.features.items()},
        )

    def same(self, other: Annotations | None) -> bool:
        """Whether the other holds these very labels, texts and features."""
        if other is None or other.labels is not self.labels:
            return False
        pairs = ((self.texts, other.texts), (self.features, other.features))
        return all(a.keys() == b.keys() and all(a[name] is b[name] for name in a) for a, b in pairs)
