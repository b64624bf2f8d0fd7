"""Entities of both graphs as each modality sees them: the seam between encoders and the training of alignments.

lookup = AlignmentEncoder(encoder)(graph)      # passes messages once
views = lookup(ids)                            # what the modalities say of some entities
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from gnnkg.core import Candidates, Encoder, Lookup, Space
from gnnkg.encoders import SNAG
from gnnkg.encoders.snag import STRUCTURE, SNAGLookup
from gnnkg.graph import KnowledgeGraph


@dataclass(frozen=True)
class Views:
    """X entities, as each of M modalities sees them."""

    modalities: Mapping[str, Float[Tensor, "X _"]]
    """h^m, before they are fused; 0 where an entity lacks one"""
    weight: Float[Tensor, " M"]
    """how much each modality counts for all entities, of sum 1"""
    has: Bool[Tensor, "X M"]
    """which modalities an entity has"""
    hidden: Mapping[str, Float[Tensor, "X _"]] | None = None
    """what fusion made of each modality; None: they are not fused"""
    confidence: Float[Tensor, "X M"] | None = None
    """how much each modality counts for an entity, of sum 1; None: not told apart"""

    def joint(self, by_confidence: bool = False) -> Float[Tensor, "X _"]:
        """concat_m w_m h^m / |h^m|, with the weights of all entities or with each entity's confidence."""
        weight = self.weight.unsqueeze(0)
        if by_confidence:
            if self.confidence is None:
                raise ValueError(
                    "an encoder that does not fuse modalities has no confidence in each: join them by weights"
                )
            weight = self.confidence
        parts = zip(self.modalities.values(), weight.unbind(1), strict=True)
        return torch.cat([share.unsqueeze(1) * functional.normalize(view, dim=1) for view, share in parts], dim=1)


class AlignmentEncoder(nn.Module):
    """The entities of two graphs, joined into one, by the views of an encoder of link prediction.

    Those of ``SNAG`` are all its modalities, what it made of each and how far it trusts it; those of any other are structure alone.
    A weight of each modality, the same for all entities, is learned beside. Raises ValueError for an encoder whose vectors differ
    from query to query, and for SNAG with the read-out "weight".
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        if encoder.inductive:
            raise ValueError(
                f"{type(encoder).__name__} computes the vectors of entities anew for each query, so that they cannot be compared"
            )
        if isinstance(encoder, SNAG) and encoder.fusion.last is not None:
            raise ValueError(
                "read_out: weight leaves out the last layer of the fusion, whose vectors are aligned (IIR): choose another read-out"
            )
        self.encoder = encoder
        self.names = encoder.names if isinstance(encoder, SNAG) else (STRUCTURE,)
        self.weight = nn.Parameter(torch.ones(len(self.names)))

    def forward(self, graph: KnowledgeGraph) -> ViewsLookup:
        return ViewsLookup(self, self.encoder(graph))


class ViewsLookup:
    """An encoded graph: ids of entities in, views out."""

    def __init__(self, encoder: AlignmentEncoder, lookup: Lookup) -> None:
        self.encoder = encoder
        self.lookup = lookup

    def __call__(self, entities: Int[Tensor, " X"] | None = None, fused: bool = True) -> Views:
        """``None``: all entities. Not ``fused``: without what fusion makes of them, which takes time."""
        tokens, has = self._tokens(entities)
        weight = self.encoder.weight.softmax(0)
        modalities = self._named(tokens)
        snag = self.encoder.encoder
        if not fused or not isinstance(snag, SNAG):
            return Views(modalities, weight, has)
        whole = snag.fusion(tokens, has)
        return Views(modalities, weight, has, self._named(whole.hidden), whole.confidence)

    def _tokens(self, entities: Int[Tensor, " X"] | None) -> tuple[Float[Tensor, "X M D"], Bool[Tensor, "X M"]]:
        if isinstance(self.lookup, SNAGLookup):
            return self.lookup.tokens(entities)
        zero = torch.zeros(1, dtype=torch.int64, device=self.encoder.weight.device)
        table = None if entities is None else entities.unsqueeze(0)
        tokens = self.lookup(zero, zero, Candidates(table)).tail[0].unsqueeze(1)
        return tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)

    def _named(self, tokens: Float[Tensor, "X M D"]) -> dict[str, Float[Tensor, "X D"]]:
        return dict(zip(self.encoder.names, tokens.unbind(1), strict=True))


def cosine_space(num_entities: int, dim: int) -> Space:
    """The space of vectors that are compared by cosine: entities N(0, 1/N), and no relation to speak of."""

    def init(entity: Tensor, relation: Tensor) -> None:
        nn.init.normal_(entity, std=num_entities**-0.5)
        nn.init.zeros_(relation)

    return Space(dim, 1, init)
