from __future__ import annotations

import math

import pytest
import torch

from gnnkg.evaluation.multihop.degrees import all_of, any_of, both, degrees, either


def log(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).log()


def test_scales_by_hand():
    scores = torch.tensor([[0.0, math.log(3.0), -math.inf]], dtype=torch.float64)
    assert torch.allclose(degrees(scores, "softmax").exp(), torch.tensor([[0.25, 0.75, 0.0]], dtype=torch.float64))
    assert torch.allclose(degrees(scores, "sigmoid").exp(), torch.tensor([[0.5, 0.75, 0.0]], dtype=torch.float64))
    scores = torch.tensor([[1.0, 5.0, 2.0], [3.0, 3.0, 3.0]], dtype=torch.float64)
    expected = torch.tensor([[0.0, 1.0, 0.25], [1.0, 1.0, 1.0]], dtype=torch.float64)
    assert torch.allclose(degrees(scores, "minmax").exp(), expected)


@pytest.mark.parametrize("scale", ["softmax", "sigmoid", "minmax"])
def test_scores_that_differ_do_not_tie(scale):
    """Neighbours in single precision, far out where a sigmoid is 1 or 0 to the last bit."""
    low = torch.tensor([-90.0, -1.0, 0.001, 1.0, 30.0, 90.0])
    scores = torch.stack([low, torch.nextafter(low, torch.tensor(math.inf))], 1).flatten()
    found = degrees(scores.double().unsqueeze(0), scale)[0]
    assert bool((found.diff() > 0).all())


def test_a_score_that_is_no_number_is_the_worst():
    found = degrees(torch.tensor([[math.nan, 0.0, 1.0]]), "softmax")
    assert found[0, 0] == -math.inf
    assert torch.isfinite(found[0, 1:]).all()


def test_no_degree_is_nan_whatever_the_scores_are():
    scores = torch.tensor([[math.nan] * 3, [-math.inf] * 3, [math.inf, 1.0, math.inf], [math.inf, math.nan, -math.inf]])
    expected = torch.tensor([[0.0] * 3, [0.0] * 3, [0.5, 0.0, 0.5], [1.0, 0.0, 0.0]])
    assert torch.equal(degrees(scores, "softmax").exp(), expected)
    assert not degrees(scores, "sigmoid").isnan().any()
    assert not degrees(scores, "minmax").isnan().any()


def test_the_scale_of_the_finite_scores_is_theirs_whatever_stands_beside_them():
    scores = torch.tensor([[math.nan, 0.0, 1.0, 4.0], [-math.inf, math.inf, 1.0, 3.0], [math.nan, 2.0, 2.0, 2.0]])
    expected = torch.tensor([[0.0, 0.0, 0.25, 1.0], [0.0, 1.0, 0.0, 1.0], [0.0, 1.0, 1.0, 1.0]])
    assert torch.equal(degrees(scores, "minmax").exp(), expected)
    assert torch.equal(degrees(torch.full((1, 3), math.nan), "minmax").exp(), torch.zeros(1, 3))


@pytest.mark.parametrize(
    ("logic", "conjunction", "disjunction"),
    [("product", (0.125, 0.0, 0.25), (0.625, 0.5, 1.0)), ("min", (0.25, 0.0, 0.25), (0.5, 0.5, 1.0))],
)
def test_norms_by_hand(logic, conjunction, disjunction):
    a, b = log(0.25, 0.0, 1.0), log(0.5, 0.5, 0.25)
    assert torch.allclose(both(a, b, logic).exp(), torch.tensor(conjunction, dtype=torch.float64))
    assert torch.allclose(either(a, b, logic).exp(), torch.tensor(disjunction, dtype=torch.float64))
    assert torch.equal(all_of([a, b, b], logic), both(both(a, b, logic), b, logic))
    assert torch.equal(any_of([a, b, b], logic), either(either(a, b, logic), b, logic))
    nothing = log(0.0)
    assert either(nothing, nothing, logic).item() == -math.inf
    assert both(nothing, nothing, logic).item() == -math.inf
