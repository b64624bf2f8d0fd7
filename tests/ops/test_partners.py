from __future__ import annotations

from inspect import unwrap  # from the shape checks of the tests, which refuse these inputs first

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from gnnkg.ops import cpu
from gnnkg.ops.partners import partners, reference, shares

SHAPES = [(1, 1), (3, 5), (40, 81), (17, 300)]


def inputs(shape: tuple[int, int]) -> tuple[Tensor, ...]:
    """Scores with ties, some no numbers; kinds of columns do not overlap, the first is known."""
    kind = torch.randint(4, shape)
    kind[:, 0] = 0
    scores = (torch.randint(-5, 6, shape) / 4).masked_fill(torch.rand(shape) < 0.03, torch.nan)
    return scores, kind == 0, kind == 1, kind == 2, torch.rand(shape)


@pytest.mark.parametrize("below_mean", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_definition(shape: tuple[int, int], below_mean: bool) -> None:
    for _ in range(20):
        given = inputs(shape)
        assert torch.equal(partners(*given, below_mean), reference.partners(*given, below_mean))


@pytest.mark.parametrize("function", [partners, reference.partners])
def test_by_hand(function) -> None:
    """Known columns 0, 4, 5 of scores 9, 1, 3; one near the boundary; two others, then one alone."""
    scores = torch.tensor([[9.0, 0, 0, 0, 1, 3, 0]] * 2)
    known = torch.tensor([[True, False, False, False, True, True, False]] * 2)
    near = torch.tensor([[False, True, False, False, False, False, False]] * 2)
    others = torch.tensor([[False, False, True, True, False, False, False], [False, False, True, *[False] * 4]])
    found = {
        share: function(scores, known, near, others, torch.full((2, 7), share)).tolist() for share in (0.0, 0.6, 0.999)
    }
    assert found[0.0] == [[0, 4, 3, 2, 4, 5, 6], [0, 4, 2, 3, 4, 5, 6]]
    assert found[0.6] == found[0.999] == [[0, 5, 3, 2, 4, 5, 6], [0, 5, 2, 3, 4, 5, 6]]
    mean = function(scores, known, near, others, torch.full((2, 7), 0.999), below_mean=True)
    assert mean[0, 1] == 5  # 1 and 3 are below 4.33
    low = function(scores, known, near, others, torch.full((2, 7), 0.4), below_mean=True)
    assert low[0, 1] == 4


def test_any_layout_and_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    given = inputs((60, 40))
    expected = partners(*given)
    monkeypatch.setattr(cpu, "WORK_PER_THREAD", 1)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert torch.equal(partners(*given), expected)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(partners(*(each.t().contiguous().t() for each in given)), expected)
    assert partners(*(each[:0] for each in given)).shape == (0, 40)


def test_the_mean_of_equal_scores_is_their_score() -> None:
    known = torch.ones(50, 41, dtype=torch.bool)
    known[:, 0] = False
    scores, draw = torch.rand(50, 1).expand(50, 41), torch.rand(50, 41)
    given = scores, known, ~known, torch.zeros_like(known), draw
    assert torch.equal(partners(*given, below_mean=True), reference.partners(*given, below_mean=True))
    assert partners(*given, below_mean=True)[:, 0].unique().numel() > 20


def test_what_is_refused() -> None:
    scores, known, near, others, draw = inputs((3, 5))
    unchecked = unwrap(partners)
    with pytest.raises(ValueError, match="of the scores' shape"):
        unchecked(scores, known[:1], near, others, draw)
    with pytest.raises(ValueError, match="which has none"):
        partners(scores, torch.zeros_like(known), torch.ones_like(near), torch.zeros_like(others), draw)


@pytest.mark.parametrize("larger", [False, True])
@pytest.mark.parametrize("shape", [*SHAPES, (0, 4), (4, 0)])
def test_shares_equal_the_definition(shape: tuple[int, int], larger: bool) -> None:
    draw, quantiles, mixed = torch.rand(shape), torch.rand(33).sort().values, torch.rand(shape) < 0.7
    draw[:, :1] = 1 - 2**-24  # the most that is drawn
    given = draw, quantiles, mixed
    assert_close(shares(*given, larger), reference.shares(*given, larger))
    laid = draw.t().contiguous().t(), quantiles, mixed.t().contiguous().t()
    assert torch.equal(shares(*laid, larger), shares(*given, larger))


def test_shares_of_the_uniform_distribution_are_the_draws() -> None:
    draw = torch.tensor([[0.0, 0.25, 0.7, 0.9]])
    mixed = torch.tensor([[True, True, True, False]])
    assert_close(shares(draw, torch.tensor([0.0, 1.0]), mixed, False), torch.tensor([[0.0, 0.25, 0.7, 1.0]]))
    assert_close(shares(draw, torch.tensor([0.0, 1.0]), mixed), torch.tensor([[1.0, 0.75, 0.7, 1.0]]))
    with pytest.raises(ValueError, match="at least"):
        shares(draw, torch.tensor([0.5]), mixed)
    with pytest.raises(ValueError, match="a draw a column"):
        unwrap(shares)(draw, torch.tensor([0.0, 1.0]), mixed[:, :2])
