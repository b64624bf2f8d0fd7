from __future__ import annotations

import math
from contextlib import nullcontext
from inspect import unwrap  # from the shape checks of the tests, which refuse some of the faulty inputs first

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnnkg.graph import KnownTails
from gnnkg.ops.backends import use_reference
from gnnkg.ops.ranking import RankCounts, rank_counts
from tests.ops.cases import check_ranking

NOTHING = torch.zeros(3, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)


@st.composite
def rankings(draw: st.DrawFn) -> tuple[list[list[float]], list[int], list[list[int]], list[int]]:
    """Scores with many ties, NaN and infinities; some queries with several truths, some known answers among them."""
    num_rows, num_candidates = draw(st.integers(1, 4)), draw(st.integers(1, 40))
    score = st.sampled_from([0.0, -0.0, 1.0, 1.5, -2.0, math.nan, math.inf, -math.inf]) | st.floats(width=32)
    entity = st.integers(0, num_candidates - 1)
    scores = [draw(st.lists(score, min_size=num_candidates, max_size=num_candidates)) for _ in range(num_rows)]
    row = draw(st.lists(st.integers(0, num_rows - 1), min_size=1, max_size=6))
    truth = [draw(entity) for _ in row]
    return scores, truth, [draw(st.lists(entity, max_size=8)) for _ in row], row


@pytest.mark.parametrize("backend", [nullcontext, use_reference])
def test_equals_counting_by_hand(backend):
    @given(rankings())
    @settings(max_examples=150)
    def check(case: tuple) -> None:
        with backend():
            check_ranking(*case)

    check()


@pytest.mark.parametrize("backend", [nullcontext, use_reference])
def test_many_candidates_on_many_threads(backend):
    """Long rows, so that every part of a vectorised loop runs; ties everywhere."""
    scores = torch.randint(0, 50, (40, 30_011)).float()
    scores[3, 100] = scores[4, 7] = math.nan
    truth = torch.randint(0, 30_011, (40,))
    truth[4] = 7
    known = [torch.randint(0, 30_011, (size,)).tolist() for size in range(40)]
    with backend():
        check_ranking(scores.tolist(), truth.tolist(), known)


def test_known_tails_of_a_graph():
    facts = torch.tensor([[0, 0, 1], [0, 0, 2], [1, 0, 2], [3, 0, 3]])
    known = KnownTails(facts, num_entities=4, num_relations=1).of(torch.tensor([0, 2]), torch.tensor([0, 1]))
    scores = torch.tensor([[0.0, 5, 3, 4], [1.0, 1, 1, 1]])
    counts = rank_counts(scores, torch.tensor([2, 1]), known)
    assert counts.above.tolist() == [1, 0]  # entity 3; entity 1 is a known answer
    assert counts.equal.tolist() == [0, 2]
    assert counts.candidates.tolist() == [3, 3]


def test_a_tail_that_is_listed_twice_is_left_out_once():
    counts = rank_counts(torch.tensor([[1.0, 2, 3]]), torch.tensor([0]), (torch.tensor([0, 2]), torch.tensor([2, 2])))
    assert [count.tolist() for count in counts] == [[1], [0], [2]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_any_precision_and_memory_layout(dtype: torch.dtype):
    scores = torch.tensor([[1.0, 2, 3, 2], [0, 0, 1, 0]], dtype=dtype)
    expected = RankCounts(torch.tensor([1, 1]), torch.tensor([1, 2]), torch.tensor([4, 4]))
    wide = torch.zeros(2, 8, dtype=dtype)
    wide[:, ::2] = scores
    for given_scores in (scores, scores.t().contiguous().t(), wide[:, ::2], scores.clone().requires_grad_()):
        counts = rank_counts(given_scores, torch.tensor([1, 3], dtype=torch.int32), NOTHING)
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(counts, expected, strict=True))


def test_no_queries():
    counts = rank_counts(torch.zeros(0, 5), torch.zeros(0, dtype=torch.int64), (torch.zeros(1).long(), NOTHING[1]))
    assert [len(count) for count in counts] == [0, 0, 0]


@pytest.mark.parametrize(
    ("scores", "truth", "starts", "tails", "row", "message"),
    [
        (torch.zeros(2, 4), [0, 4], [0, 0, 0], [], None, r"truth must lie in \[0, 4\), but there is 4"),
        (torch.zeros(2, 4), [0, -1], [0, 0, 0], [], None, "there is -1"),
        (torch.zeros(2, 4), [0, 1], [0, 1, 2], [3, 9], None, "known tail must lie"),
        (torch.zeros(2, 4), [0, 1], [0, 0], [], None, "one more start"),
        (torch.zeros(2, 4), [0, 1], [0, 2, 1], [1, 2], None, "ascend"),
        (torch.zeros(2, 4), [0, 1], [0, 0, 1], [1, 2], None, "ascend"),
        (torch.zeros(2, 4), [0], [0, 0], [], None, "row="),
        (torch.zeros(2, 4), [0], [0, 0], [], [2], "row must lie"),
        (torch.zeros(2, 4), [0], [0, 0], [], [0, 1], "as many rows"),
    ],
)
def test_inputs_that_disagree(scores: Tensor, truth, starts, tails, row, message: str):
    ids = [torch.tensor(values, dtype=torch.int64) for values in (truth, starts, tails)]
    with pytest.raises(ValueError, match=message):
        unwrap(rank_counts)(scores, ids[0], (ids[1], ids[2]), None if row is None else torch.tensor(row))
