from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from gnnkg.scorers.batch_norm import BatchNorm


@pytest.mark.parametrize(("plain", "shape"), [(nn.BatchNorm1d, (5, 3)), (nn.BatchNorm2d, (4, 3, 2, 2))])
def test_is_torch_s_own_where_gradients_are_asked_for(plain, shape) -> None:
    ours, theirs = BatchNorm(3), plain(3)
    for _ in range(3):
        x = 2 * torch.randn(shape) + 1
        assert_close(ours(x), theirs(x))
    assert_close(ours.running_mean, theirs.running_mean)
    assert_close(ours.running_var, theirs.running_var)
    assert_close(ours.eval()(x), theirs.eval()(x))
    assert not torch.equal(ours(x), ours.train()(x))


def test_a_pass_without_gradients_normalises_by_the_batch_and_is_not_remembered() -> None:
    norm, x = BatchNorm(3), 2 * torch.randn(5, 3) + 1
    with torch.no_grad():
        y = norm(x)
    assert_close(y.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    assert torch.equal(norm.running_mean, torch.zeros(3))
    assert torch.equal(y, norm(x))
    assert not torch.equal(norm.running_mean, torch.zeros(3))


def test_a_single_value_a_channel_is_normalised_by_the_running_statistics() -> None:
    norm = BatchNorm(2)
    norm.running_mean, norm.running_var = torch.tensor([1.0, 2.0]), torch.tensor([4.0, 9.0])
    assert_close(norm(torch.tensor([[3.0, 5.0]])), torch.tensor([[1.0, 1.0]]), atol=1e-5, rtol=0)
    assert torch.equal(norm.running_mean, torch.tensor([1.0, 2.0]))
