from __future__ import annotations

import pytest
import torch
from scipy import stats

from gnnkg.ops import cpu
from gnnkg.ops.backends import use_reference
from gnnkg.ops.uniform import uniform

SHAPES = [(), (0, 3), (7,), (40, 81), (3, 5, 700)]


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_definition(shape: tuple[int, ...]) -> None:
    like = torch.empty(shape)
    torch.manual_seed(3)
    found = uniform(like)
    torch.manual_seed(3)
    with use_reference():
        expected = uniform(like)
    assert found.shape == like.shape
    assert torch.equal(found, expected)


def test_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    like = torch.empty(50_001)
    torch.manual_seed(3)
    expected = uniform(like)
    monkeypatch.setattr(cpu, "WORK_PER_THREAD", 1)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        torch.manual_seed(3)
        assert torch.equal(uniform(like), expected)
    finally:
        torch.set_num_threads(threads)


def test_is_uniform_and_without_memory() -> None:
    torch.manual_seed(0)
    drawn = torch.cat([uniform(torch.empty(100_000)), uniform(torch.empty(100_000))])
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert stats.kstest(drawn.numpy(), "uniform").pvalue > 0.001
    for lag in (1, 2, 81, 100_000):
        assert abs(torch.corrcoef(torch.stack([drawn[:-lag], drawn[lag:]]))[0, 1]) < 0.015
    low = (drawn * 2**24).long() & 255  # the lowest bits of all
    assert stats.chisquare(low.bincount(minlength=256).numpy()).pvalue > 0.001


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types_are_torchs(dtype: torch.dtype) -> None:
    like = torch.empty(30, dtype=dtype)
    torch.manual_seed(3)
    found = uniform(like)
    torch.manual_seed(3)
    assert found.dtype == dtype
    assert torch.equal(found, torch.rand_like(like))
