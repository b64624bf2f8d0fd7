from __future__ import annotations

import subprocess
import sys
from inspect import unwrap  # from the shape checks of the tests, which refuse these inputs first
from itertools import product

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from gnnkg.ops import cpu, matching
from gnnkg.ops.backends import use_reference
from gnnkg.ops.matching import Mix, OwnFirst, reference
from tests.ops.cases import (
    DISTANCES,
    FORMS,
    LAYOUTS,
    OPS,
    SHAPES,
    Shape,
    check_both,
    check_matching,
    check_own_first,
    gradients,
    inputs,
)

EMPTY = Shape(1, 3, 0, 2), Shape(1, 0, 3, 2), Shape(1, 3, 2, 0)

every_op = pytest.mark.parametrize("op", OPS)
every_distance = pytest.mark.parametrize("op", DISTANCES)
every_layout = pytest.mark.parametrize("layout", LAYOUTS)


@every_op
@pytest.mark.parametrize("layout", [*LAYOUTS, "group"])
def test_equals_the_definition(op: str, layout: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gnnkg.ops.matching.numba.MIN_GROUP", 8)  # so that these masks divide the units
    for shape in (*SHAPES, Shape(3, 123, 40, 6)):
        check_matching(op, inputs(op, shape, layout))


@every_layout
def test_squared_without_scale_is_the_squared_distance(layout: str):
    for shape in SHAPES:
        check_matching("squared", inputs("squared", shape, layout, scaled=False))
    query, tail = torch.randn(4, 3), torch.randn(1, 5, 3)
    assert_close(matching.squared(query, tail), torch.cdist(query, tail[0]).square())


@every_op
def test_tables_are_shared_by_consecutive_queries(op: str):
    given = inputs(op, Shape(3, 12, 5, 4))
    each = given._replace(tail=given.tail.repeat_interleave(4, dim=0))
    assert_close(given.call(matching, op), each.call(matching, op))


def test_products_with_tables_of_each_query():
    """Differentiable any number of times in float32 too, and under autocast."""
    query, tail = torch.randn(6, 5, requires_grad=True), torch.randn(6, 3, 5, requires_grad=True)

    def twice(out: torch.Tensor) -> tuple[torch.Tensor, ...]:
        first = torch.autograd.grad(out.square().sum(), (query, tail), create_graph=True)
        return *first, *torch.autograd.grad(sum(each.sin().sum() for each in first), (query, tail))

    with use_reference():
        expected = twice(matching.dot(query, tail))
    assert_close(twice(matching.dot(query, tail)), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = matching.dot(query, tail)
        assert half.dtype == torch.bfloat16
        assert_close(twice(half.float())[:2], expected[:2], rtol=0.1, atol=0.1)
    alone = torch.autograd.grad(matching.dot(query.detach(), tail).sum(), tail)
    assert_close(alone[0], query.detach().unsqueeze(1).expand(6, 3, 5))
    alone = torch.autograd.grad(matching.dot(query, tail.detach()).sum(), query)
    assert_close(alone[0], tail.detach().sum(1))
    together = torch.autograd.grad(matching.dot(query, tail).square().sum(), (query, tail))
    assert_close(together, expected[:2])


@every_op
@every_layout
def test_any_memory_layout(op: str, layout: str):
    given = inputs(op, Shape(2, 18, 20, 4), layout)
    query = given.query.t().contiguous().t()
    tail = torch.randn(2, 20, 2 * given.tail.shape[2])[:, :, ::2]
    gradient = given.gradient[:1].expand_as(given.gradient)
    mix = given.mix and given.mix._replace(own=given.mix.own.t().contiguous().t())
    if mix is not None and isinstance(mix.keep, torch.Tensor):
        mix = mix._replace(keep=mix.keep.transpose(0, -1).contiguous().transpose(0, -1))
    check_matching(op, given._replace(query=query, tail=tail, mix=mix, gradient=gradient))
    strided = matching.l1(query.requires_grad_(), tail)
    assert_close(torch.autograd.grad(strided.sum(), query), torch.autograd.grad(reference.l1(query, tail).sum(), query))


@every_op
@every_layout
@pytest.mark.parametrize("shape", [Shape(1, 3, 0, 2), Shape(1, 0, 4, 2), Shape(0, 0, 4, 2), Shape(2, 4, 3, 0)])
def test_empty(op: str, layout: str, shape: Shape):
    given = inputs(op, shape, layout).to(torch.float32)
    out = given.call(matching, op)
    assert out.shape == (shape.queries, shape.candidates)
    assert not out.any()
    for gradient, leaf in zip(gradients(out, given), given.leaves(), strict=True):
        assert gradient.shape == leaf.shape
        assert not gradient.any()


@every_distance
@pytest.mark.parametrize("queries", [2, 20])
def test_at_distance_zero(op: str, queries: int):
    """The kinks: a candidate that equals the query has the definition's derivative there, which is 0."""
    query = torch.randn(1, 6).expand(queries, 6).clone().requires_grad_()
    tail = query[:1].detach().unsqueeze(0).requires_grad_()
    out = getattr(matching, op)(query, tail)
    assert_close(out, getattr(reference, op)(query, tail))
    for gradient in torch.autograd.grad(out.sum(), (query, tail)):
        assert not gradient.any()


@every_op
@pytest.mark.parametrize("queries", [2, 20])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinity_come_through(op: str, queries: int, bad: float):
    given = inputs(op, Shape(1, queries, 19, 4))
    given.query[1, 2] = bad
    given.tail[0, 3, 1] = bad
    out = given.call(matching, op)
    assert_close(out, given.call(reference, op), equal_nan=True)
    assert not out[1].isfinite().any()
    assert not out[:, 3].isfinite().any()


@every_distance
@pytest.mark.parametrize("queries", [2, 18])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_bad_query_is_nobody_elses(op: str, queries: int, bad: float):
    """The other queries keep their gradients, to the last bit, and the candidates those of the other units."""
    good = inputs(op, Shape(1, queries, 19, 4)).to(torch.float32)
    broken = good.to(torch.float32)
    with torch.no_grad():
        broken.query[1, 2] = bad
    others, units = torch.arange(queries) != 1, torch.arange(good.query.shape[1]) % 4 != 2
    for one, other in zip(
        gradients(good.call(matching, op), good), gradients(broken.call(matching, op), broken), strict=True
    ):
        kept = (slice(None), slice(None), units) if one.dim() == 3 else others
        assert torch.equal(one[kept], other[kept])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("op", OPS)
def test_a_bad_query_is_nobody_elses_where_masks_are_drawn(op: str, form: str):
    """Nor a bad own tail, with whole fours of queries and without."""
    for queries, place, bad in product((2, 17, 20), ("query", "own"), (float("nan"), float("inf"))):
        good = inputs(op, Shape(1, queries, 19, 4), form).to(torch.float32)
        broken = good.to(torch.float32)
        with torch.no_grad():
            (broken.query if place == "query" else broken.mix.own)[1, 2] = bad
        others = torch.arange(queries) != 1
        out, broken_out = good.call(matching, op), broken.call(matching, op)
        assert torch.equal(out[others], broken_out[others])
        for one, other in zip(gradients(out, good), gradients(broken_out, broken), strict=True):
            if one.dim() == 2:
                assert torch.equal(one[others], other[others])


@pytest.mark.parametrize("queries", [2, 18])
def test_an_unknown_component_has_the_definitions_gradient(queries: int):
    for op in ("l1", "sine"):
        given = inputs(op, Shape(1, queries, 19, 4))
        given.query[1, 2] = torch.nan
        fast, exact = given.to(torch.float32), given.to(torch.float64)
        ours, theirs = (
            gradients(by.call(functions, op), by) for by, functions in ((fast, matching), (exact, reference))
        )
        assert_close(ours, theirs, equal_nan=True, check_dtype=False, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("queries", [3, 20])
def test_no_weight_is_a_weight_of_ones(queries: int):
    """Of both sums too, which no op asks for."""
    from gnnkg.ops.matching import numba

    query, tail, scale = torch.randn(queries, 6), torch.randn(1, 19, 6), torch.randn(queries, 6)
    gradient = torch.randn(2, queries, 19)
    for op, factor in (("l1", None), ("modulus", None), ("squared", scale), ("sine", None)):
        ones = torch.ones(queries, 3 if op == "modulus" else 6)
        for both in (False, True):
            weights = (None, None), (ones, None), (ones, query)
            given = [(op, numba.Form(both), query, factor, tail, *each, None) for each in weights]
            outs = [numba.forward(*each) for each in given]
            assert_close(outs[0], outs[1])
            assert_close(outs[0], outs[2])
            found = [numba.backward(*each, *gradient[: 1 + both]) for each in given]
            for plain, *others in zip(*(each[:3] for each in found), strict=True):
                for other in others:
                    assert (plain is None) == (other is None)
                    if plain is not None:
                        assert_close(plain, other)
            assert not found[2][4].any()  # nothing is lost to own tails


@every_op
@pytest.mark.parametrize("layout", [*LAYOUTS[1:], "group"])
def test_both_equal_the_op_without_and_with_the_mix(op: str, layout: str, monkeypatch: pytest.MonkeyPatch):
    """Values, and the gradients of the two together and of one of them alone."""
    monkeypatch.setattr("gnnkg.ops.matching.numba.MIN_GROUP", 8)
    for shape in (
        *SHAPES,
        Shape(1, 64, 20, 6),
        Shape(1, 70, 300, 7),
        Shape(3, 123, 40, 6),
        Shape(1, 3, 0, 2),
        Shape(2, 4, 3, 0),
    ):
        check_both(op, inputs(op, shape, layout))


@every_op
@pytest.mark.parametrize("layout", [*LAYOUTS, "group"])
@pytest.mark.parametrize("margin", [None, 9.0])
def test_own_tails_first_and_a_margin(op: str, layout: str, margin: float | None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gnnkg.ops.matching.numba.MIN_GROUP", 8)
    if op == "dot" and margin is not None:
        pytest.skip("products have none")
    for shape in (Shape(1, 5, 7, 6), Shape(6, 6, 3, 5), Shape(1, 70, 300, 7), Shape(3, 123, 40, 6), *EMPTY):
        check_own_first(op, inputs(op, shape, layout), margin)


@every_op
@pytest.mark.parametrize("layout", ["query", "both"])
@pytest.mark.parametrize("tables", [1, 40])
def test_gradients_are_read_where_they_lie(op: str, layout: str, tables: int):
    """Expanded, transposed, and as columns or rows of something larger."""
    given = inputs(op, Shape(tables, 40, 30, 4), layout).to(torch.float32)
    out, leaves = given.call(matching, op), given.leaves()
    dense = torch.randn(40, 30)
    wide, tall = torch.zeros(40, 37), torch.zeros(80, 30)
    wide[:, 5:35], tall[::2] = dense, dense
    for gradient in (
        wide[:, 5:35],
        tall[::2],
        dense.t().contiguous().t(),
        torch.ones(()).expand(40, 30),
        dense[:1].expand(40, 30),
    ):
        ours, theirs = (
            torch.autograd.grad(out, leaves, each, retain_graph=True) for each in (gradient, gradient.contiguous())
        )
        assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@every_op
@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("least", [8, 64])
def test_both_where_a_mask_keeps_all_or_nothing(op: str, value: float, least: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gnnkg.ops.matching.numba.MIN_GROUP", least)
    given = inputs(op, Shape(1, 64, 5, 6), "group")
    keep = given.mix.keep.clone()
    keep[0] = value
    check_both(op, given._replace(mix=given.mix._replace(keep=keep)))


@pytest.mark.parametrize("scores", [1, 100, 300])
def test_products_of_divided_masks_in_blocks(scores: int, monkeypatch: pytest.MonkeyPatch):
    """Of a query each; of five, which do not divide those of a mask; and of as many as share one or fewer."""
    monkeypatch.setattr("gnnkg.ops.matching.products.BLOCK", scores)
    given = inputs("dot", Shape(1, 70, 20, 6), "group")
    assert len(given.mix.keep) == 3
    check_both("dot", given)
    check_own_first("dot", given, None)


def test_both_products_show_a_query_that_is_no_number():
    given = inputs("dot", Shape(1, 64, 5, 6), "group")
    given.query[1, 2] = float("nan")
    for out in matching.both("dot", given.query, given.tail, given.mix):
        assert out[1].isnan().all()
        assert out[2:].isfinite().all()


def test_what_both_refuse():
    query, tail = torch.randn(4, 6), torch.randn(1, 3, 6)
    with pytest.raises(ValueError, match="takes no scale"):
        matching.both("l1", query, tail, Mix(query, torch.ones(4, 6)), torch.ones(4, 6))
    with pytest.raises(ValueError, match=r"mix\.keep"):
        unwrap(matching.both)("l1", query, tail, Mix(query, torch.ones(8, 6)))
    with pytest.raises(ValueError, match="8 masks cannot serve 4 queries"):
        unwrap(matching.mutated)(tail, Mix(query, torch.ones(8, 6)))
    with pytest.raises(ValueError, match="even width"):
        matching.both("modulus", query[:, :3], tail[..., :3], Mix(query[:, :3], torch.ones(4, 3)))


@pytest.mark.parametrize("own_first", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_both_products_differentiate_twice(own_first: bool, transposed: bool):
    """Of inputs that are not contiguous too."""
    given = inputs("dot", Shape(1, 64, 5, 6), "group").to(torch.float32)
    leader = torch.randn(64, 6)
    if transposed:
        query, tail, own, leader = (
            x.detach().transpose(-1, -2).contiguous().transpose(-1, -2).requires_grad_()
            for x in (given.query, given.tail, given.mix.own, leader)
        )
        given = given._replace(query=query, tail=tail, mix=given.mix._replace(own=own))
    leaves = [*given.leaves(), *([leader.requires_grad_()] if own_first else [])]
    candidates = OwnFirst(leader, given.tail) if own_first else given.tail

    def twice(outs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        loss = sum(out.sin().sum() * (number + 1) for number, out in enumerate(outs))
        first = torch.autograd.grad(loss, leaves, create_graph=True, materialize_grads=True)
        return *first, *torch.autograd.grad(sum(each.sin().sum() for each in first), leaves, materialize_grads=True)

    expected = twice(reference.both("dot", given.query, candidates, given.mix))
    assert_close(twice(matching.both("dot", given.query, candidates, given.mix)), expected, rtol=1e-3, atol=1e-3)
    if own_first:
        expected = twice((reference.dot(given.query, OwnFirst(leader, given.tail)),) * 2)
        assert_close(
            twice((matching.dot(given.query, OwnFirst(leader, given.tail)),) * 2), expected, rtol=1e-3, atol=1e-3
        )


@pytest.mark.parametrize(("op", "layout"), [*product(DISTANCES, LAYOUTS), *(("dot", form) for form in FORMS)])
@pytest.mark.parametrize("tables", [1, 40])
def test_same_bits_every_time_on_any_number_of_threads(op: str, layout: str, tables: int, monkeypatch):
    monkeypatch.setattr(cpu, "WORK_PER_THREAD", 1)
    given = inputs(op, Shape(tables, 40, 300, 21), layout).to(torch.float32)
    results, threads = [], torch.get_num_threads()
    try:
        for count in (1, 2, 2, 1):
            torch.set_num_threads(count)
            out = given.call(matching, op)
            results.append((out, *gradients(out, given)))
    finally:
        torch.set_num_threads(threads)
    for again in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], again, strict=True))


@every_distance
def test_scores_do_not_depend_on_how_many_queries_share_a_table(op: str):
    given = inputs(op, Shape(1, 64, 300, 21), scaled=False)
    together = given.call(matching, op)
    apart = [given._replace(query=part).call(matching, op) for part in given.query.split(8)]
    assert torch.equal(together, torch.cat(apart))


@every_distance
@pytest.mark.parametrize("transposed", [False, True])
def test_a_second_derivative_needs_the_reference(op: str, transposed: bool):
    query, tail = torch.randn(3, 4, requires_grad=True), torch.randn(1, 2, 4, requires_grad=True)
    if transposed:
        query = torch.randn(4, 3).t().requires_grad_()

    def second() -> torch.Tensor:
        (first,) = torch.autograd.grad(getattr(matching, op)(query, tail).sum(), query, create_graph=True)
        return torch.autograd.grad(first.square().sum(), tail)[0]

    with pytest.raises(RuntimeError, match="use_reference"):
        second()
    with use_reference():
        assert second().shape == tail.shape


@every_op
@every_layout
def test_double_precision_differentiates_twice(op: str, layout: str):
    given = inputs(op, Shape(2, 4, 3, 2), layout).to(torch.float64)

    def called(*leaves: torch.Tensor) -> torch.Tensor:
        query, tail, *rest = leaves
        mix = given.mix and Mix(rest[0], given.mix.keep)
        return given._replace(query=query, tail=tail, mix=mix, scale=rest[-1] if op == "squared" else None).call(
            matching, op
        )

    assert gradcheck(called, given.leaves())
    assert gradgradcheck(called, given.leaves())


@every_op
def test_a_mask_of_fractions_is_the_references_and_dots(op: str):
    given = inputs(op, Shape(1, 3, 4, 2), "query")
    given = given._replace(mix=given.mix._replace(keep=given.mix.keep * 0.5))
    if op == "dot":
        check_matching(op, given)
    else:
        with pytest.raises(ValueError, match="zeros and ones"):
            given.call(matching, op)
        with use_reference():
            assert given.call(matching, op).shape == (3, 4)


def test_masks_that_the_kernels_cannot_take():
    query, tail = torch.randn(2, 4), torch.randn(1, 3, 4)
    with pytest.raises(ValueError, match="requires a gradient"):
        matching.l1(query, tail, Mix(query, torch.ones(2, 4, requires_grad=True)))
    with pytest.raises(ValueError, match="half of every complex number"):
        matching.modulus(query, tail, Mix(query, torch.tensor([1.0, 0, 0, 1]).expand(2, 4)))


@pytest.mark.parametrize(
    ("query", "tail", "mix", "message"),
    [
        ((2, 4), (1, 3, 5), None, "candidates"),
        ((2, 4), (3, 5, 4), None, "S must divide B"),
        ((2, 4), (0, 5, 4), None, "S must divide B"),
        ((2, 4), (1, 3, 4), ((2, 3), (2, 4)), "mix.own"),
        ((2, 4), (1, 3, 4), ((2, 4), (3, 4)), "mix.keep"),
    ],
)
@every_op
def test_shapes_that_disagree(op: str, query, tail, mix, message: str):
    given = None if mix is None else Mix(torch.ones(mix[0]), torch.ones(mix[1]))
    with pytest.raises(ValueError, match=message):
        unwrap(getattr(matching, op))(torch.ones(query), torch.ones(tail), given)


def test_a_complex_vector_has_an_even_width():
    with pytest.raises(ValueError, match="even width"):
        matching.modulus(torch.ones(2, 3), torch.ones(1, 2, 3))
    with pytest.raises(ValueError, match="scale"):
        unwrap(matching.squared)(torch.ones(2, 3), torch.ones(1, 2, 3), None, torch.ones(1, 3))


@every_distance
@every_layout
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_stored_and_float32_computed(op: str, layout: str, dtype: torch.dtype):
    half = inputs(op, Shape(1, 20, 30, 8), layout).to(dtype)
    single = half.to(torch.float32)
    out = half.call(matching, op)
    assert torch.equal(out, single.call(matching, op))
    for ours, theirs in zip(gradients(out, half), gradients(single.call(matching, op), single), strict=True):
        assert ours.dtype == dtype
        assert_close(ours.float(), theirs, rtol=0.02, atol=0.02)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(single.call(matching, op), out)


PEAK = """
import resource, sys, torch
from gnnkg.ops import matching
from gnnkg.ops.matching import Drawn, Mix

def step(size, width):
    query, own, tail = (torch.randn(s, width, requires_grad=True) for s in (size, size, size))
    for op in ("dot", "l1", "squared", "modulus", "sine"):
        for keep in (torch.ones(size, width), torch.ones(1, size, width), Drawn(0.5, 1)):
            getattr(matching, op)(query, tail.unsqueeze(0), Mix(own, keep)).sum().backward()

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

step(32, 8)
before = peak()
step(256, 2048)
print(peak() - before)
"""


def test_mutated_candidates_are_never_stored():
    """256 queries x 256 candidates x 2048 components: 537 MB if they were; the inputs are 2 MB each."""
    command = [sys.executable, "-c", PEAK]
    grown = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert grown < 100e6
