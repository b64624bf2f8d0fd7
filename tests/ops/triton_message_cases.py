"""The Triton kernels of message passing against the definition in double precision.

``test_triton_message.py`` runs this file in processes of its own: in Triton's interpreter, and on a GPU where there is one.
"""

from __future__ import annotations

import itertools
import math
import os
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from gnnkg.ops.message import Adjacency, parts, reference, triton
from gnnkg.ops.message.fused import Propagate
from gnnkg.ops.message.reference import AGGREGATES, MESSAGES, Aggregate, Message

DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"


class Given(NamedTuple):
    x: Tensor
    relation: Tensor
    weight: Tensor | None = None
    boundary: Tensor | None = None

    def to(self, dtype: torch.dtype) -> Given:
        """Leaves on the device; a weight stays in float32 where others are narrower."""
        wide = torch.promote_types(dtype, torch.float32)

        def leaf(tensor: Tensor | None, dtype: torch.dtype) -> Tensor | None:
            return None if tensor is None else tensor.detach().to(DEVICE, dtype, copy=True).requires_grad_()

        return Given(*(leaf(tensor, wide if tensor is self.weight else dtype) for tensor in self))  # type: ignore[arg-type]

    @property
    def leaves(self) -> list[Tensor]:
        return [tensor for tensor in self if tensor is not None]


def graph(source: list[int], relation: list[int], target: list[int], num_nodes: int, num_relations: int) -> Adjacency:
    ends = [torch.tensor(ids, dtype=torch.int64, device=DEVICE) for ids in (source, relation, target)]
    return Adjacency.of(*ends, num_nodes, num_relations)


def random_graph(num_edges: int, num_nodes: int, num_relations: int) -> Adjacency:
    """Half of the edges end in node 1; the last node sends and gets nothing."""
    ends = torch.randint(num_nodes - 1, (3, num_edges))
    ends[2, ::2] = 1
    ends[1] %= num_relations
    return graph(*ends.tolist(), num_nodes, num_relations)


def random_given(
    edges: Adjacency, num_states: int, dim: int, shared: bool = False, weighted: bool = False, bounded: bool = False
) -> Given:
    """Some of the weights are 0."""
    x = torch.randn(edges.num_sources, num_states, dim)
    weight = torch.randn(len(edges)) * (torch.rand(len(edges)) < 0.7) if weighted else None
    relation = torch.randn(edges.num_relations, 1 if shared else num_states, dim)
    return Given(x, relation, weight, torch.randn(edges.num_nodes, num_states, dim) if bounded else None)


def check(
    edges: Adjacency, given: Given, message: Message, aggregate: Aggregate, dtype: torch.dtype = torch.float32
) -> None:
    fast = given.to(dtype)
    exact = Given(*(None if leaf is None else leaf.detach().double().requires_grad_() for leaf in fast))  # type: ignore[arg-type]
    out = Propagate.apply(triton, edges, message, aggregate, *fast)
    expected = reference.propagate(exact.x, exact.relation, edges, exact.weight, exact.boundary, message, aggregate)
    assert out.dtype == dtype
    error = 1e-5 if dtype == torch.float32 else 1e-2
    tolerance = {"rtol": error, "atol": error, "check_dtype": False, "equal_nan": True}
    assert_close(out, expected, **tolerance)
    gradient = torch.randn_like(out)
    ours = torch.autograd.grad(out, fast.leaves, gradient)
    if expected.requires_grad:
        theirs = torch.autograd.grad(expected, exact.leaves, gradient.double())
    else:  # the definition has no message whose gradient it could take
        theirs = [torch.zeros_like(leaf) for leaf in exact.leaves]
    # As many terms as edges and columns.
    tolerance["atol"] *= math.sqrt(max(len(edges), 1) * given.x[0].numel())
    for leaf, a, b in zip(fast.leaves, ours, theirs, strict=True):
        assert a.dtype == leaf.dtype
        assert_close(a, b, **tolerance)


@pytest.fixture
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "LONGEST", 5)


