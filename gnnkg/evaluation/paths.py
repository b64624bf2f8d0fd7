"""The heaviest paths between two entities, on a graph whose edges have a weight in every layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gnnkg.ops.message import Adjacency

_PRIME = 1_099_511_628_211  # of the FNV hash


class Path(NamedTuple):
    """A way from one entity to another."""

    weight: float
    """the sum of its edges' weights, or their mean"""
    steps: tuple[tuple[int, int, int], ...]
    """its edges as (head, relation, tail), in the order in which they are walked; relation in [0, 2R)"""


class _Walks(NamedTuple):
    """Beginnings of paths, P of them, each once."""

    weight: Float[Tensor, " P"]
    key: Int[Tensor, " P"]
    """a hash of the edges"""
    length: Int[Tensor, " P"]
    entities: Int[Tensor, "P V"]
    """where it has been, head first; V = T + 1, -1 beyond its end"""
    edges: Int[Tensor, "P T"]
    """which edges it took, in their order; -1 beyond its end"""

    @property
    def end(self) -> Int[Tensor, " P"]:
        return self.entities.gather(1, self.length.unsqueeze(1)).squeeze(1)

    def of(self, rows: Tensor) -> _Walks:
        return _Walks(*(column[rows] for column in self))


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

    A path takes an edge in one layer and the next in any later one: a message may stay where it is, as it does by a shortcut, a
    self-loop, or a boundary that enters every layer. Of all ways to place its edges on layers the heaviest counts. It weighs their
    sum, or with ``mean`` that by its length. It meets no entity twice, so there is none where head is answer. ``present`` says
    which edges are there; None: all.

    Layer by layer, each entity keeps the ``beam`` heaviest walks of each length that end there and can still reach the answer in
    time. The paths found are the heaviest there are where no entity had to drop a walk; for T <= 3 a beam of ``count`` is enough.
    """
    num_layers = len(weight)
    within = _within_reach(edges, num_layers, answer, present)
    weight = weight.double()  # the order of a sum should not decide
    none = torch.full((1, num_layers + 1), -1, device=edges.device)
    zero = none.new_zeros(1)
    walks = _Walks(weight.new_zeros(1), zero, zero, none.index_fill(1, zero, head), none[:, 1:])
    for layer in range(num_layers):
        left = num_layers - 1 - layer
        end = walks.end
        moving = walks.of(end != answer)
        usable = within[left][edges.target]
        usable = torch.nonzero(usable if present is None else usable & present).squeeze(1)
        staying, keep = walks.of(within[left][end]), beam if left else max(beam, count)
        both = [staying, *_extended(moving, staying, edges, weight[layer], usable, keep)]
        walks = _distinct(_Walks(*(torch.cat(columns) for columns in zip(*both, strict=True))))
        walks = _heaviest(walks, walks.end * (num_layers + 1) + walks.length, keep)
    walks = walks.of(walks.length > 0)
    total = _best_sum(walks, weight)
    walks = walks._replace(weight=total / walks.length if mean else total)
    found: dict[tuple[tuple[int, int, int], ...], float] = {}  # a fact that is stated twice makes one path
    walks = _heaviest(walks, torch.zeros_like(walks.length), count)
    for total, taken in zip(walks.weight.tolist(), walks.edges, strict=True):
        taken = taken[taken >= 0]
        triples = zip(*(ids[taken].tolist() for ids in (edges.source, edges.relation, edges.target)), strict=True)
        found.setdefault(tuple(triples), total)
    return [Path(total, steps) for steps, total in found.items()]


def _within_reach(
    edges: Adjacency, num_layers: int, answer: int, present: Bool[Tensor, " E"] | None
) -> list[Bool[Tensor, " N"]]:
    """From which entities the answer is reached in at most 0, 1, ..., T - 1 edges."""
    here = torch.zeros(edges.num_nodes, dtype=torch.bool, device=edges.device)
    here[answer] = True
    within = [here]
    for _ in range(num_layers - 1):
        leads = within[-1][edges.target]
        leads = leads if present is None else leads & present
        within.append(within[-1].index_fill(0, edges.source[leads], True))
    return within


def _extended(
    walks: _Walks,
    staying: _Walks,
    edges: Adjacency,
    weight: Float[Tensor, " E"],
    usable: Int[Tensor, " U"],
    keep: int,
) -> Iterator[_Walks]:
    """Walks with a usable edge out of their end that does not lead to where they have been; those of each length together.

    Those are left out that are lighter than ``keep`` others of their length and end, all extended ones or all ``staying``.
    """
    for length in torch.unique(walks.length).tolist():
        some, rivals = walks.of(walks.length == length), staying.of(staying.length == length + 1)
        walk, edge = _pairs(some.end, edges, usable)
        total, target = some.weight[walk] + weight[edge], edges.target[edge]
        left = total >= _floor(rivals.weight, rivals.end, keep, edges.num_nodes)[target]
        walk, edge, total, target = (column[left] for column in (walk, edge, total, target))
        for been in some.entities[:, : length + 1].unbind(1):
            new = been[walk] != target
            walk, edge, total, target = (column[new] for column in (walk, edge, total, target))
        left = total >= _floor(total, target, keep, edges.num_nodes)[target]
        walk, edge, total, target = (column[left] for column in (walk, edge, total, target))
        old = some.of(walk)
        old.entities[:, length + 1], old.edges[:, length] = target, edge
        key = (old.key ^ edge) * _PRIME + 1  # wraps around
        yield _Walks(total, key, old.length + 1, old.entities, old.edges)


def _pairs(
    end: Int[Tensor, " P"], edges: Adjacency, usable: Int[Tensor, " U"]
) -> tuple[Int[Tensor, " X"], Int[Tensor, " X"]]:
    """Every walk with every usable edge out of its end."""
    by_end = torch.argsort(end, stable=True)
    count = torch.bincount(end, minlength=edges.num_nodes)
    first = count.cumsum(0) - count
    source = edges.source[usable]
    repeats = count[source]
    offset = torch.arange(int(repeats.sum()), device=edges.device)
    offset = offset + torch.repeat_interleave(first[source] - repeats.cumsum(0) + repeats, repeats)
    return by_end[offset], torch.repeat_interleave(usable, repeats)


def _floor(weight: Float[Tensor, " P"], group: Int[Tensor, " P"], keep: int, num_groups: int) -> Float[Tensor, " G"]:
    """The weight of the last that is kept of each group; -inf where there are not so many."""
    count = torch.bincount(group, minlength=num_groups)
    floor = weight.new_full((num_groups,), -torch.inf)
    crowded = (count >= keep)[group]
    weight, group = weight[crowded], group[crowded]
    order = torch.argsort(weight, descending=True)
    order = order[torch.argsort(group[order], stable=True)]
    full = torch.nonzero(count >= keep).squeeze(1)
    last = count[full].cumsum(0) - count[full] + keep - 1
    floor[full] = weight[order[last]]
    return floor


def _distinct(walks: _Walks) -> _Walks:
    """Each walk once, with the most that it weighs."""
    order = torch.argsort(walks.weight, stable=True, descending=True)
    order = order[torch.argsort(walks.key[order], stable=True)]
    key = walks.key[order]
    first = torch.ones_like(key, dtype=torch.bool)
    first[1:] = key[1:] != key[:-1]
    return walks.of(order[first])


def _best_sum(walks: _Walks, weight: Float[Tensor, "T E"]) -> Float[Tensor, " P"]:
    """What each walk weighs at the best; in a narrow beam a beginning may have been dropped when it was lighter."""
    best = torch.full(
        walks.entities.shape, -torch.inf, dtype=weight.dtype, device=weight.device
    )  # (P, V), by edges taken
    best[:, 0] = 0
    for row in weight:
        best[:, 1:] = torch.maximum(best[:, 1:], best[:, :-1] + row[walks.edges.clamp(min=0)])
    return best.gather(1, walks.length.unsqueeze(1)).squeeze(1)


def _heaviest(walks: _Walks, group: Int[Tensor, " P"], count: int) -> _Walks:
    """The heaviest walks of each group, together and in order."""
    order = torch.argsort(walks.length, stable=True)
    for key, descending in ((walks.weight, True), (group, False)):
        order = order[torch.argsort(key[order], stable=True, descending=descending)]
    _, sizes = torch.unique_consecutive(group[order], return_counts=True)
    rank = torch.arange(len(order), device=order.device) - torch.repeat_interleave(sizes.cumsum(0) - sizes, sizes)
    return walks.of(order[rank < count])
