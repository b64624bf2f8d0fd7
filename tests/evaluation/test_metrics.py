from __future__ import annotations

import math
import time

import pytest
import torch

from gnnkg.evaluation.metrics import (
    METRICS,
    bootstrap_intervals,
    constant_scorer,
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
