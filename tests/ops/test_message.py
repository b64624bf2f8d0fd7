from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from inspect import unwrap  # from the shape checks of the tests, which refuse these inputs first

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from gnnkg._dgl import dgl
from gnnkg.ops import cpu
from gnnkg.ops.backends import use_reference
from gnnkg.ops.message import Adjacency, degrees, propagate
from gnnkg.ops.message.reference import AGGREGATES, MESSAGES
from tests.ops.message_cases import ODD, OPS, SHAPES, Case, Shape, case, check_message, gradients, layouts

every_op = pytest.mark.parametrize(("kind", "aggregate"), OPS)
every_aggregate = pytest.mark.parametrize("aggregate", AGGREGATES)


def same(ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def edges_to_first(num_edges: int) -> Adjacency:
    """Nodes 1, 2, ... to node 0, all by relation 0."""
    source = torch.arange(1, num_edges + 1)
    return Adjacency.of(source, torch.zeros_like(source), torch.zeros_like(source), num_edges + 1, 1)


@every_op
def test_equals_the_definition(kind, aggregate):
    for number, layout in enumerate(layouts()):
        shapes = SHAPES + (ODD if kind != "rotate" else ())
        for shape in shapes if number in (0, 7) else (SHAPES[0], shapes[1 + number % (len(shapes) - 1)]):
            check_message(kind, aggregate, case(shape, *layout))


@every_aggregate
def test_the_last_node_gets_its_messages(aggregate):
    given = case(Shape(1, 4, "last"))
    out = given.call("mul", aggregate)
    assert (out[4] != out[0]).any()
    assert torch.equal(out[:4], out[:1].expand(4, -1, -1))


@every_aggregate
def test_a_node_without_messages(aggregate):
    out = case(Shape(2, 5, "no edges")).call("add", aggregate)
    expected = torch.zeros_like(out)
    if aggregate == "pna":
        expected[..., 15:] = math.sqrt(1e-6)
    assert_close(out, expected)


@pytest.mark.parametrize(("shape", "num_relations"), [((0, 2, 4), 2), ((3, 0, 4), 2), ((3, 2, 0), 2), ((3, 2, 4), 0)])
@every_aggregate
def test_empty(aggregate, shape, num_relations):
    nothing = torch.zeros(0, dtype=torch.int64)
    edges = Adjacency.of(nothing, nothing, nothing, shape[0], num_relations)
    x = torch.randn(shape, requires_grad=True)
    relation = torch.randn(num_relations, *shape[1:], requires_grad=True)
    out = propagate(x, relation, edges, aggregate=aggregate)
    assert out.shape == (*shape[:2], shape[2] * (4 if aggregate == "pna" else 1))
    for gradient in torch.autograd.grad(out.sum(), (x, relation), allow_unused=True, materialize_grads=True):
        assert not gradient.any()


@pytest.mark.parametrize("aggregate", ["max", "min", "pna"])
@pytest.mark.parametrize("bounded", [False, True])
def test_the_first_of_equal_messages_has_the_gradient(aggregate, bounded):
    edges = edges_to_first(5)
    x = torch.tensor([0.0, 2, -1, 2, -1, 2])[:, None, None].expand(6, 2, 3)
    boundary = torch.full_like(x, -1 if aggregate == "min" else 2) if bounded else None
    given = Case(edges, x, torch.ones(1, 3), None, boundary).to(torch.float32)
    upstream = torch.ones(6, 2, 12 if aggregate == "pna" else 3)
    if aggregate == "pna":  # of largest and smallest alone
        upstream[..., :3] = upstream[..., 9:] = 0
    out, expected = given.call("mul", aggregate), given.define("mul", aggregate)
    assert_close(out, expected)
    ours = gradients(out, given, upstream)
    assert_close(ours, gradients(expected, given, upstream))
    taken = {"max": [1, 0], "min": [0, 1], "pna": [1, 1]}[aggregate]
    if bounded:
        taken = {"max": [0, 0], "min": [0, 0], "pna": [0, 1]}[aggregate]
    assert ours[0][1:3, 0, 0].tolist() == taken
    assert not ours[0][3:].any()


@pytest.mark.parametrize("large", [1.0, 3e3])
def test_equal_messages_have_no_variance(large):
    given = Case(edges_to_first(50), torch.full((51, 1, 17), large / 3), torch.full((1, 17), 3.1), None, None)
    given = given.to(torch.float32)
    out = given.call("mul", "pna")
    assert_close(out[0, 0, 51:], torch.full((17,), 1e-3))
    upstream = torch.zeros_like(out)
    upstream[..., 51:] = 1
    assert not any(gradient.any() for gradient in gradients(out, given, upstream))


@pytest.mark.parametrize("first", [0.0, -1e4, 1e6])
def test_a_variance_beside_a_large_mean(first):
    """of the first message, whichever it is, and of all"""
    x = torch.randn(1001, 1, 3) + (0 if first == -1e4 else 1e4)
    x[1] += first
    given = Case(edges_to_first(1000), x, torch.ones(1, 3), None, None)
    out, expected = given.call("mul", "pna"), given.to(torch.float64).define("mul", "pna")
    assert_close(out[0].double(), expected[0].detach(), rtol=1e-4, atol=1e-4)


@every_op
@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize("ones", [False, True])
def test_absent_edges_are_as_if_never_built(kind, aggregate, ones, once):
    given = case(Shape(2, 18, "hub"), False, True, True).to(torch.float32)
    there = given.weight.detach() != 0
    weight = there.float() if ones else given.weight.detach()
    edges = given.edges
    ends = (each[there] for each in (edges.source, edges.relation, edges.target))
    rebuilt = Adjacency.of(*ends, edges.num_nodes, 1, once=once)
    masked = given._replace(edges=replace(edges, once=once), weight=weight)
    fewer = given._replace(edges=rebuilt, weight=weight[there])
    plain = fewer._replace(weight=None)
    out, expected = masked.call(kind, aggregate), fewer.call(kind, aggregate)
    upstream = torch.randn_like(out)
    assert torch.equal(out, expected)
    ours = gradients(out, masked, upstream)
    assert same(ours, gradients(expected, fewer, upstream))
    if ones:
        again = plain.call(kind, aggregate)
        assert torch.equal(out, again)
        assert same(ours, gradients(again, plain, upstream))

    learned, few_learned = (each._replace(weight=each.weight.requires_grad_()) for each in (masked, fewer))
    ours = gradients(learned.call(kind, aggregate), learned, upstream)
    theirs = gradients(few_learned.call(kind, aggregate), few_learned, upstream)
    assert same((ours[0], ours[1], ours[2][there], ours[3]), theirs)
    assert not ours[2][~there].any()


@every_op
def test_same_bits_every_time_on_any_number_of_threads(kind, aggregate, monkeypatch):
    monkeypatch.setattr(cpu, "WORK_PER_THREAD", 1)
    given = case(Shape(5, 66, "hub"), True, True, True).to(torch.float32)
    upstream = torch.randn_like(given.call(kind, aggregate))
    threads = torch.get_num_threads()
    for way in (given, *given.other_ways()):
        results = []
        try:
            for count in (1, 2, 2):
                torch.set_num_threads(count)
                out = way.call(kind, aggregate)
                results.append((out, *gradients(out, way, upstream)))
        finally:
            torch.set_num_threads(threads)
        assert all(same(results[0], again) for again in results[1:])


@every_op
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_come_through(kind, aggregate, bad):
    given = case(Shape(1, 4), True, False, True)
    given.x[3, 0, 1] = bad  # the second of three messages of node 3, among others
    given.boundary[5, 0, 2] = bad
    given = given.to(torch.float32)
    out, expected = given.call(kind, aggregate), given.define(kind, aggregate)
    assert_close(out, expected, equal_nan=True)
    upstream = torch.randn_like(out)
    for ours, theirs in zip(gradients(out, given, upstream), gradients(expected, given, upstream), strict=True):
        if math.isnan(bad):
            assert_close(ours, theirs, equal_nan=True)
        else:  # a difference of infinities may be NaN in one and absent in the other
            fine = ours.isfinite() & theirs.isfinite()
            assert_close(ours[fine], theirs[fine])


@every_op
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_stored_and_float32_computed(kind, aggregate, dtype):
    half = case(Shape(3, 34), True, True, True).to(dtype)
    single = half.to(torch.float32)
    expected = single.call(kind, aggregate)
    for way, other in zip((half, *half.other_ways()), (single, *single.other_ways()), strict=True):
        out = way.call(kind, aggregate)
        assert out.dtype == dtype
        assert torch.equal(out, expected.to(dtype))
        upstream = torch.randn_like(out)
        ours, theirs = gradients(out, way, upstream), gradients(other.call(kind, aggregate), other, upstream)
        assert same(ours, tuple(gradient.to(dtype) for gradient in theirs))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(single.call(kind, aggregate), expected)


@pytest.mark.parametrize("repeats", [1, 7])
def test_bfloat16_keeps_nan_and_rounds_to_even(repeats):
    """Of a sum that is no bfloat16 number; NaN whose low bits are lost must not become infinity. Also of whole blocks."""
    one = torch.tensor([1.0, 1 + 2**-7, math.nan, math.inf, 3e38]).repeat(repeats)
    other = torch.tensor([2.0**-8, 2.0**-8, 1, 1, 3e38]).repeat(repeats)
    x = torch.stack([torch.zeros_like(one), one, other])[:, None].bfloat16()
    out = propagate(x, torch.ones(1, len(one)).bfloat16(), edges_to_first(2))
    assert_close(out[0, 0], (x[1, 0].float() + x[2, 0].float()).bfloat16(), rtol=0, atol=0, equal_nan=True)


def test_relation_and_boundary_take_the_type_of_the_states():
    given = case(Shape(2, 4), bounded=True)
    mixed = given._replace(x=given.x.bfloat16())
    alike = Case(given.edges, *(None if tensor is None else tensor.bfloat16() for tensor in given[1:]))
    out = mixed.call("mul", "sum")
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, alike.call("mul", "sum"))


