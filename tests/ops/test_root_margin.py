from __future__ import annotations

import math
from inspect import unwrap  # from the shape checks of the tests, which refuse these inputs first

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from gnnkg.ops import cpu
from gnnkg.ops.backends import use_reference
from gnnkg.ops.root_margin import numba, reference, root_margin

FORMS = ["squares", "weighted", "two", "two weighted"]
SHAPES = (1, 1), (3, 5), (7, 1025), (2, 4096)


def inputs(form: str, shape: tuple[int, int]) -> tuple[Tensor | None, ...]:
    """Squares, their weight, another sum and its weight."""
    squares, other = torch.rand(shape) * 40, torch.randn(shape)
    weights = (torch.tensor(3.5), torch.tensor(-0.7)) if "weighted" in form else (None, None)
    given = squares, weights[0], other if "two" in form else None, weights[1] if "two" in form else None
    return tuple(None if each is None else each.requires_grad_() for each in given)


def leaves(given: tuple[Tensor | None, ...]) -> list[Tensor]:
    return [each for each in given if each is not None]


@pytest.mark.parametrize("form", FORMS)
def test_equals_the_definition(form: str) -> None:
    for shape in SHAPES:
        given = inputs(form, shape)
        exact = tuple(None if each is None else each.detach().double().requires_grad_() for each in given)
        out, expected = root_margin(9.0, *given), reference.root_margin(9.0, *exact)
        assert_close(out.double(), expected, rtol=1e-5, atol=1e-5)
        by = torch.randn(shape[::-1]).t()  # a gradient that lies in another order
        ours = torch.autograd.grad(out, leaves(given), by)
        theirs = torch.autograd.grad(expected, leaves(exact), by.double())
        for our, their in zip(ours, theirs, strict=True):
            assert_close(our.double(), their, rtol=2e-5, atol=1e-6 * math.prod(shape))


@pytest.mark.parametrize("form", FORMS)
def test_differentiates_twice(form: str) -> None:
    given = inputs(form, (3, 4))

    def twice() -> list[Tensor]:
        first = torch.autograd.grad(root_margin(2.0, *given).square().sum(), leaves(given), create_graph=True)
        return [*first, *torch.autograd.grad(sum(each.square().sum() for each in first), leaves(given))]

    ours = twice()
    with use_reference():
        assert_close(ours, twice(), rtol=1e-4, atol=1e-4)


def test_a_root_of_nothing_has_a_derivative() -> None:
    squares = torch.zeros(2, 3, requires_grad=True)
    out = root_margin(1.0, squares)
    assert_close(out, torch.full((2, 3), 1 - 1e-6))
    (gradient,) = torch.autograd.grad(out.sum(), squares)
    assert_close(gradient, torch.full((2, 3), -5e5))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nan_and_infinity_come_through(bad: float) -> None:
    squares, _, other, _ = inputs("two", (2, 40))
    assert squares is not None
    squares.data[1, 3] = bad
    assert root_margin(1.0, squares, None, other).isfinite().logical_not().nonzero().tolist() == [[1, 3]]


def test_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    given = inputs("two weighted", (30, 500))
    by = torch.randn(30, 500)

    def everything() -> list[Tensor]:
        out = root_margin(1.0, *given)
        return [out, *torch.autograd.grad(out, leaves(given), by)]

    expected, threads = everything(), torch.get_num_threads()
    monkeypatch.setattr(cpu, "WORK_PER_THREAD", 1)
    try:
        torch.set_num_threads(2)
        assert all(torch.equal(*pair) for pair in zip(everything(), expected, strict=True))
    finally:
        torch.set_num_threads(threads)


def test_only_float32_is_fused(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    forward = numba.forward
    monkeypatch.setattr(numba, "forward", lambda *given: (calls.append("fused"), forward(*given))[1])
    squares = torch.rand(2, 3)
    for dtype in (torch.float64, torch.bfloat16):
        assert root_margin(1.0, squares.to(dtype)).dtype == dtype
    assert root_margin(1.0, squares, torch.tensor(2.0, dtype=torch.bfloat16)).dtype == torch.float32
    assert root_margin(1.0, torch.empty(0, 3)).shape == (0, 3)
    assert not calls
    root_margin(1.0, squares)
    assert calls == ["fused"]


def test_refusals() -> None:
    squares = torch.rand(2, 3)
    with pytest.raises(ValueError, match="the sum is not"):
        root_margin(1.0, squares, None, None, torch.tensor(1.0))
    with pytest.raises(ValueError, match=r"not \(2, 3\) and \(2, 4\)"):
        unwrap(root_margin)(1.0, squares, None, torch.rand(2, 4))
