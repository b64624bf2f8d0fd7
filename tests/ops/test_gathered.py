from __future__ import annotations

import math
from inspect import unwrap  # from the shape checks of the tests, which refuse these inputs first
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from gnnkg.ops import cpu, matching
from gnnkg.ops.backends import use_reference
from gnnkg.ops.matching import Drawn, Gathered, Mix, Mixture, Turns, candidates_of, reference
from tests.ops.cases import DISTANCES, FORMS, OPS

SHAPES = [
    (1, 1, 1, 1),
    (5, 7, 9, 3),
    (4, 3, 30, 16),
    (6, 2, 5, 17),
    (3, 40, 8, 33),
    (7, 1, 4, 50),
]  # queries, candidates, rows, units
every_op = pytest.mark.parametrize("op", OPS)
every_distance = pytest.mark.parametrize("op", DISTANCES)
mixed_or_not = pytest.mark.parametrize("mixed", [False, True])


def match(op: str, query: Tensor, rows: Gathered, scale: Tensor | None = None, mix: Mix | None = None) -> Tensor:
    return getattr(matching, op)(query, rows, mix, *(() if scale is None else (scale,)))


Given = tuple[Tensor, Tensor, Tensor, Tensor | None, Mixture | None]


def given_to(op: str, shape: tuple[int, int, int, int], mixed: bool = False) -> Given:
    """query, table, ids, scale, mixture"""
    queries, candidates, num_rows, units = shape
    width = 2 * units if op == "modulus" else units
    spread = 8 if op == "sine" else 1  # more than a turn
    query, table = torch.randn(queries, width) * spread, torch.randn(num_rows, width) * spread
    ids = torch.randint(num_rows, (queries, candidates))
    mixture = None
    if mixed:
        share = torch.rand(queries, candidates)
        share[0, 0] = 1.0
        turns = Turns(2 * math.pi, width) if op == "sine" else None
        mixture = Mixture(torch.randint(num_rows, ids.shape), share, turns)
    return query, table, ids, torch.randn(queries, width) if op == "squared" else None, mixture


def found(op: str, given: Given, dtype: torch.dtype, gradient: Tensor | None = None) -> list[Tensor]:
    """The sums and their gradients."""
    query, table, ids, scale, mixture = given
    leaves = [each.detach().to(dtype).requires_grad_() for each in (query, table, *([] if scale is None else [scale]))]
    out = match(op, leaves[0], Gathered(leaves[1], ids, mixture), *leaves[2:])
    if gradient is None:
        gradient = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    return [out, *torch.autograd.grad(out, leaves, gradient.to(dtype))]


@every_op
@mixed_or_not
def test_equals_the_definition(op: str, mixed: bool) -> None:
    for shape in SHAPES:
        given = given_to(op, shape, mixed)
        fast, exact = (found(op, given, dtype) for dtype in (torch.float32, torch.float64))
        for ours, theirs in zip(fast, exact, strict=True):
            assert ours.dtype == torch.float32
            assert_close(ours, theirs, rtol=1e-4, atol=3e-4, check_dtype=False)


@every_op
@mixed_or_not
def test_the_definition_is_the_op_of_stored_candidates(op: str, mixed: bool) -> None:
    query, table, ids, scale, mixture = given_to(op, (5, 7, 9, 3), mixed)
    stored = table[ids]
    if mixture is not None:
        theirs = table[mixture.second]
        if op == "sine":
            theirs = theirs - 2 * math.pi * torch.round((theirs - stored) / (2 * math.pi))
        stored = mixture.share.unsqueeze(2) * stored + (1 - mixture.share).unsqueeze(2) * theirs
    rows = Gathered(table, ids, mixture)
    assert_close(rows.read(), stored)
    arguments = (query, stored) if scale is None else (query, stored, None, scale)
    assert_close(match(op, query, rows, scale), getattr(matching, op)(*arguments), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("op", "mixed"), [*((op, False) for op in OPS), *((op, True) for op in DISTANCES)])
