from __future__ import annotations

from inspect import unwrap  # from the shape checks of the tests, which refuse these inputs first

import pytest
import torch
from torch import Tensor

from gnnkg.ops import cpu
from gnnkg.ops.suspects import Kinds, reference, suspects

SHAPES = [(1, 1), (3, 5), (40, 81), (17, 300)]
OPTIONS = [(1.0, True, False), (1.0, False, False), (0.3, True, True), (4.0, False, True), (0.0, False, False)]


def inputs(shape: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Scores with ties, some known columns, some that are of no kind, and a truth anywhere."""
    mask = torch.rand(shape) < 0.6
    value = ((torch.rand(shape) < 0.5) & ~mask).float()
    truth = torch.randint(shape[1], (shape[0],))
    mask[torch.arange(shape[0]), truth] = True
    value[torch.arange(shape[0]), truth] = 1
    return torch.randint(-5, 6, shape) / 4, value, mask, truth


def same(found: Kinds, expected: Kinds) -> bool:
    return all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_definition(shape: tuple[int, int], options: tuple[float, bool, bool]) -> None:
    for _ in range(20):
        scores, value, mask, truth = inputs(shape)
        scores = scores + torch.rand(shape) / 8  # no score on a boundary, but for a known one
        for shown in (mask, None):
            given = scores, value, shown, truth, *options
            assert same(suspects(*given), reference.suspects(*given))


@pytest.mark.parametrize("shape", SHAPES)
def test_boundaries_without_slack_belong_to_the_suspects(shape: tuple[int, int]) -> None:
    for _ in range(20):
        for options in ((0.25, True, False), (0.0, True, True)):
            given = *inputs(shape), *options
            assert same(suspects(*given), reference.suspects(*given))


def test_the_mean_of_equal_scores_is_that_score() -> None:
    for number in range(2, 7):
        scores = torch.rand(500, 1).expand(500, number + 1).contiguous()
        value, mask = torch.ones_like(scores), torch.zeros(500, number + 1, dtype=torch.bool)
        value[:, -1], mask[:, -1] = 0, True
        given = scores, value, mask, torch.zeros(500, dtype=torch.int64), 0.0
        for additive in (False, True):
            for function in (suspects, reference.suspects):
                assert function(*given, additive, True).suspects[:, -1].all()


@pytest.mark.parametrize("strange", [torch.inf, -torch.inf, 3e38, -3e38])
def test_a_score_beyond_all_others_is_no_error(strange: float) -> None:
    scores, value, mask, truth = inputs((30, 20))
    scores[::3, 4], scores[1, truth[1]] = strange, -strange
    for options in OPTIONS:
        suspects(scores, value, mask, truth, *options)


def test_what_does_not_fit_is_refused() -> None:
    scores, value, mask, truth = inputs((4, 6))
    plain = unwrap(suspects)
    for given in ((scores, value[:1], mask, truth), (scores, value, mask[:1], truth), (scores, value, mask, truth[:2])):
        with pytest.raises(ValueError, match="a truth a query"):
            plain(*given, 1.0)
    for column in (-1, 6):
        with pytest.raises(IndexError, match=f"a truth is {column}"):
            plain(scores, value, mask, torch.full_like(truth, column), 1.0)


def test_every_column_is_of_one_kind_at_most() -> None:
    scores, value, mask, truth = inputs((40, 81))
    known, suspicious, others = (each.int() for each in suspects(scores, value, mask, truth, 1.0))
    assert (known + suspicious + others).max() == 1
    assert torch.equal((suspicious + others).bool(), mask.scatter(1, truth.unsqueeze(1), False))


def test_a_known_score_that_is_no_number_makes_no_suspects() -> None:
    scores, value, mask, truth = inputs((4, 30))
    scores[1, truth[1]] = torch.nan
    for options in OPTIONS[:4:2]:  # additive, so that the other queries do not see it
        found, expected = (
            function(scores, value, mask, truth, *options) for function in (suspects, reference.suspects)
        )
        assert same(found, expected)
        assert not found.suspects[1].any()


def test_any_layout_and_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    *matrices, truth = inputs((60, 40))
    expected = suspects(*matrices, truth, 1.0)
    monkeypatch.setattr(cpu, "WORK_PER_THREAD", 1)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert same(suspects(*matrices, truth, 1.0), expected)
    finally:
        torch.set_num_threads(threads)
    assert same(suspects(*(each.t().contiguous().t() for each in matrices), truth, 1.0), expected)
    empty = suspects(*(each[:0] for each in matrices), truth[:0], 1.0)
    assert all(each.shape == (0, 40) for each in empty)
