from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gnnkg.data.split import split_facts

N, R = 12, 3
fact = st.tuples(st.integers(0, N - 1), st.integers(0, R - 1), st.integers(0, N - 1))
many = st.lists(fact, min_size=1, max_size=60)
SHARES = (0.6, 0.2, 0.2)


def split(rows, shares=SHARES, seed=0):
    parts = split_facts(torch.tensor(rows, dtype=torch.int64).reshape(-1, 3), N, R, shares, seed)
    return [[tuple(row) for row in part.tolist()] for part in parts]


@given(many, st.integers(0, 5))
def test_every_fact_is_in_one_part_in_the_order_given(rows, seed):
    parts = split(rows, seed=seed)
    assert sorted(row for part in parts for row in part) == sorted(rows)
    for part in parts:
        assert part == [row for row in rows if row in part]


@given(many, st.integers(0, 5))
def test_no_pair_of_entities_is_on_two_sides(rows, seed):
    pairs = [{frozenset((h, t)) for h, _, t in part} for part in split(rows, seed=seed)]
    assert sum(map(len, pairs)) == len(set().union(*pairs))


@given(many, st.integers(0, 5))
def test_all_that_is_held_out_occurs_in_train(rows, seed):
    train, *rest = split(rows, seed=seed)
    held_out = [row for part in rest for row in part]
    assert {e for h, _, t in held_out for e in (h, t)} <= {e for h, _, t in train for e in (h, t)}
    assert {r for _, r, _ in held_out} <= {r for _, r, _ in train}


@given(many, st.randoms(use_true_random=False))
def test_the_order_of_the_facts_does_not_matter(rows, random):
    shuffled = random.sample(rows, len(rows))
    assert [sorted(part) for part in split(rows)] == [sorted(part) for part in split(shuffled)]


@given(many)
def test_no_part_exceeds_its_share(rows):
    _, valid, test = split(rows)
    assert len(valid) <= round(0.2 * len(rows))
    assert len(test) <= round(0.2 * len(rows))


def test_shares_are_met_where_there_are_facts_enough():
    rows = [(h, (h + t) % R, t) for h in range(N) for t in range(h)]
    assert [len(part) for part in split(rows, (0.7, 0.2, 0.1))] == [46, 13, 7]
    assert split(rows, (1.0,)) == [rows]


def test_seeds_differ_and_repeat():
    rows = [(h, (h + t) % R, t) for h in range(N) for t in range(h)]
    assert split(rows, seed=1) == split(rows, seed=1)
    assert split(rows, seed=1) != split(rows, seed=2)


def test_a_seed_gives_the_same_split_for_ever():
    assert split([(h, 0, h + 1) for h in range(5)] + [(0, 0, 4), (1, 0, 3), (0, 0, 3)])[1:] == [
        [(3, 0, 4), (0, 0, 3)],
        [(1, 0, 2), (0, 0, 4)],
    ]


def test_no_facts():
    assert split([]) == [[], [], []]


@pytest.mark.parametrize("shares", [(), (0.5, 0.2), (1.2, -0.2)])
def test_shares_that_cannot_be(shares):
    with pytest.raises(ValueError, match="sum to 1"):
        split([(0, 0, 1)], shares)


def test_facts_of_one_pair_may_part_where_they_need_not_stay_together():
    rows = [(h, r, t) for h in range(6) for t in range(6) for r in range(R)]
    train, valid = split_facts(torch.tensor(rows), N, R, (0.9, 0.1), 0, together=False)
    assert len(valid) == round(0.1 * len(rows))
    assert sorted([*map(tuple, train.tolist()), *map(tuple, valid.tolist())]) == sorted(rows)
    pairs = {(h, t) for h, _, t in train.tolist()}
    assert sum((h, t) in pairs for h, _, t in valid.tolist()) > len(valid) / 2


def test_copies_of_a_fact_stay_together_always():
    rows = [(h, 0, t) for h in range(6) for t in range(6)] * 2
    train, valid = split_facts(torch.tensor(rows), N, R, (0.8, 0.2), 0, together=False)
    assert not set(map(tuple, train.tolist())) & set(map(tuple, valid.tolist()))