@every_aggregate
def test_any_memory_layout(aggregate):
    given = case(Shape(2, 6), False, True, True)
    x = torch.randn(8, 6, 4)[:, :, ::2].transpose(1, 2)
    check_message("rotate", aggregate, given._replace(x=x, weight=given.weight.repeat(2)[::2].contiguous().flip(0)))
    x = x.requires_grad_()
    out = propagate(x, given.relation, given.edges, aggregate=aggregate)
    with use_reference():
        expected = propagate(x, given.relation, given.edges, aggregate=aggregate)
    ours, theirs = (torch.autograd.grad(found.sum(), x)[0] for found in (out, expected))  # an expanded gradient
    assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("aggregate", ["sum", "pna"])
def test_gradients_that_nobody_wants(aggregate):
    given = case(Shape(2, 4), True, True, True).to(torch.float32)
    upstream = torch.randn_like(given.call("mul", aggregate))
    for way in (given, *given.other_ways()):
        whole = gradients(way.call("mul", aggregate), way, upstream)
        for place, name in enumerate(way.named_leaves()):
            alone = Case(way.edges, *(None if tensor is None else tensor.detach() for tensor in way[1:]))
            leaf = getattr(alone, name).requires_grad_()
            (found,) = torch.autograd.grad(alone.call("mul", aggregate), [leaf], upstream)
            assert_close(found, whole[place])


