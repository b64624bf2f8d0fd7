from __future__ import annotations

import pytest
import torch

from gnnkg.data.hidden import hide_facts
from gnnkg.data.multihop import STRUCTURES, AnsweredQueries, Hop, answers, sample_queries
from gnnkg.data.multihop.query import Anchor, relations
from gnnkg.evaluation.multihop.batch import shape_of
from tests.random_data import random_dataset


@pytest.mark.parametrize("split", ["valid", "test"])
def test_queries_of_every_structure_have_the_answers_that_facts_give(split, dataset):
    found = sample_queries(dataset, count=10, split=split)
    assert list(found) == list(STRUCTURES)
    before = ("train",) if split == "valid" else ("train", "valid")
    for structure, asked in found.items():
        assert 0 < len(asked) <= 10
        assert len(set(asked.queries)) == len(asked)
        for query, every, hard in zip(asked.queries, asked.answers, asked.hard, strict=True):
            assert shape_of(query) == STRUCTURES[structure]
            assert torch.equal(every, answers(query, dataset.known(*before, split)))
            easy = set(answers(query, dataset.known(*before)).tolist())
            assert set(hard.tolist()) == set(every.tolist()) - easy != set()


def test_what_a_hidden_fact_answers_is_true_but_not_asked_for_in_test():
    dataset = hide_facts(random_dataset(num_facts=200), 0.3)
    more = 0
    for split, before in (("test", ("train", "valid")), ("valid", ("train",))):
        known = (*before, split)
        true = dataset.truths if split == "test" else known
        for asked in sample_queries(dataset, ["1p", "2i"], 20, split=split).values():
            for query, every, hard in zip(asked.queries, asked.answers, asked.hard, strict=True):
                assert torch.equal(every, answers(query, dataset.known(*true)))
                found, easy = (set(answers(query, dataset.known(*splits)).tolist()) for splits in (known, before))
                assert set(hard.tolist()) == found - easy
                more += len(every) > len(found)
    assert more > 10


def test_the_same_seed_gives_the_same_queries_and_another_gives_others(dataset):
    first, again, other = (sample_queries(dataset, ["2p"], 20, seed=seed)["2p"].queries for seed in (0, 0, 1))
    assert first == again != other


def test_no_hop_undoes_the_one_before(dataset):
    r = dataset.graph.num_relations
    for query in sample_queries(dataset, ["2p"], 50)["2p"].queries:
        first, second = relations(query)
        assert abs(first - second) != r


def test_queries_with_many_answers_can_be_left_out(dataset):
    assert max(map(len, sample_queries(dataset, ["2u"], 20)["2u"].answers)) > 4
    assert max(map(len, sample_queries(dataset, ["2u"], 20, most=4)["2u"].answers)) <= 4


def test_what_cannot_be_sampled_is_said(dataset):
    with pytest.raises(ValueError, match="has none in 'train'"):
        sample_queries(dataset, split="train")
    with pytest.raises(ValueError, match="gives no 1p query whose answers need a fact of test"):
        sample_queries(dataset, ["1p"], 2, most=0)


def test_answered_queries_refuse_what_does_not_fit():
    query, ids = Hop(Anchor(0), 0), torch.tensor
    with pytest.raises(ValueError, match="not 1, 0 and 1"):
        AnsweredQueries("1p", (query,), (), (ids([1]),))
    with pytest.raises(ValueError, match="no hard answer"):
        AnsweredQueries("1p", (query,), (ids([1]),), (ids([], dtype=torch.int64),))
    with pytest.raises(ValueError, match="not among its answers"):
        AnsweredQueries("1p", (query,), (ids([1]),), (ids([2]),))


def test_some_can_be_chosen(dataset):
    asked = sample_queries(dataset, ["2p"], 20)["2p"]
    few = asked.of([3, 1])
    assert few.queries == (asked.queries[3], asked.queries[1])
    assert torch.equal(few.hard[0], asked.hard[3])
    assert torch.equal(few.answers[1], asked.answers[1])
