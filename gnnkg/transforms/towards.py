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


def soft(labels: Labels, value: Float[Tensor, "#B K"], name: str) -> Labels:
    """1 for the own tail, ``value`` for the negatives. Raises ValueError for negatives that have other labels than 0 already."""
    if _labelled(labels):
        raise ValueError(
            f"{name} gives negatives labels of its own, and some have labels above 0 already, as known tails have in K-vs-all "
            "(AllEntities(true='all')) and all under smoothing: use true='own' without smoothing, and filtered=True for known tails"
        )
    value = torch.cat([value.new_ones(len(value), 1), value], dim=1)
    return Labels(value.expand(len(labels.weight), -1), labels.mask, labels.truth, labels.weight)


def _labelled(labels: Labels) -> bool:
    """Whether a column that takes part has a label above 0, besides the truth."""
    value = labels.value[:1] if labels.value.stride(0) == 0 else labels.value  # often all queries have the same
    if int(value.count_nonzero()) <= len(value):
        return False
    return bool((labels.negatives & (labels.value != 0)).any())