def test_candidates_are_not_stored(op: str, mixed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of mixtures are mixtures of products, which nobody asks of the op."""
    monkeypatch.setattr(Gathered, "read", lambda self: pytest.fail("stored"))
    found(op, given_to(op, (5, 7, 9, 3), mixed), torch.float32)


def test_squared_without_scale() -> None:
    query, table, ids, _, _ = given_to("l1", (5, 7, 9, 3))
    assert_close(match("squared", query, Gathered(table, ids)), (query.unsqueeze(1) - table[ids]).square().sum(2))


@pytest.mark.parametrize("phases", [0, 3, 6])
@every_distance
def test_phases_among_the_columns(op: str, phases: int) -> None:
    """Where only some columns turn the definition serves, and none does."""
    query, table, ids, scale, mixture = given_to(op, (5, 4, 9, 3 if op == "modulus" else 6), mixed=True)
    assert mixture is not None
    mixture = mixture._replace(turns=Turns(1.5, phases))
    given = query, table, ids, scale, mixture
    assert_close(
        found(op, given, torch.float32), found(op, given, torch.float64), rtol=1e-4, atol=1e-4, check_dtype=False
    )


@every_distance
@mixed_or_not
def test_at_distance_zero(op: str, mixed: bool) -> None:
    """The kinks: a candidate that equals the query has the definition's derivative there, which is 0."""
    query = torch.randn(1, 6).expand(4, 6).clone().requires_grad_()
    table, ids = query[:1].detach().expand(3, 6).clone().requires_grad_(), torch.randint(3, (4, 5))
    mixture = Mixture(ids.flip(1), torch.full((4, 5), 0.5)) if mixed else None
    for gradient in torch.autograd.grad(match(op, query, Gathered(table, ids, mixture)).sum(), (query, table)):
        assert not gradient.any()


@every_op
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinity_come_through(op: str, bad: float) -> None:
    query, table, ids, scale, _ = given_to(op, (5, 7, 9, 4))
    query[1, 2] = bad
    table[3, 1] = bad
    ids[:, 2] = 3
    rows = Gathered(table, ids)
    out = match(op, query, rows, scale)
    with use_reference():
        assert_close(out, match(op, query, rows, scale), equal_nan=True)
    assert not out[1].isfinite().any()
    assert not out[:, 2].isfinite().any()


@every_op
@mixed_or_not
def test_any_memory_layout(op: str, mixed: bool) -> None:
    query, table, ids, scale, mixture = given_to(op, (5, 7, 9, 4), mixed)
    wide = torch.randn(9, 2 * table.shape[1])
    wide[:, ::2] = table
    strided = (
        query.t().contiguous().t(),
        wide[:, ::2],
        ids.t().contiguous().t(),
        None if scale is None else scale.t().contiguous().t(),
        mixture and mixture._replace(share=mixture.share.t().contiguous().t()),
    )
    gradient = torch.randn(1, 7).expand(5, 7)
    plain = found(op, (query, table, ids, scale, mixture), torch.float32, gradient.contiguous())
    leaves = strided[0].requires_grad_(), strided[1].requires_grad_()
    out = match(op, leaves[0], Gathered(leaves[1], strided[2], strided[4]), strided[3])
    assert_close([out, *torch.autograd.grad(out, leaves, gradient)], plain[:3])


@every_op
@pytest.mark.parametrize("masks", ["query", "both"])
def test_any_memory_layout_of_what_is_mutated(op: str, masks: str) -> None:
    query, table, ids, scale, mixture = given_to(op, (5, 7, 9, 6))
    keep = Drawn(0.4, 3) if masks == "both" else torch.randint(2, (5, 1)).float().expand_as(query)
    own = torch.randn_like(query)
    plain = mutated_sums(op, (query, table, ids, scale, mixture), Mix(own, keep), torch.float32)

    def turned(x: Tensor) -> Tensor:
        return x.detach().t().contiguous().t()

    for number in range(3):
        some = [turned(x) if place == number else x.detach() for place, x in enumerate((query, own, table))]
        given = some[0], some[2], ids, None if scale is None else turned(scale), mixture
        assert_close(mutated_sums(op, given, Mix(some[1], keep), torch.float32), plain)


@every_op
@pytest.mark.parametrize("tables", [1, 2])
def test_rows_that_queries_share(op: str, tables: int) -> None:
    query, table, ids, scale, _ = given_to(op, (4, 7, 9, 6))
    mix = Mix(torch.randn_like(query), Drawn(0.4, 3))
    rows, stored = Gathered(table, ids[:tables]), table[ids[:tables]]
    more = () if scale is None else (scale,)
    for each in (None, mix):
        assert_close(match(op, query, rows, scale, each), getattr(matching, op)(query, stored, each, *more))


@every_op
@pytest.mark.parametrize("shape", [(3, 0, 4, 2), (0, 4, 4, 2), (3, 4, 5, 0)])
def test_empty(op: str, shape: tuple[int, int, int, int]) -> None:
    for each in found(op, given_to(op, shape), torch.float32):
        assert not each.any()


@every_op
@mixed_or_not
def test_the_number_of_threads_changes_no_bit(op: str, mixed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    given = given_to(op, (40, 6, 90, 50), mixed)
    one = found(op, given, torch.float32)
    monkeypatch.setattr(cpu, "WORK_PER_THREAD", 1)
    assert all(torch.equal(a, b) for a, b in zip(one, found(op, given, torch.float32), strict=True))


@pytest.mark.parametrize("strided", [False, True])
def test_products_are_differentiable_any_number_of_times(strided: bool) -> None:
    query, table, ids, _, _ = given_to("dot", (5, 7, 9, 3))
    leaves = query.requires_grad_(), table.requires_grad_()
    if strided:
        query, table = query.t().contiguous().t(), table.t().contiguous().t()

    def twice() -> list[Tensor]:
        out = match("dot", query, Gathered(table, ids))
        first = torch.autograd.grad(out.square().sum(), leaves, create_graph=True)
        second = torch.autograd.grad(sum(each.sin().sum() for each in first), leaves, create_graph=True)
        return [out, *first, *second, *torch.autograd.grad(sum(each.cos().sum() for each in second), leaves)]

    with use_reference():
        expected = twice()
    assert_close(twice(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("mutated", [False, True])
@every_distance
def test_by_the_weights_of_sums_too_they_differentiate_once(op: str, mutated: bool) -> None:
    query, table, ids, scale, _ = given_to(op, (5, 7, 9, 3))
    query.requires_grad_()
    weight = torch.randn(5, 7, requires_grad=True)
    mix = Mix(torch.randn_like(query), Drawn(0.5, 1)) if mutated else None
    out = match(op, query, Gathered(table, ids), scale, mix)
    (gradient,) = torch.autograd.grad((weight * out).sum(), query, create_graph=True)
    with pytest.raises(RuntimeError, match="use_reference"):
        torch.autograd.grad(gradient.square().sum(), weight)


@every_distance
def test_distances_say_that_they_differentiate_once(op: str) -> None:
    query, table, ids, scale, _ = given_to(op, (5, 7, 9, 3))
    query.requires_grad_()
    (gradient,) = torch.autograd.grad(
        match(op, query, Gathered(table, ids), scale).square().sum(), query, create_graph=True
    )
    with pytest.raises(RuntimeError, match="use_reference"):
        gradient.sum().backward()


def test_where_the_definition_serves() -> None:
    query, table, ids, _, _ = given_to("l1", (5, 7, 9, 3))
    rows = Gathered(table, ids)
    expected = match("l1", query, rows)
    assert_close(match("l1", query.double(), Gathered(table.double(), ids)).float(), expected)
    assert_close(match("l1", query.bfloat16(), Gathered(table.bfloat16(), ids)).float(), expected, rtol=0.05, atol=0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert match("dot", query, rows).dtype == torch.bfloat16


def test_reading() -> None:
    """Twice the same tensor; but one that has a gradient only where gradients are wanted."""
    table, ids = torch.randn(9, 4, requires_grad=True), torch.randint(9, (5, 3))
    rows = Gathered(table, ids)
    with torch.no_grad():
        assert not rows.read().requires_grad
    assert rows.read().requires_grad
    assert rows.read() is rows.read()


@mixed_or_not
def test_columns_and_halves(mixed: bool) -> None:
    _, table, ids, _, mixture = given_to("sine", (5, 7, 9, 6), mixed)
    for phases in (2, 3, 5):
        mixture = mixture and mixture._replace(turns=Turns(2.5, phases))
        rows = Gathered(table, ids, mixture)
        assert rows.shape == rows.read().shape
        chosen = torch.tensor([4, 0, 4])
        assert_close(rows.of_columns(chosen).read(), rows.read()[:, chosen])
        first, second = rows.halves()
        assert_close(first.read(), rows.read()[..., :3])
        assert_close(second.read(), rows.read()[..., 3:])
        assert_close((first * 3).read(), 3 * rows.read()[..., :3])
        assert_close((first * 3).halves()[1].read(), 3 * rows.read()[..., 2:3])


@every_op
@mixed_or_not
def test_rows_times_a_factor(op: str, mixed: bool) -> None:
    query, table, ids, scale, mixture = given_to(op, (5, 7, 9, 6), mixed)
    leaves = query.requires_grad_(), table.requires_grad_()
    rows = Gathered(table, ids, mixture) * 0.5 * 3
    assert_close(rows.read(), 1.5 * Gathered(table, ids, mixture).read())
    out = match(op, query, Gathered(table, ids, mixture, 1.5), scale)
    with use_reference():
        expected = match(op, query, Gathered(table, ids, mixture, 1.5), scale)
    gradient = torch.randn_like(out)
    assert_close(out, expected, rtol=1e-4, atol=1e-4)
    ours, theirs = (torch.autograd.grad(each, leaves, gradient) for each in (out, expected))
    assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def mutated_sums(op: str, given: Given, mix: Mix, dtype: torch.dtype) -> list[Tensor]:
    """The sums with a mix, and both, with gradients that flow through one or the other or the two."""
    query, table, ids, scale, _ = given
    leaves = [each.to(dtype).requires_grad_() for each in (query, table, mix.own, *([] if scale is None else [scale]))]
    rows, other = Gathered(leaves[1], ids, factor=0.5), None if scale is None else leaves[3]
    mix = Mix(leaves[2], mix.keep if isinstance(mix.keep, Drawn) else mix.keep.to(dtype))
    bare, mutated = matching.both(op, leaves[0], rows, mix, other)
    alone = match(op, leaves[0], rows, other, mix)
    upstream = torch.randn(2, *ids.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    sums = [bare, mutated, alone]
    for outs in ((bare,), (mutated,), (bare, mutated), (alone,)):
        weights = list(upstream[: len(outs)])
        sums += torch.autograd.grad(outs, leaves, weights, True, allow_unused=True, materialize_grads=True)
    return sums


@pytest.mark.parametrize("masks", ["query", "group", *FORMS])
@every_op
def test_mutated_rows_equal_the_definition(op: str, masks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for shape in SHAPES:
        given = given_to(op, shape)
        query = given[0]
        if masks in FORMS:
            keep = Drawn(0.4, int(torch.randint(2**62, ())), masks)
        else:
            keep = torch.randint(2, (len(query) if masks == "query" else 1, shape[3])).float()
            keep = torch.cat([keep, keep], 1) if op == "modulus" else keep
        mix = Mix(torch.randn_like(query) * (8 if op == "sine" else 1), keep)
        exact = mutated_sums(op, given, mix, torch.float64)
        with monkeypatch.context() as patch:
            patch.setattr(Gathered, "read", lambda self: pytest.fail("stored"))
            fast = mutated_sums(op, given, mix, torch.float32)
        assert all(each.dtype == torch.float32 for each in fast)
        assert_close(fast, exact, rtol=1e-4, atol=3e-4, check_dtype=False)


@every_op
@pytest.mark.parametrize("masks", ["query", "both"])
def test_of_mutated_rows_too_the_number_of_threads_changes_no_bit(
    op: str, masks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = given_to(op, (40, 6, 90, 50))
    query = given[0]
    keep = Drawn(0.4, 3) if masks == "both" else torch.ones_like(query).tril()[:, :1].expand_as(query)
    mix = Mix(torch.randn_like(query), keep)
    one = mutated_sums(op, given, mix, torch.float32)
    monkeypatch.setattr(cpu, "WORK_PER_THREAD", 1)
    assert all(torch.equal(a, b) for a, b in zip(one, mutated_sums(op, given, mix, torch.float32), strict=True))


def test_masks_of_candidates_are_served_by_stored_ones() -> None:
    for op in OPS:
        query, table, ids, _, mixture = given_to(op, (4, 7, 9, 6), mixed=True)
        mix = Mix(torch.randn_like(query), torch.randint(2, (4, 7, 1)).float().expand(4, 7, query.shape[1]))
        for rows in (Gathered(table, ids), Gathered(table, ids, mixture)):
            expected = getattr(reference, op)(query, rows.read(), mix)
            assert_close(match(op, query, rows, mix=mix), expected, rtol=1e-4, atol=1e-4)
            assert_close(matching.both(op, query, rows, mix)[1], expected, rtol=1e-4, atol=1e-4)


def test_a_table_without_a_gradient() -> None:
    for op in OPS:
        query, table, ids, scale, _ = given_to(op, (5, 7, 9, 4))
        query.requires_grad_()
        rows = Gathered(table, ids)
        assert_close(
            torch.autograd.grad(match(op, query, rows, scale).sum(), query),
            torch.autograd.grad(match(op, query, Gathered(table.requires_grad_(), ids), scale).sum(), query),
        )


def test_when_rows_are_matched_in_place() -> None:
    """Each query has its own, and there are as many candidates as rows or no gradient is asked for."""
    table = torch.randn(12, 2, requires_grad=True)
    own, few, shared = torch.zeros(4, 3).long(), torch.zeros(4, 2).long(), torch.zeros(2, 30).long()
    assert isinstance(candidates_of(table, own, 4), Gathered)
    assert candidates_of(table, few, 4) is None
    assert candidates_of(table, shared, 4) is None
    with torch.no_grad():
        found = candidates_of(table, few, 4)
        assert candidates_of(table, shared, 4) is None
    assert found is not None
    assert not found.table.requires_grad


@pytest.mark.parametrize("wrong", [-1, 9])
@mixed_or_not
def test_ids_of_no_row(wrong: int, mixed: bool) -> None:
    query, table, ids, _, mixture = given_to("l1", (5, 7, 9, 3), mixed)
    (ids if mixture is None else mixture.second)[2, 1] = wrong
    with pytest.raises(IndexError, match=rf"\[0, 9\), but there is {wrong}"):
        match("l1", query, Gathered(table, ids, mixture))


def test_wrong_shapes() -> None:
    query, table, ids, _, _ = given_to("l1", (5, 7, 9, 3))
    unchecked = unwrap(matching.l1)
    for wrong in (Gathered(table, ids[:4]), Gathered(table[:, :2], ids)):
        with pytest.raises(ValueError, match=r"S must divide B|expected queries \(B, D\)"):
            unchecked(query, wrong)
    with pytest.raises(ValueError, match="even width"):
        matching.modulus(query, Gathered(table, ids))
    share = torch.rand(ids.shape)
    for wrong in (Mixture(ids[:, :1], share), Mixture(ids, share[:4])):
        with pytest.raises(ValueError, match="in the shape of the ids"):
            Gathered(table, ids, wrong)