@every_op
def test_a_second_derivative_needs_the_reference(kind, aggregate):
    given = case(Shape(1, 2)).to(torch.float32)

    def second() -> Tensor:
        (first,) = torch.autograd.grad(given.call(kind, aggregate).square().sum(), given.x, create_graph=True)
        return torch.autograd.grad(first.square().sum(), given.relation)[0]

    with pytest.raises(RuntimeError, match="use_reference"):
        second()
    with use_reference():
        assert second().shape == given.relation.shape


@every_op
def test_double_precision_differentiates_twice(kind, aggregate):
    given = case(Shape(1, 2), False, False, True).to(torch.float64)
    weight = torch.rand(len(given.edges), dtype=torch.float64).add(0.5).requires_grad_()
    given = given._replace(weight=weight)

    def called(*leaves: Tensor) -> Tensor:
        return Case(given.edges, *leaves).call(kind, aggregate)

    assert gradcheck(called, given.leaves(), fast_mode=True)
    assert gradgradcheck(called, given.leaves(), fast_mode=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.ones(7, 2, 4)}, "8 nodes"),
        ({"relation": torch.ones(2, 4)}, "relations"),
        ({"weight": torch.ones(3)}, "10 edges"),
        ({"boundary": torch.ones(8, 1, 4)}, "boundary"),
    ],
)
def test_shapes_that_disagree(change, message):
    given = case(Shape(2, 4))._replace(**change)
    with pytest.raises(ValueError, match=message):
        unwrap(propagate)(given.x, given.relation, given.edges, given.weight, given.boundary)


