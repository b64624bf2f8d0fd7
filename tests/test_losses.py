"""The losses against their definitions in plain Python, term by term."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.testing import assert_close

from gnnkg.core import Labels
from gnnkg.losses import BCE, CrossEntropy, Margin, SelfAdversarial
from gnnkg.terms import Ranking
from gnnkg.transforms import EMU, DeMix, Mixup
from tests.contracts.test_losses import COLUMNS, QUERIES, random_labels, value_and_gradient

masked_or_not = pytest.mark.parametrize("masked", [False, True])


def rows(scores: Tensor, labels: Labels) -> list[tuple[int, list[int], list[Tensor], list[float]]]:
    """Per query: the truth's column, the columns that take part, all scores (differentiable), all labels."""
    mask = torch.ones_like(scores, dtype=torch.bool) if labels.mask is None else labels.mask
    return [
        (int(labels.truth[b]), mask[b].nonzero().flatten().tolist(), list(scores[b]), labels.value[b].tolist())
        for b in range(len(scores))
    ]


def softplus(x: Tensor) -> Tensor:
    return (1 + x.exp()).log()  # - log sig(-x)


def cross_entropy(truth: int, part: list[int], s: list[Tensor], y: list[float]) -> Tensor:
    total = sum(s[j].exp() for j in part)
    return -sum(y[j] * (s[j].exp() / total).log() for j in part)


def bce_sum(truth: int, part: list[int], s: list[Tensor], y: list[float]) -> Tensor:
    return sum(y[j] * softplus(-s[j]) + (1 - y[j]) * softplus(s[j]) for j in part)


def bce_mean(truth: int, part: list[int], s: list[Tensor], y: list[float]) -> Tensor:
    return bce_sum(truth, part, s, y) / len(part)


def self_adversarial(truth: int, part: list[int], s: list[Tensor], y: list[float], temperature: float) -> Tensor:
    negatives = [j for j in part if j != truth]
    weight = {j: math.exp(temperature * s[j].item()) for j in negatives}
    rest = sum(weight[j] * (y[j] * softplus(-s[j]) + (1 - y[j]) * softplus(s[j])) for j in negatives)
    return (softplus(-s[truth]) + rest / sum(weight.values())) / 2


def margin(truth: int, part: list[int], s: list[Tensor], y: list[float], size: float) -> Tensor:
    negatives = [j for j in part if j != truth]
    return sum(torch.relu(size - s[truth] + s[j]) for j in negatives) / len(negatives)


@masked_or_not
@pytest.mark.parametrize(
    ("loss", "definition"),
    [
        (CrossEntropy(), cross_entropy),
        (BCE(), bce_mean),
        (BCE(reduction="sum"), bce_sum),
        (SelfAdversarial(), lambda *row: self_adversarial(*row, temperature=1.0)),
        (SelfAdversarial(temperature=0.4), lambda *row: self_adversarial(*row, temperature=0.4)),
        (SelfAdversarial(temperature=0.0), lambda *row: self_adversarial(*row, temperature=0.0)),
        (Margin(), lambda *row: margin(*row, size=1.0)),
        (Margin(margin=3.0), lambda *row: margin(*row, size=3.0)),
    ],
    ids=lambda x: repr(x) if not callable(x) or isinstance(x, (CrossEntropy, BCE, SelfAdversarial, Margin)) else "",
)
def test_definition(loss, definition, masked: bool) -> None:
    labels, scores = random_labels(masked), 2 * torch.randn(QUERIES, COLUMNS, dtype=torch.float64)
    each, gradient = value_and_gradient(loss, scores, labels)
    leaf = scores.clone().requires_grad_()
    expected = torch.stack([definition(*row) for row in rows(leaf, labels)])
    assert_close(each, expected)
    assert_close(gradient, torch.autograd.grad(expected.sum(), leaf)[0])


def test_one_hot_cross_entropy_is_the_ordinary_one() -> None:
    scores, truth = torch.randn(QUERIES, COLUMNS), torch.tensor([0, 3, 6, 3])
    value = functional.one_hot(truth, COLUMNS).float()
    each = CrossEntropy()(scores, Labels(value, None, truth, torch.ones(QUERIES)))
    assert_close(each, functional.cross_entropy(scores, truth, reduction="none"))


def test_cross_entropy_is_precise_far_from_zero() -> None:
    """The offset of a distance model's gamma costs no digits."""
    labels = random_labels(dtype=torch.float32)
    scores = torch.randn(QUERIES, COLUMNS)
    shifted = CrossEntropy()((scores * 1024).round() / 1024 + 512, labels)
    assert_close(shifted, CrossEntropy()((scores * 1024).round() / 1024, labels), rtol=1e-6, atol=1e-6)


def test_self_adversarial_weights_are_detached() -> None:
    """d loss / d s_j = p_j sig(s_j) / 2 for y_j = 0: no derivative of p_j itself."""
    truth = torch.zeros(QUERIES, dtype=torch.int64)
    value = functional.one_hot(truth, COLUMNS).double()
    scores = torch.randn(QUERIES, COLUMNS, dtype=torch.float64)
    labels = Labels(value, None, truth, torch.ones(QUERIES, dtype=torch.float64))
    _, gradient = value_and_gradient(SelfAdversarial(temperature=0.7), scores, labels)
    share = torch.softmax(0.7 * scores[:, 1:], 1)
    assert_close(gradient[:, 1:], share * torch.sigmoid(scores[:, 1:]) / 2)


@pytest.mark.parametrize("transform", [EMU(label=0.3), Mixup(), DeMix()])
def test_soft_labels_that_nobody_reads_are_refused(transform: Any) -> None:
    with pytest.raises(ValueError, match="softens labels, which Margin does not read"):
        Ranking(Margin(), transform=transform)
    Ranking(CrossEntropy(), transform=transform)


@pytest.mark.parametrize(
    "transform", [EMU(label=0.0), Mixup(label=0.0), DeMix(pseudo="masked"), DeMix(split="none"), DeMix(alpha=0.0), None]
)
def test_a_margin_goes_with_what_leaves_labels_alone(transform: Any) -> None:
    Ranking(Margin(), transform=transform)
