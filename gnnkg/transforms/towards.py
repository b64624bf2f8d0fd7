"""What transforms that move sampled negatives towards each query's own tail have in common."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.core import Labels, Vectors


def own_tail(vectors: Vectors, name: str) -> Float[Tensor, "B D"]:
    """The own tails; raises ValueError where they stand inside the table (1-vs-all), or where candidates are mutated already."""
    if vectors.own is None:
        raise ValueError(
            f"{name} mutates sampled negatives towards each query's own tail, which must stand outside the table: "
            f"use the sampler Uniform instead of AllEntities (1-vs-all), or a term without {name}"
        )
    if vectors.mix is not None:
        raise ValueError(f"these candidates are mutated already, by an EMU: {name} cannot follow it")
    return vectors.own


def interpolated(
    vectors: Vectors, own: Float[Tensor, "B D"], keep: Float[Tensor, "B K D"] | Float[Tensor, "B K 1"]
) -> Vectors:
    """Stores keep * n + (1 - keep) * p: a table of its own for each query."""
    each = vectors.tail.repeat_interleave(len(own) // len(vectors.tail), 0)
    return vectors.replace(tail=torch.lerp(own.unsqueeze(1), each, keep))


def soft(labels: Labels, value: Float[Tensor, "#B K"]) -> Labels:
    """1 for the own tail, ``value`` for the negatives."""
    value = torch.cat([value.new_ones(len(value), 1), value], dim=1)
    return Labels(value.expand(len(labels.weight), -1), labels.mask, labels.truth, labels.weight)
