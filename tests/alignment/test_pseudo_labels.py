"""Probation, look by look."""

from __future__ import annotations

import pytest
import torch

from gnnkg.alignment.pseudo_labels import Probation, PseudoLabels


def links(*pairs: tuple[int, int]) -> torch.Tensor:
    return torch.tensor(pairs).view(-1, 2)


def test_a_pair_must_be_there_at_every_look_since_the_last_replacement():
    labels = PseudoLabels(Probation(renew=3, promote=6))
    seen = [
        links((0, 0), (1, 1), (2, 2)),  # replaced, and soon again
        links((0, 0), (1, 1)),
        links((0, 0), (1, 1)),
        links((1, 1), (2, 2), (3, 3)),  # replaced
        links((1, 1), (3, 3), (4, 4)),  # 4 comes too late, 2 is missing
        links((1, 1), (2, 2), (3, 3), (4, 4)),
    ]
    assert [labels.look(each) for each in seen] == [False] * 5 + [True]
    assert labels.promoted.tolist() == [[1, 1], [3, 3]]
    assert not len(labels.candidates)


def test_pools_hold_neither_seeds_nor_the_promoted():
    labels = PseudoLabels(Probation(renew=2, promote=2))
    labels.look(links((1, 2)))
    labels.look(links((1, 2)))
    left, right = labels.pools(links((0, 0)), 4, 4)
    assert left.tolist() == [2, 3]
    assert right.tolist() == [1, 3]


def test_those_who_joined_may_be_replaced():
    labels = PseudoLabels(Probation(renew=2, promote=2, for_good=False))
    for seen in (links((1, 2), (3, 3)), links((1, 2)), links((1, 1), (3, 3))):
        labels.look(seen)
    assert labels.promoted.tolist() == [[1, 2]], "until the next promotion"
    assert [side.tolist() for side in labels.pools(links((0, 0)), 4, 4)] == [[1, 2, 3], [1, 2, 3]]
    assert labels.look(links((1, 1), (2, 3), (3, 3)))
    assert labels.promoted.tolist() == [[1, 1], [3, 3]]


def test_nothing_joins_without_probation():
    for settings in ({"renew": 1, "promote": 1}, {"renew": 5, "promote": 6}, {"every": 0}):
        with pytest.raises(ValueError, match="must be at least 1"):
            Probation(**settings)
    with pytest.raises(ValueError, match="from 0 on, not at -1"):
        Probation(begin=-1)


def test_when_pairs_are_looked_at():
    probation = Probation(begin=3, every=2)
    assert [epoch for epoch in range(10) if probation.looks_after(epoch)] == [5, 7, 9]


def test_the_state_comes_back():
    labels = PseudoLabels(Probation(renew=2, promote=4))
    labels.look(links((1, 2), (3, 3)))
    again = PseudoLabels(labels.probation)
    again.load_state_dict(labels.state_dict())
    assert (again.looks, again.candidates.tolist()) == (1, [[1, 2], [3, 3]])
