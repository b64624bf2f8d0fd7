"""A graph without its relations: who is next to whom, each pair once, and every entity next to itself."""

from __future__ import annotations

from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnnkg.graph import Messages
from gnnkg.ops.message import Adjacency


class Neighbours(NamedTuple):
    """The pairs of a graph's edges, in both directions, with one of each entity and itself; sorted by target, then source."""

    edges: Adjacency
    """of a single relation, 0"""
    weight: Float[Tensor, " P"] | None
    """of each pair: the largest weight of its edges, and 1 of an entity and itself; None: all 1"""


_FOUND: WeakKeyDictionary[Adjacency, tuple[Adjacency, Tensor]] = WeakKeyDictionary()
"""the pairs of edges that have been asked for, so that training sorts them once"""


def neighbours(messages: Messages) -> Neighbours:
    """The pairs of one layer's edges. A pair of which every edge has weight 0 has weight 0: it is absent."""
    edges, weight = messages
    if edges not in _FOUND:
        _FOUND[edges] = _pairs(edges)
    pairs, pair_of = _FOUND[edges]
    if weight is None:
        return Neighbours(pairs, None)
    given = torch.cat([weight, weight.new_ones(edges.num_nodes)])
    largest = weight.new_zeros(len(pairs)).scatter_reduce(0, pair_of, given, "amax", include_self=False)
    return Neighbours(pairs, largest)


def _pairs(edges: Adjacency) -> tuple[Adjacency, Int[Tensor, " X"]]:
    """The pairs, and which pair each edge is, and after them each entity with itself."""
    itself = torch.arange(edges.num_nodes, device=edges.device)
    key = torch.cat([edges.target * edges.num_nodes + edges.source, itself * (edges.num_nodes + 1)])
    pairs, pair_of = torch.unique(key, return_inverse=True)
    target = torch.div(pairs, edges.num_nodes, rounding_mode="floor")
    source = pairs % edges.num_nodes
    return Adjacency.of(source, torch.zeros_like(source), target, edges.num_nodes, 1, once=edges.once), pair_of
