from __future__ import annotations

import inspect
import math

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from gnnkg.ops import cpu
from gnnkg.ops.backends import use_reference
from gnnkg.ops.blend import blend, reference

SHAPES = [(1, 1, 2, 1), (5, 3, 6, 4), (7, 9, 34, 3), (3, 2, 2, 7)]  # queries, candidates, width, columns left


def inputs(shape: tuple[int, int, int, int], tables: int | None = None) -> tuple[Tensor, ...]:
    queries, candidates, width, left = shape
    own, tail = torch.randn(queries, width), torch.randn(tables or queries, candidates, width)
    first = torch.randint(1 + candidates, (left,))
    second, share = torch.randint(1 + candidates, (queries, left)), torch.rand(queries, left)
    share[0, 0] = 1.0
    return own, tail, first, second, share


def value_and_gradients(function, given: tuple[Tensor, ...], period: float | None, dtype: torch.dtype) -> list[Tensor]:
    own, tail, first, second, share = given
    own, tail = own.to(dtype).requires_grad_(), tail.to(dtype).requires_grad_()
    out = function(own, tail, first, second, share.to(dtype), period)
    upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    return [out, *torch.autograd.grad(out, [own, tail], upstream)]


@pytest.mark.parametrize("period", [None, 1.5])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_definition(shape: tuple[int, int, int, int], period: float | None) -> None:
    given = inputs(shape)
    fast = value_and_gradients(blend, given, period, torch.float32)
    exact = value_and_gradients(reference.blend, given, period, torch.float64)
    for ours, theirs in zip(fast, exact, strict=True):
        assert ours.dtype == torch.float32
        assert_close(ours, theirs, rtol=1e-4, atol=1e-4, check_dtype=False)


def test_the_definition_is_the_formula() -> None:
    own, tail, first, second, share = inputs((6, 5, 4, 3), tables=2)
    mixed = blend(own, tail, first, second, share, period=2.0)
    for b in range(6):
        columns = [own[b], *tail[b // 3]]
        for x in range(3):
            ours, theirs, kept = columns[int(first[x])], columns[int(second[b, x])], float(share[b, x])
            for d in range(4):
                mine, other = float(ours[d]), float(theirs[d])
                if d < 2:
                    other = min((other + 2.0 * turn for turn in range(-9, 10)), key=lambda v: abs(v - mine))
                assert float(mixed[b, x, d]) == pytest.approx(kept * mine + (1 - kept) * other, abs=1e-5)


def test_a_share_of_1_is_the_column_itself() -> None:
    own, tail, first, second, share = inputs((5, 3, 6, 4))
    tail[0] = math.pi * 1e20  # a difference would lose it
    columns = torch.cat([own.unsqueeze(1), tail], 1)
    for period in (None, 0.7):
        assert torch.equal(blend(own, tail, first, second, torch.ones_like(share), period), columns[:, first])


@pytest.mark.parametrize("period", [None, 9.0])
def test_double_precision_differentiates_twice(period: float | None) -> None:
    own, tail, first, second, share = inputs((3, 2, 4, 3))
    leaves = own.double().requires_grad_(), tail.double().requires_grad_()

    def function(own: Tensor, tail: Tensor) -> Tensor:
        return blend(own, tail, first, second, share.double(), period)

    assert gradcheck(function, leaves)
    assert gradgradcheck(function, leaves)


def test_the_fused_one_says_that_it_differentiates_once() -> None:
    own, tail, first, second, share = inputs((3, 2, 4, 3))
    own.requires_grad_()
    out = blend(own, tail, first, second, share)
    (gradient,) = torch.autograd.grad(out.square().sum(), own, create_graph=True)
    with pytest.raises(RuntimeError, match="use_reference"):
        gradient.sum().backward()
    with use_reference():
        out = blend(own, tail, first, second, share)
    (gradient,) = torch.autograd.grad(out.square().sum(), own, create_graph=True)
    gradient.sum().backward()


def test_the_number_of_threads_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    given = inputs((40, 6, 16, 5))
    one = value_and_gradients(blend, given, None, torch.float32)
    monkeypatch.setattr(cpu, "WORK_PER_THREAD", 1)
    two = value_and_gradients(blend, given, None, torch.float32)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_wrong_shapes() -> None:
    unchecked = inspect.unwrap(blend)  # the tests' own shape checks come first
    own, tail, first, second, share = inputs((6, 5, 4, 3))
    for wrong in (tail[:4], tail[..., :3]):
        with pytest.raises(ValueError, match="S dividing B"):
            unchecked(own, wrong, first, second, share)
    with pytest.raises(ValueError, match="even width"):
        unchecked(own[:, :3], tail[..., :3], first, second, share, period=1.0)