def test_names_and_widths_that_there_are_not():
    given = case(Shape(2, 3))
    with pytest.raises(ValueError, match="one of mul"):
        unwrap(propagate)(given.x, given.relation, given.edges, message="div")
    with pytest.raises(ValueError, match="one of sum"):
        unwrap(propagate)(given.x, given.relation, given.edges, aggregate="median")
    with pytest.raises(ValueError, match="even width"):
        propagate(given.x, given.relation, given.edges, message="rotate")


@pytest.mark.parametrize("kind", ["mul", "add"])
@pytest.mark.parametrize("aggregate", ["sum", "mean", "max", "min"])
def test_equals_dgl(kind, aggregate):
    given = case(Shape(3, 7)).to(torch.float32)
    edges = given.edges
    graph = dgl.graph((edges.source, edges.target), num_nodes=edges.num_nodes)
    relation = given.relation[edges.relation].unsqueeze(1).expand(-1, 3, -1)  # of each edge
    expected = getattr(dgl.ops, f"u_{kind}_e_{aggregate}")(graph, given.x, relation)
    out = given.call(kind, aggregate)
    there = degrees(edges) > 0
    assert_close(out[there], expected[there])
    upstream = torch.randn_like(out) * there[:, None, None]
    assert_close(gradients(out, given, upstream), gradients(expected, given, upstream))


@pytest.mark.parametrize("kind", ["mul", "rotate"])
def test_weighted_sums_of_each_query_equal_dgl(kind):
    """A rotation is four real products."""
    edges = case(Shape(3, 8)).edges
    x, boundary = (torch.randn(edges.num_nodes, 3, 8, requires_grad=True) for _ in range(2))
    relation, weight = torch.randn(edges.num_relations, 3, 8, requires_grad=True), torch.rand(len(edges))
    weight[2] = 0
    weight.requires_grad_()
    graph = dgl.graph((edges.source, edges.target), num_nodes=edges.num_nodes)
    of_edges = weight[:, None, None] * relation[edges.relation]

    def add(ours: Tensor, theirs: Tensor) -> Tensor:
        return dgl.ops.u_mul_e_sum(graph, ours.contiguous(), theirs.contiguous())

    expected = add(x, of_edges)
    if kind == "rotate":
        (a, b), (c, d) = x.chunk(2, -1), of_edges.chunk(2, -1)
        expected = torch.cat([add(a, c) - add(b, d), add(a, d) + add(b, c)], -1)
    expected = expected + boundary
    out = propagate(x, relation, edges, weight, boundary, kind)
    assert_close(out, expected)
    upstream = torch.randn_like(out)
    leaves = x, relation, boundary
    assert_close(*(torch.autograd.grad(each, leaves, upstream, retain_graph=True) for each in (out, expected)))
    ours, theirs = (torch.autograd.grad(each, weight, upstream)[0] for each in (out, expected))
    present = weight != 0  # what is absent has no gradient here
    assert_close(ours[present], theirs[present])


PEAK = """
import resource, sys, torch
from gnnkg.ops.message import Adjacency, propagate

def step(num_nodes, num_edges, width):
    source, target = torch.randint(num_nodes, (num_edges,)), torch.randint(num_nodes, (num_edges,))
    edges = Adjacency.of(source, torch.zeros_like(source), target, num_nodes, 1)
    x, boundary = torch.randn(2, num_nodes, 2, width, requires_grad=True).unbind(0)
    relation = torch.randn(1, 2, width, requires_grad=True)
    weight = torch.ones(num_edges, requires_grad=True)
    for aggregate in ("sum", "pna"):
        propagate(x, relation, edges, weight, boundary, "mul", aggregate).sum().backward()

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

step(10, 10, 8)
before = peak()
step(500, 100_000, 512)
print(peak() - before)
"""


def test_ids_that_do_not_fit():
    nothing = torch.empty(0, dtype=torch.int64)
    with pytest.raises(ValueError, match="32 bits"):
        _ = Adjacency.of(nothing, nothing, nothing, num_nodes=1, num_relations=1, num_sources=2**31).small


def test_messages_are_never_stored():
    """100,000 edges of 1,024 components: 410 MB if they were; the states are 2 MB."""
    command = [sys.executable, "-c", PEAK]
    grown = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert grown < 100e6


def test_every_message_and_aggregate_is_tested():
    assert len(OPS) == len(MESSAGES) * len(AGGREGATES) == 15
