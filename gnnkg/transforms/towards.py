"""What transforms that mix sampled negatives have in common."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.core import Labels, Vectors


def own_tail(vectors: Vectors, name: str) -> Float[Tensor, "B D"]:
    """The own tails; raises ValueError where they stand inside the table (1-vs-all), or where candidates are mixed already."""
    if vectors.own is None:
        raise ValueError(
            f"{name} compares candidates with each query's own tail, which must stand outside the table (not AllEntities): "
            f"use a sampler such as Uniform, AllEntities(apart=True) for 1-vs-all, or a term without {name}"
        )
    if vectors.mix is not None or vectors.blend is not None:
        raise ValueError(f"these candidates are mixed already: {name} cannot follow another method, give each a term")
    return vectors.own


def soft(labels: Labels, value: Float[Tensor, "#B K"]) -> Labels:
    """1 for the own tail, ``value`` for the negatives."""
    value = torch.cat([value.new_ones(len(value), 1), value], dim=1)
    return Labels(value.expand(len(labels.weight), -1), labels.mask, labels.truth, labels.weight)
