from __future__ import annotations

import math
import time

import pytest
import torch

from gnnkg.evaluation.metrics import (
    METRICS,
    SAMPLED,
    bootstrap_intervals,
    constant_scorer,
    hits_of_sample,
    metrics,
    metrics_by_group,
    summands,
)

RANKS = torch.tensor([1.0, 2.0, 3.5, 10.0, 40.0], dtype=torch.float64)
CANDIDATES = torch.tensor([10, 20, 30, 40, 50])


def test_metrics_equal_their_definition():
    found = metrics(RANKS, CANDIDATES)
    assert list(found) == list(METRICS)
    assert found["mrr"] == pytest.approx((1 + 1 / 2 + 1 / 3.5 + 1 / 10 + 1 / 40) / 5)
    assert found["mr"] == pytest.approx(56.5 / 5)
    assert [found[f"hits@{k}"] for k in (1, 3, 10)] == pytest.approx([1 / 5, 2 / 5, 4 / 5])
    assert found["amri"] == pytest.approx(1 - (56.5 / 5 - 1) / ((4.5 + 9.5 + 14.5 + 19.5 + 24.5) / 5))


def test_a_perfect_and_the_worst_model():
    assert metrics(torch.ones(5, dtype=torch.float64), CANDIDATES) == {
        "mrr": 1, "mr": 1, "hits@1": 1, "hits@3": 1, "hits@10": 1, "amri": 1
    }  # fmt: skip
    assert metrics(CANDIDATES.double(), CANDIDATES)["amri"] == pytest.approx(-1)


def test_amri_of_random_orders_is_zero():
    candidates = torch.randint(2, 1000, (200_000,))
    ranks = 1 + (torch.rand(200_000, dtype=torch.float64) * candidates).floor()
    assert metrics(ranks, candidates)["amri"] == pytest.approx(0, abs=0.005)
    assert metrics(ranks, candidates)["mr"] == pytest.approx(((candidates + 1) / 2).mean().item(), rel=0.005)


def test_a_constant_scorer_has_an_amri_of_zero():
    assert constant_scorer(CANDIDATES)["amri"] == pytest.approx(0)
    assert constant_scorer(CANDIDATES)["mrr"] == pytest.approx(sum(2 / (c + 1) for c in CANDIDATES.tolist()) / 5)


def test_metrics_of_nothing_are_nan():
    assert all(math.isnan(value) for value in metrics(RANKS[:0], CANDIDATES[:0]).values())
    assert math.isnan(metrics(RANKS[:1], torch.tensor([1]))["amri"])


def test_groups_are_measured_as_if_alone():
    group = torch.tensor([2, 0, 2, 0, 2])
    found = metrics_by_group(summands(RANKS, CANDIDATES), group, ("a", "b", "c"))
    assert list(found) == ["a", "c"]
    for name, i in (("a", 0), ("c", 2)):
        alone = metrics(RANKS[group == i], CANDIDATES[group == i])
        assert found[name] == pytest.approx(alone | {"queries": int((group == i).sum())})


def test_intervals_cover_the_truth_as_often_as_they_say():
    covered = 0
    for seed in range(200):
        draw = torch.Generator().manual_seed(seed)
        ranks = 1 + torch.empty(300, dtype=torch.float64).geometric_(0.2, generator=draw)
        low, high = bootstrap_intervals(summands(ranks, torch.full((300,), 1000)), 200, seed)["mr"]
        covered += low <= 1 + 1 / 0.2 <= high
    assert 0.89 <= covered / 200 <= 0.985


def test_intervals_are_repeatable_and_ordered():
    values = summands(RANKS, CANDIDATES)
    first, again, other = (bootstrap_intervals(values, 300, seed) for seed in (0, 0, 1))
    assert first == again != other
    for name, value in metrics(RANKS, CANDIDATES).items():
        low, high = first[name]
        assert low <= value <= high
        assert low < high
    assert bootstrap_intervals(values, 0, 0) == {}


def test_a_thousand_resamples_of_twenty_thousand_facts_take_less_than_a_second():
    values = summands(torch.rand(20_000).double() * 100 + 1, torch.full((20_000,), 1000))
    begin = time.process_time()
    bootstrap_intervals(values, 1000, 0)
    assert time.process_time() - begin < 2  # of processor time, on two cores


def test_the_chance_of_a_hit_among_drawn_candidates_is_what_drawing_gives():
    """Each draw with replacement; one that ties scores above the truth by the toss of a coin."""
    above, equal = torch.tensor([0, 3, 20, 5, 40, 0, 99]), torch.tensor([0, 0, 0, 50, 10, 99, 0])
    candidates = torch.full((7,), 100)
    found = hits_of_sample(1 + above.double() + equal.double() / 2, candidates)
    drawn = torch.randint(99, (20_000, 50, 1))
    coin = torch.rand(drawn.shape) < 0.5
    higher = (drawn < above) | (coin & (drawn >= above) & (drawn < above + equal))
    share = (higher.sum(1) < 10).double().mean(0)
    error = (found * (1 - found) / 20_000).sqrt()
    assert ((share - found).abs() <= 4 * error + 1e-12).all()
    assert found[0] == 1
    assert found[-1] == 0
    assert 0.1 < found[2] < 0.9


def test_the_chance_of_a_hit_by_hand():
    # two candidates are drawn from two others, of which one scores higher: both do with 1/4
    assert hits_of_sample(torch.tensor([2.0]), torch.tensor([3]), k=2, drawn=2).item() == pytest.approx(3 / 4)
    assert hits_of_sample(torch.tensor([1.0]), torch.tensor([1])).item() == 1  # there is nothing to draw


def test_sampled_hits_come_last_and_leave_the_others_alone():
    found = metrics(RANKS, CANDIDATES, sampled=True)
    assert list(found) == [*METRICS, SAMPLED]
    assert {name: found[name] for name in METRICS} == metrics(RANKS, CANDIDATES)
    assert found[SAMPLED] == pytest.approx(hits_of_sample(RANKS, CANDIDATES).mean().item())
    low, high = bootstrap_intervals(summands(RANKS, CANDIDATES, sampled=True), 300, 0)[SAMPLED]
    assert low < found[SAMPLED] < high
