"""The heaviest paths between two entities, on a graph whose edges have a weight in every layer."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gnnkg.ops.message import Adjacency


class Path(NamedTuple):
    """A way from one entity to another."""

    weight: float
    """the sum of its edges' weights, or their mean"""
    steps: tuple[tuple[int, int, int], ...]
    """its edges as (head, relation, tail), in the order in which they are walked; relation in [0, 2R)"""


class _Walks(NamedTuple):
    """Beginnings of paths, P of them. -1 stands where a walk had not begun yet, or does not go on."""

    weight: Float[Tensor, " P"]
    entities: Int[Tensor, "P V"]
    """where each walk was before the first layer, and after each of the T layers: V = T + 1"""
    edges: Int[Tensor, "P T"]
    """the edge that it took in each layer"""


def heaviest_paths(
    edges: Adjacency,
    weight: Float[Tensor, "T E"],
    head: int,
    answer: int,
    count: int,
    beam: int,
    mean: bool = False,
    present: Bool[Tensor, " E"] | None = None,
) -> list[Path]:
    """Up to ``count`` paths of at most T edges from head to answer, the heaviest first; of equal ones the shorter first.

    A path of L edges takes the last L layers: its edge i weighs ``weight[T - L + i]``. It may begin in any layer, as a message of
    the head does, and ends in the answer after the last. It meets no entity twice, so there is none where head is answer.
    A path weighs the sum of its edges, or with ``mean`` that by its length. ``present`` says which edges are there; None: all.

    Layer by layer, each entity keeps the ``beam`` heaviest walks of each length that end there and can still reach the answer in
    time. The paths found are the heaviest there are where no entity had to drop a walk; for T <= 3 a beam of ``count`` is enough.
    """
    num_layers = len(weight)
    within = _within_reach(edges, num_layers, answer, present)
    weight = weight.double()  # the order of a sum should not decide
    entities = torch.full((1, num_layers + 1), -1, device=edges.device)
    start = _Walks(weight.new_zeros(1), entities, entities[:, :num_layers])
    walks = _Walks(*(rows[:0] for rows in start))
    for layer in range(num_layers):
        left = num_layers - 1 - layer
        begun = start._replace(entities=start.entities.index_fill(1, torch.tensor([layer], device=edges.device), head))
        walks = _Walks(*(torch.cat(rows) for rows in zip(begun, walks, strict=True)))
        usable = within[left][edges.target]
        usable = torch.nonzero(usable if present is None else usable & present).squeeze(1)
        walks = _extended(walks, edges, weight[layer], usable, layer)
        length = (walks.edges >= 0).sum(1)
        if left:
            walks = _heaviest(walks, walks.entities[:, layer + 1] * num_layers + length, beam)
        else:
            walks = walks._replace(weight=walks.weight / length) if mean else walks
            walks = _heaviest(walks, torch.zeros_like(length), count)
    found: dict[tuple[tuple[int, int, int], ...], float] = {}  # a fact that is stated twice makes one path
    for total, taken in zip(walks.weight.tolist(), walks.edges, strict=True):
        taken = taken[taken >= 0]
        triples = zip(*(ids[taken].tolist() for ids in (edges.source, edges.relation, edges.target)), strict=True)
        found.setdefault(tuple(triples), total)
    return [Path(total, steps) for steps, total in found.items()]


def _within_reach(
    edges: Adjacency, num_layers: int, answer: int, present: Bool[Tensor, " E"] | None
) -> list[Bool[Tensor, " N"]]:
    """From which entities the answer is reached in exactly 0, 1, ..., T - 1 edges, without passing through it."""
    here = torch.zeros(edges.num_nodes, dtype=torch.bool, device=edges.device)
    here[answer] = True
    within = [here]
    for _ in range(num_layers - 1):
        leads = within[-1][edges.target] & (edges.source != answer)
        leads = leads if present is None else leads & present
        within.append(torch.zeros_like(here).index_fill(0, edges.source[leads], True))
    return within


def _extended(
    walks: _Walks, edges: Adjacency, weight: Float[Tensor, " E"], usable: Int[Tensor, " U"], layer: int
) -> _Walks:
    """Every walk with every usable edge out of its end, unless that leads to where it has been."""
    end = walks.entities[:, layer]
    by_end = torch.argsort(end, stable=True)
    count = torch.bincount(end, minlength=edges.num_nodes)
    first = count.cumsum(0) - count
    source = edges.source[usable]
    repeats = count[source]
    offset = torch.arange(int(repeats.sum()), device=edges.device)
    offset = offset + torch.repeat_interleave(first[source] - repeats.cumsum(0) + repeats, repeats)
    walk, edge = by_end[offset], torch.repeat_interleave(usable, repeats)
    target = edges.target[edge]
    new = (walks.entities[walk] != target.unsqueeze(1)).all(1)
    walk, edge, target = walk[new], edge[new], target[new]
    entities, taken = walks.entities[walk], walks.edges[walk]
    entities[:, layer + 1], taken[:, layer] = target, edge
    return _Walks(walks.weight[walk] + weight[edge], entities, taken)


def _heaviest(walks: _Walks, group: Int[Tensor, " P"], count: int) -> _Walks:
    """The heaviest walks of each group, together and in order."""
    order = torch.argsort((walks.edges >= 0).sum(1), stable=True)
    for key, descending in ((walks.weight, True), (group, False)):
        order = order[torch.argsort(key[order], stable=True, descending=descending)]
    _, sizes = torch.unique_consecutive(group[order], return_counts=True)
    rank = torch.arange(len(order), device=order.device) - torch.repeat_interleave(sizes.cumsum(0) - sizes, sizes)
    order = order[rank < count]
    return _Walks(*(rows[order] for rows in walks))
