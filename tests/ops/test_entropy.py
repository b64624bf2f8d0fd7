from __future__ import annotations

import math
from inspect import unwrap  # from the shape checks of the tests, which refuse these inputs first

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from gnnkg.ops import cpu
from gnnkg.ops.backends import use_reference
from gnnkg.ops.entropy import cross_entropy, numba, reference

SHAPES = (1, 1), (5, 7), (40, 1025), (9, 64), (3, 300)


def inputs(
    shape: tuple[int, int], masked: bool, shared: bool, spread: float = 4.0
) -> tuple[Tensor, Tensor, Tensor | None]:
    scores = torch.randn(shape) * spread
    value = torch.rand(1, shape[1]).expand(shape) if shared else torch.rand(shape)
    return scores.requires_grad_(), value, torch.rand(shape) < 0.6 if masked else None


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("spread", [0.1, 4.0, 200.0])
def test_equals_the_definition(masked: bool, shared: bool, spread: float) -> None:
    for shape in SHAPES:
        scores, value, mask = inputs(shape, masked, shared, spread)
        exact = scores.detach().double().requires_grad_()
        out, expected = cross_entropy(scores, value, mask), reference.cross_entropy(exact, value.double(), mask)
        assert_close(out.double(), expected, rtol=2e-6, atol=1e-5 * shape[1] ** 0.5)
        weight = torch.randn(shape[0])
        (ours,) = torch.autograd.grad(out, scores, weight)
        (theirs,) = torch.autograd.grad(expected, exact, weight.double())
        assert_close(ours.double(), theirs, rtol=1e-5 + 1e-6 * spread, atol=2e-6 * shape[1])


def test_differentiates_twice() -> None:
    scores, value, mask = inputs((4, 6), True, False)

    def twice() -> tuple[Tensor, Tensor]:
        (first,) = torch.autograd.grad(cross_entropy(scores, value, mask).square().sum(), scores, create_graph=True)
        return first, torch.autograd.grad(first.square().sum(), scores)[0]

    ours = twice()
    with use_reference():
        assert_close(ours, twice())


@pytest.mark.parametrize("again", [False, True])
def test_nothing_takes_part(again: bool) -> None:
    scores = torch.randn(2, 5, requires_grad=True)
    mask = torch.tensor([[False] * 5, [True] * 5])
    loss = cross_entropy(scores, torch.ones(2, 5), mask)
    assert loss[0] == 0
    (gradient,) = torch.autograd.grad(loss.sum(), scores, create_graph=again)
    assert not gradient[0].any()
    assert gradient[1].any()
    if again:
        assert torch.autograd.grad(gradient.square().sum(), scores)[0].isfinite().all()
    assert cross_entropy(torch.empty(0, 5), torch.empty(0, 5)).shape == (0,)


@pytest.mark.parametrize("offset", [-1e4, -3.0, 0.0, 3.0])
def test_the_largest_score_is_taken_out_wherever_it_stands(offset: float) -> None:
    """Otherwise an exponential is infinite, or all are zero. As bits, numbers below zero are in the other order."""
    for num_columns in (1, 2, 65):
        scores = offset - 100 * torch.rand(num_columns, num_columns)
        scores[torch.eye(num_columns, dtype=torch.bool)] = offset
        label = torch.eye(num_columns)
        exact = reference.cross_entropy(scores.double(), label.double(), None)
        assert_close(cross_entropy(scores, label), exact.float(), rtol=1e-5, atol=1e-6)
        top = numba.forward(scores, label, None)[1]
        assert torch.equal(top, scores.max(1).values)
        hidden = label < 1  # the largest takes no part
        if num_columns > 1:
            assert torch.equal(
                numba.forward(scores, label, hidden)[1], scores.masked_fill(~hidden, -math.inf).max(1).values
            )


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nan_and_infinity_come_through(bad: float) -> None:
    scores = torch.randn(3, 40)
    scores[1, 3] = bad
    scores.requires_grad_()
    loss = cross_entropy(scores, torch.ones(3, 40) / 40)
    assert loss.isfinite().tolist() == [True, False, True]
    (gradient,) = torch.autograd.grad(loss.sum(), scores)
    assert gradient.isfinite().all(1).tolist() == [True, False, True]


def test_any_layout_and_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "WORK_PER_THREAD", 1)
    scores, value, mask = inputs((30, 50), True, False)
    assert mask is not None
    expected = cross_entropy(scores, value, mask)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert torch.equal(cross_entropy(scores, value, mask), expected)
    finally:
        torch.set_num_threads(threads)
    turned = [each.t().contiguous().t() for each in (scores, value, mask)]
    assert torch.equal(cross_entropy(*turned), expected)


def test_labels_and_masks_are_broadcast() -> None:
    scores = torch.randn(6, 5)
    for value in (torch.rand(1, 5), torch.rand(6, 1), torch.rand(1, 1)):
        for mask in (None, torch.tensor([[True, False, True, True, False]]), torch.tensor([[True], [False]] * 3)):
            expected = reference.cross_entropy(scores, value.expand(6, 5), None if mask is None else mask.expand(6, 5))
            assert_close(unwrap(cross_entropy)(scores, value, mask), expected)
    with pytest.raises(RuntimeError, match="expand"):
        unwrap(cross_entropy)(scores, torch.rand(6, 3))


def test_labels_with_a_gradient_are_the_references() -> None:
    scores, value = torch.randn(2, 3), torch.rand(2, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(cross_entropy(scores, value).sum(), value)
    assert_close(gradient, -torch.log_softmax(scores, 1))
