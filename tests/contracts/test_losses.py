"""What every loss promises."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.testing import assert_close

from gnnkg.core import Labels, Loss
from tests.contracts import discovered

QUERIES, COLUMNS = 4, 7

every_loss = pytest.mark.parametrize("make", discovered.losses)


def random_labels(masked: bool = True, dtype: torch.dtype = torch.float64) -> Labels:
    """Soft labels, the truth in a different column for each query, some columns masked."""
    draw = torch.Generator().manual_seed(2)
    truth = torch.tensor([0, 3, 6, 3])
    value = torch.rand(QUERIES, COLUMNS, generator=draw, dtype=dtype) / 2
    value.scatter_(1, truth.unsqueeze(1), 1.0)
    mask = torch.rand(QUERIES, COLUMNS, generator=draw) < 0.6
    mask.scatter_(1, truth.unsqueeze(1), True)
    return Labels(value, mask if masked else None, truth, torch.ones(QUERIES, dtype=dtype))


def value_and_gradient(loss: Loss, scores: Tensor, labels: Labels) -> tuple[Tensor, Tensor]:
    leaf = scores.clone().requires_grad_()
    each = loss(leaf, labels)
    return each, torch.autograd.grad(each.sum(), leaf)[0]


@every_loss
@pytest.mark.parametrize("fill", [1e6, -1e6, torch.inf, -torch.inf, torch.nan])
def test_masked_columns_have_no_influence(make: Callable[[], Loss], fill: float) -> None:
    """Neither in values nor in gradients, whatever stands in them: a padded column may hold anything."""
    labels, scores = random_labels(), torch.randn(QUERIES, COLUMNS, dtype=torch.float64)
    mask = labels.mask
    assert mask is not None
    each, gradient = value_and_gradient(make(), scores, labels)
    other = Labels(labels.value.masked_fill(~mask, 0.123), mask, labels.truth, labels.weight)
    each_filled, gradient_filled = value_and_gradient(make(), scores.masked_fill(~mask, fill), other)
    assert each.isfinite().all()
    assert_close(each_filled, each, rtol=0, atol=0)
    assert_close(gradient_filled, gradient, rtol=0, atol=0)
    assert (gradient[~mask] == 0).all()


@every_loss
def test_a_full_mask_is_no_mask(make: Callable[[], Loss]) -> None:
    labels, scores = random_labels(masked=False), torch.randn(QUERIES, COLUMNS, dtype=torch.float64)
    full = Labels(labels.value, torch.ones(QUERIES, COLUMNS, dtype=torch.bool), labels.truth, labels.weight)
    for without, with_mask in zip(
        value_and_gradient(make(), scores, labels), value_and_gradient(make(), scores, full), strict=True
    ):
        assert_close(with_mask, without)


@every_loss
@pytest.mark.parametrize("masked", [False, True])
def test_gradient(make: Callable[[], Loss], masked: bool) -> None:
    """Against differences, where the published loss is differentiable: self-adversarial weights are held fixed by definition."""
    loss, labels = make(), random_labels(masked)
    if hasattr(loss, "temperature"):
        loss = type(loss)(temperature=0.0)
    scores = torch.randn(QUERIES, COLUMNS, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda s: loss(s, labels), (scores,))


@every_loss
@pytest.mark.parametrize("scale", [1e2, 1e4, 1e30])
@pytest.mark.parametrize("masked", [False, True])
def test_extreme_scores(make: Callable[[], Loss], scale: float, masked: bool) -> None:
    """Scores far from zero, in single precision, truth on top or at the bottom: finite losses and gradients."""
    labels = random_labels(masked, torch.float32)
    signs = torch.randn(QUERIES, COLUMNS).sign()
    for own in (1.0, -1.0):
        scores = scale * signs.scatter(1, labels.truth.unsqueeze(1), own)
        each, gradient = value_and_gradient(make(), scores, labels)
        assert each.isfinite().all()
        assert gradient.isfinite().all()


@every_loss
def test_a_better_truth_costs_less(make: Callable[[], Loss]) -> None:
    labels, scores = random_labels(), torch.randn(QUERIES, COLUMNS, dtype=torch.float64)
    _, gradient = value_and_gradient(make(), scores - 2, labels)
    assert (gradient.gather(1, labels.truth.unsqueeze(1)) < 0).all()


@every_loss
def test_only_the_truth_takes_part(make: Callable[[], Loss]) -> None:
    """A query all of whose negatives are masked has a finite loss."""
    labels = random_labels()
    mask = torch.zeros(QUERIES, COLUMNS, dtype=torch.bool).scatter_(1, labels.truth.unsqueeze(1), True)
    lonely = Labels(labels.value, mask, labels.truth, labels.weight)
    each, gradient = value_and_gradient(make(), torch.randn(QUERIES, COLUMNS, dtype=torch.float64), lonely)
    assert each.isfinite().all()
    assert gradient.isfinite().all()


@every_loss
def test_each_query_alone(make: Callable[[], Loss]) -> None:
    labels, scores = random_labels(), torch.randn(QUERIES, COLUMNS, dtype=torch.float64)
    mask = labels.mask
    assert mask is not None
    rows = [slice(b, b + 1) for b in range(QUERIES)]
    alone = [make()(scores[b], Labels(labels.value[b], mask[b], labels.truth[b], labels.weight[b])) for b in rows]
    assert_close(make()(scores, labels), torch.cat(alone))
