"""Inputs that hurt, for the tests of every backend of message passing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor
from torch.testing import assert_close

from gnnkg.ops import message
from gnnkg.ops.message import Adjacency, reference
from gnnkg.ops.message.reference import AGGREGATES, MESSAGES, Aggregate, Message

OPS = list(product(MESSAGES, AGGREGATES))


class Shape(NamedTuple):
    states: int
    width: int
    graph: str = "mixed"


GRAPHS = {
    # repeated edges, a self-loop, nodes that get nothing (0, 1), that send nothing (6), that do neither (7)
    "mixed": ([0, 0, 0, 1, 2, 3, 4, 5, 3, 3], [0, 0, 1, 2, 0, 1, 2, 2, 1, 0], [2, 2, 2, 3, 3, 3, 4, 5, 6, 6], 8, 3),
    "last": ([0, 1, 2, 4], [0, 1, 0, 1], [4, 4, 4, 4], 5, 2),  # only the last node gets messages
    "one edge": ([1], [0], [0], 2, 1),
    "no edges": ([], [], [], 3, 2),
    "in part": ([4, 0, 1, 4, 3, 0], [0, 1, 0, 1, 2, 0], [0, 0, 1, 1, 1, 3], 4, 3, 6),  # four nodes hear from six others
    "of few": ([0, 1, 0], [0, 1, 1], [4, 2, 2], 5, 2, 2),
}


def hub(num_edges: int = 600, num_nodes: int = 40) -> tuple[list[int], list[int], list[int], int, int]:
    """One relation, and a node that half of all edges lead to."""
    source = torch.randint(num_nodes, (num_edges,))
    target = torch.where(torch.rand(num_edges) < 0.5, 7, torch.randint(num_nodes, (num_edges,)))
    return source.tolist(), [0] * num_edges, target.tolist(), num_nodes, 1


SHAPES = (
    Shape(2, 4),
    Shape(1, 34),  # blocks of vectors, the last one narrow
    Shape(3, 18, "hub"),
    Shape(1, 2, "last"),
    Shape(2, 6, "one edge"),
    Shape(1, 4, "no edges"),
    Shape(2, 6, "in part"),
    Shape(1, 34, "of few"),
)
ODD = (Shape(2, 1), Shape(3, 3, "last"), Shape(1, 17), Shape(2, 33))
"""for messages that are not complex"""


def adjacency(graph: str) -> Adjacency:
    source, relation, target, *sizes = hub() if graph == "hub" else GRAPHS[graph]
    ids = (torch.tensor(values, dtype=torch.int64) for values in (source, relation, target))
    return Adjacency.of(*ids, *sizes)


class Case(NamedTuple):
    edges: Adjacency
    x: Tensor
    relation: Tensor
    weight: Tensor | None
    boundary: Tensor | None

    def to(self, dtype: torch.dtype) -> Case:
        """Copies as leaves."""

        def copy(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.detach().to(dtype).requires_grad_()

        return Case(self.edges, *(copy(tensor) for tensor in self[1:]))  # type: ignore[arg-type]  # None stays None

    def leaves(self) -> list[Tensor]:
        return list(self.named_leaves().values())

    def named_leaves(self) -> dict[str, Tensor]:
        tensors = self._asdict()
        del tensors["edges"]
        return {name: tensor for name, tensor in tensors.items() if tensor is not None and tensor.requires_grad}

    def other_ways(self) -> Iterator[Case]:
        """The same, for which a backend may take other ways: no gradient of the weights, edges that are used once."""
        yield self._replace(edges=replace(self.edges, once=True))
        if self.weight is not None:
            yield self._replace(weight=self.weight.detach())

    def call(self, kind: Message, aggregate: Aggregate) -> Tensor:
        """By the backend that serves the type of x."""
        return message.propagate(self.x, self.relation, self.edges, self.weight, self.boundary, kind, aggregate)

    def define(self, kind: Message, aggregate: Aggregate) -> Tensor:
        relation = self.relation.unsqueeze(1) if self.relation.dim() == 2 else self.relation
        return reference.propagate(self.x, relation, self.edges, self.weight, self.boundary, kind, aggregate)


def case(shape: Shape, shared: bool = True, weighted: bool = False, bounded: bool = False) -> Case:
    edges = adjacency(shape.graph)
    vectors = shape.states, shape.width
    weight = torch.randn(len(edges)) * (torch.rand(len(edges)) < 0.7)
    return Case(
        edges,
        torch.randn(edges.num_sources, *vectors),
        torch.randn(edges.num_relations, *(() if shared else (shape.states,)), shape.width),
        weight if weighted else None,
        torch.randn(edges.num_nodes, *vectors) if bounded else None,
    )


def layouts() -> Iterator[tuple[bool, bool, bool]]:
    """shared, weighted, bounded"""
    return product((True, False), repeat=3)


def gradients(out: Tensor, given: Case, upstream: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(out, given.leaves(), upstream.to(out), allow_unused=True, materialize_grads=True)


def check_message(kind: Message, aggregate: Aggregate, given: Case) -> None:
    """Values and gradients of the backend that serves float32 equal the definition's in double precision."""
    fast, exact = given.to(torch.float32), given.to(torch.float64)
    expected = exact.define(kind, aggregate)
    upstream = torch.randn(expected.shape)
    theirs = dict(zip(exact.named_leaves(), gradients(expected, exact, upstream), strict=True))
    for way in (fast, *fast.other_ways()):
        out = way.call(kind, aggregate)
        assert out.dtype == torch.float32
        assert_close(out, expected, rtol=1e-4, atol=1e-4, check_dtype=False)
        for name, ours in zip(way.named_leaves(), gradients(out, way, upstream), strict=True):
            assert_close(ours, theirs[name], rtol=1e-3, atol=1e-3, check_dtype=False)
