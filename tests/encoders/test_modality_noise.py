"""Gauss modality noise: what it leaves alone, what it makes of the rest, and that a continued run sees the same."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from gnnkg.encoders import GaussModalityNoise
from gnnkg.encoders.modality_noise import Noise, Spread


def noise(settings: GaussModalityNoise, values: torch.Tensor, has: torch.Tensor | None = None) -> Noise:
    made = Noise(settings, *values.shape)
    made.measure(Spread.of(values, has))
    return made


@pytest.fixture
def values() -> torch.Tensor:
    return torch.randn(4000, 3) * torch.tensor([1.0, 5.0, 0.1]) + torch.tensor([0.0, -2.0, 7.0])


def test_the_spread_is_that_of_the_rows_that_are_there():
    values = torch.tensor([[1.0], [2.0], [6.0], [1000.0]])
    mean, std = Spread.of(values, torch.tensor([True, True, True, False]))
    assert_close(mean, torch.tensor([3.0]))
    assert_close(std, torch.tensor([7.0]).sqrt())  # (4 + 1 + 9) / 2
    assert Spread.of(values, torch.zeros(4, dtype=torch.bool)) == (torch.zeros(1), torch.zeros(1))
    assert Spread.of(values[:1]).std == 0
    assert not Spread.of(values.requires_grad_()).mean.requires_grad


@pytest.mark.parametrize("refresh", ["epoch", "step"])
@pytest.mark.parametrize(("rho", "epsilon"), [(0.0, 0.7), (1.0, 0.0)])
def test_no_share_or_no_strength_is_the_identity(values, refresh, rho, epsilon):
    assert noise(GaussModalityNoise(rho, epsilon, refresh), values)(values, None) is values


@pytest.mark.parametrize("refresh", ["epoch", "step"])
def test_all_and_nothing_else_has_the_spread_of_the_modality(values, refresh):
    noised = noise(GaussModalityNoise(1.0, 1.0, refresh), values)(values, None)
    mean, std = Spread.of(values)
    assert ((noised.mean(0) - mean).abs() < 0.06 * std).all()
    assert_close(noised.std(0), std, atol=0.0, rtol=0.05)
    assert (noised != values).all()
    assert torch.corrcoef(torch.stack([noised[:, 0], values[:, 0]]))[0, 1].abs() < 0.06


@pytest.mark.parametrize("refresh", ["epoch", "step"])
def test_the_share_of_rows_and_the_mixture_in_them(values, refresh):
    noised = noise(GaussModalityNoise(0.3, 0.6, refresh), values)(values, None)
    changed = (noised != values).any(1)
    assert abs(float(changed.float().mean()) - 0.3) < 0.03
    mean, std = Spread.of(values)
    drawn = ((noised - 0.4 * values) / 0.6 - mean)[changed] / std
    assert abs(float(drawn.mean())) < 0.05
    assert abs(float(drawn.std()) - 1) < 0.05


def test_two_modalities_are_noised_apart(values):
    settings = GaussModalityNoise(0.5, 1.0)
    first, second = ((noise(settings, values)(values, None) != values).any(1) for _ in range(2))
    assert abs(float((first & second).float().mean()) - 0.25) < 0.04


def test_an_epoch_keeps_its_noise_and_a_step_does_not(values):
    of_epoch, of_step = (noise(GaussModalityNoise(0.5, 0.5, refresh), values) for refresh in ("epoch", "step"))
    assert torch.equal(of_epoch(values, None), of_epoch(values, None))
    some = torch.tensor([7, 3, 3000])
    assert torch.equal(of_epoch(values[some], some), of_epoch(values, None)[some])
    assert not torch.equal(of_step(values, None), of_step(values, None))
    first = of_epoch(values, None)
    of_epoch.before_epoch(1)
    assert not torch.equal(of_epoch(values, None), first)
    of_epoch.before_epoch(0)
    assert torch.equal(of_epoch(values, None), first)


def test_a_copy_that_is_restored_in_the_middle_of_an_epoch_goes_on_alike(values):
    ours = noise(GaussModalityNoise(0.5, 0.5), values)
    ours.before_epoch(3)
    assert ours.wants_spread
    ours.measure(Spread.of(values))
    torch.manual_seed(99)
    theirs = Noise(ours.settings, *values.shape)
    theirs.load_state_dict(ours.state_dict())
    theirs.before_epoch(3)
    assert not theirs.wants_spread, "the table has moved on since the epoch began"
    assert torch.equal(theirs(values, None), ours(values, None))


def test_the_gradient_is_what_is_left_of_the_row():
    values = torch.randn(50, 2, dtype=torch.float64, requires_grad=True)
    made = noise(GaussModalityNoise(0.5, 0.75), values.detach()).double()
    noised = made(values, None)
    noised.sum().backward()
    changed = (noised != values).any(1, keepdim=True)
    assert 0 < changed.sum() < 50
    assert_close(values.grad, torch.where(changed, 0.25, 1.0).double().expand(50, 2))


@pytest.mark.parametrize("wrong", [{"rho": -0.1}, {"epsilon": 1.1}, {"structure_scale": 2.0}])
def test_what_is_no_share_is_refused(wrong):
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        GaussModalityNoise(**wrong)


def test_the_structure_may_have_less():
    assert GaussModalityNoise(0.2, 0.7, "step").scaled(0.5) == GaussModalityNoise(0.1, 0.35, "step")