LAYOUTS = list(itertools.product([False, True], repeat=3))
COMBINATIONS = [
    (message, aggregate, LAYOUTS[(3 * i + 5 * (i // 5)) % len(LAYOUTS)])
    for i, (message, aggregate) in enumerate(itertools.product(MESSAGES, AGGREGATES))
]


@pytest.mark.usefixtures("short_parts")
@pytest.mark.parametrize(("message", "aggregate", "layout"), COMBINATIONS)
def test_equals_the_definition(message: Message, aggregate: Aggregate, layout: tuple[bool, bool, bool]):
    edges = random_graph(32, 5, 2)
    check(edges, random_given(edges, 2, 4 if message == "rotate" else 3, *layout), message, aggregate)


@pytest.mark.parametrize(("num_nodes", "num_sources"), [(4, 7), (7, 4)])
def test_messages_from_other_nodes(num_nodes: int, num_sources: int):
    ends = [torch.randint(limit, (24,), device=DEVICE) for limit in (num_sources, 2, num_nodes)]
    edges = Adjacency.of(*ends, num_nodes, 2, num_sources)
    for aggregate in AGGREGATES:
        check(edges, random_given(edges, 2, 3, bounded=True), "mul", aggregate)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout: tuple[bool, bool, bool]):
    edges = random_graph(5, 3, 2)
    check(edges, random_given(edges, 3, 2, *layout), "rotate", "pna")


@pytest.mark.parametrize(("num_states", "dim"), [(1, 1), (1, 17), (17, 1), (2, 70)])
def test_widths(num_states: int, dim: int):
    """Narrow, odd, and wider than a program's block."""
    edges = random_graph(6, 3, 2)
    check(edges, random_given(edges, num_states, dim, True, True, True), "mul", "pna")
    check(edges, random_given(edges, num_states, 2 * dim, True, True, True), "rotate", "mean")


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_graphs_that_hurt(aggregate: Aggregate):
    for edges in (
        graph([], [], [], 3, 2),
        graph([2], [1], [2], 3, 2),  # one edge, at the last node
        graph([0, 0, 0], [0, 0, 0], [1, 1, 1], 3, 1),  # the same edge again
    ):
        check(edges, random_given(edges, 2, 3, weighted=True, bounded=True), "mul", aggregate)
        check(edges, random_given(edges, 2, 3), "add", aggregate)
    check(edges, random_given(edges, 2, 3)._replace(weight=torch.zeros(3)), "mul", aggregate)


def test_a_group_longer_than_its_parts():
    """Of the length that is in use, so that merging loops as well."""
    edges = random_graph(2 * 33 * parts.LONGEST if DEVICE == "cuda" else 2 * parts.LONGEST + 3, 3, 1)
    for aggregate in ("sum", "pna"):
        check(edges, random_given(edges, 1, 3, weighted=True), "mul", aggregate)


@pytest.mark.usefixtures("short_parts")
@pytest.mark.parametrize("bounded", [False, True])
def test_the_first_of_equal_messages_has_the_gradient(bounded: bool):
    edges = graph([1] + [0] * 12, [0] * 13, [0] + [2] * 12, 3, 1)
    x, relation = torch.ones(3, 1, 2), torch.ones(1, 1, 2)
    weight = torch.ones(13)
    weight[1] = 0  # node 2's first edge is absent
    given = Given(x, relation, weight, torch.ones_like(x) if bounded else None)
    for aggregate in ("max", "min", "pna"):
        check(edges, given, "mul", aggregate)
    fast = given.to(torch.float32)
    out = Propagate.apply(triton, edges, "mul", "max", *fast)
    assert fast.weight is not None
    (gradient,) = torch.autograd.grad(out[2].sum(), [fast.weight])
    expected = torch.zeros(13)
    expected[2] = 0.0 if bounded else 2.0
    assert_close(gradient.cpu(), expected)


def test_equal_large_messages_do_not_vary():
    edges = graph([0] * 40, [0] * 40, [1] * 40, 2, 1)
    x, relation = torch.full((2, 1, 3), 1234.567), torch.ones(1, 1, 3)
    out = Propagate.apply(triton, edges, "mul", "pna", *Given(x, relation).to(torch.float32))
    assert_close(out[1, 0, 9:].cpu(), torch.full((3,), 1e-3))


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_a_nan_comes_through(aggregate: Aggregate):
    edges = graph([0, 1, 2, 3], [0, 0, 0, 0], [3, 3, 3, 2], 4, 1)
    given = random_given(edges, 1, 2)
    given.x[1, 0, 0] = math.nan
    check(edges, given, "add", aggregate)


def test_bfloat16():
    edges = random_graph(12, 4, 2)
    for message, aggregate in (("mul", "sum"), ("rotate", "pna")):
        for shared in (False, True):
            check(edges, random_given(edges, 2, 4, shared, True, True), message, aggregate, torch.bfloat16)


@pytest.mark.skipif(DEVICE == "cpu", reason="the interpreter would need hours")
@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_a_larger_graph(message: Message, aggregate: Aggregate):
    edges = random_graph(20_000, 1000, 40)
    for shared in (False, True):
        given = random_given(edges, 4, 100, shared, True, True)
        check(edges, given, message, aggregate)


@pytest.mark.skipif(DEVICE == "cpu", reason="the interpreter runs programs one after another")
def test_the_same_bits_every_time():
    edges = random_graph(20_000, 1000, 40)
    given = random_given(edges, 4, 64, True, True, True).to(torch.float32)
    found = []
    for _ in range(3):
        out = Propagate.apply(triton, edges, "mul", "pna", *given)
        found.append((out, *torch.autograd.grad(out.square().sum(), given.leaves)))
    for again in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], again, strict=True))
