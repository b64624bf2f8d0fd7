"""Entities of both graphs as each modality sees them: the seam between encoders and the training of alignments.

    lookup = encoder(graph)      # passes messages once
    views = lookup(ids)          # what the modalities say of some entities

An encoder that fuses modalities gives ``hidden`` and ``confidence`` too; the objective then has the terms that need them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from gnnkg.alignment.features import Modality
from gnnkg.core import Encoder, Space
from gnnkg.graph import KnowledgeGraph


@dataclass(frozen=True)
class Views:
    """X entities, as each of M modalities sees them."""

    modalities: Mapping[str, Float[Tensor, "X _"]]
    """h^m, before they are fused"""
    weight: Float[Tensor, " M"]
    """how much each modality counts for all entities, of sum 1"""
    hidden: Mapping[str, Float[Tensor, "X _"]] | None = None
    """what fusion made of each modality; None: they are not fused"""
    confidence: Float[Tensor, "X M"] | None = None
    """how much each modality counts for an entity, of sum 1; None: not told apart"""

    def joint(self, by_confidence: bool = False) -> Float[Tensor, "X _"]:
        """concat_m w_m h^m / |h^m|, with the weights of all entities or with each entity's confidence."""
        weight = self.weight.unsqueeze(0)
        if by_confidence:
            assert self.confidence is not None
            weight = self.confidence
        parts = zip(self.modalities.values(), weight.unbind(1), strict=True)
        return torch.cat([share.unsqueeze(1) * functional.normalize(view, dim=1) for view, share in parts], dim=1)


@runtime_checkable
class ViewsOf(Protocol):
    """An encoded graph: ids of entities in, views out; None: all of them."""

    def __call__(self, entities: Int[Tensor, " X"] | None = None) -> Views: ...


class AlignmentEncoder(nn.Module, ABC):
    """Gives the entities of two graphs, joined into one, their views."""

    @abstractmethod
    def forward(self, graph: KnowledgeGraph) -> ViewsOf: ...


class Modalities(AlignmentEncoder):
    """Structure and features side by side, each mapped to one width; a learned weight of each, and no fusion.

        h^g from an encoder of the graph,    h^m = W_m x^m + b_m

    EVA (Liu et al., AAAI 2021). The features of those that lack them are rows of 0, whose view is W 0 + b.
    Raises ValueError where there is neither structure nor a feature.
    """

    def __init__(self, structure: Encoder | None, features: Mapping[str, Modality], dim: int = 300) -> None:
        super().__init__()
        if structure is None and not features:
            raise ValueError("entities are aligned by structure, features or both, and neither is given")
        self.structure = structure
        self.projections = nn.ModuleDict(
            {name: nn.Linear(table.values.shape[1], dim) for name, table in features.items()}
        )
        self.tables = {name: table.values for name, table in features.items()}  # no part of the weights
        self.names = ([] if structure is None else ["structure"]) + list(features)
        self.weight = nn.Parameter(torch.ones(len(self.names)))

    def forward(self, graph: KnowledgeGraph) -> ViewsOf:
        entity = None if self.structure is None else structure_vectors(self.structure, graph)

        def views(entities: Int[Tensor, " X"] | None = None) -> Views:
            rows = slice(None) if entities is None else entities
            found = {} if entity is None else {"structure": entity[rows]}
            found |= {name: self.projections[name](table[rows]) for name, table in self.tables.items()}
            return Views(found, self.weight.softmax(0))

        return views


def structure_vectors(encoder: Encoder, graph: KnowledgeGraph) -> Float[Tensor, "N D"]:
    """All entities, as an encoder of link prediction gives them as candidates."""
    zero = torch.zeros(1, dtype=torch.int64, device=graph.device)
    return encoder(graph)(zero, zero).tail[0]


def structure_space(num_entities: int, dim: int) -> Space:
    """The space of vectors that are compared by cosine: entities N(0, 1/N), and no relation to speak of."""

    def init(entity: Tensor, relation: Tensor) -> None:
        nn.init.normal_(entity, std=num_entities**-0.5)
        nn.init.zeros_(relation)

    return Space(dim, 1, init)
