from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given as holds
from hypothesis import strategies as st

from gnnkg.core import Model
from gnnkg.encoders import Table
from gnnkg.evaluation.metrics import constant_scorer, metrics
from gnnkg.evaluation.ranks import TIES, Ranks, evaluating, rank_facts
from gnnkg.graph import KnowledgeGraph, KnownTails
from gnnkg.scorers import ComplEx, DistMult, RotatE, TransE
from tests.evaluation.toys import Ids, PerQuery, constant, given, ranks_by_hand
from tests.random_data import random_dataset, random_facts

ODD_SCORES = torch.tensor([-math.inf, -1.0, -0.0, 0.0, 1.0, math.inf, math.nan])


def counts(ranks: Ranks) -> list[tuple[int, ...]]:
    return [tuple(row) for row in torch.stack([ranks.above, ranks.equal, ranks.candidates], 1).tolist()]


@pytest.mark.parametrize("encoder", [Ids, PerQuery])
@holds(seed=st.integers(0, 2**20), num_entities=st.integers(1, 12), levels=st.integers(1, 7))
def test_counts_equal_the_definition_with_ties_nan_and_infinities(encoder, seed, num_entities, levels):
    draw = torch.Generator().manual_seed(seed)
    num_relations = 2
    every = random_facts(min(40, num_entities**2 * num_relations), num_entities, num_relations, seed)
    test = every[: len(every) // 2 + 1]
    graph = KnowledgeGraph(every[len(test) :], num_entities, num_relations)
    chosen = ODD_SCORES[torch.randperm(len(ODD_SCORES), generator=draw)[:levels]]
    scores = chosen[torch.randint(levels, (num_entities, 2 * num_relations, num_entities), generator=draw)]
    ranks = rank_facts(
        given(scores, encoder), graph, test, KnownTails(every, num_entities, num_relations), memory=1 + seed
    )
    expected = ranks_by_hand(lambda h, r, t: scores[h, r, t].item(), test, every, num_entities, num_relations)
    assert counts(ranks) == expected
    assert ranks.direction.tolist() == [0] * len(test) + [1] * len(test)


def test_without_known_facts_every_entity_is_a_candidate(dataset):
    graph = dataset.graph
    nothing = KnownTails(dataset.test[:0], graph.num_entities, graph.num_relations)
    ranks = rank_facts(constant(graph), graph, dataset.test, nothing)
    assert ranks.candidates.tolist() == [graph.num_entities] * (2 * len(dataset.test))


def test_no_facts_give_no_ranks(dataset):
    assert len(rank_facts(constant(dataset.graph), dataset.graph, dataset.test[:0], dataset.known()).above) == 0


def test_ranks_of_the_three_tie_policies():
    ranks = Ranks(*(torch.tensor([n]) for n in (2, 3, 9)), direction=torch.tensor([0]))
    assert [ranks.ranks(ties).item() for ties in TIES] == [3.0, 4.5, 6.0]


def test_a_constant_scorer_is_in_the_middle(dataset):
    ranks = rank_facts(constant(dataset.graph), dataset.graph, dataset.test, dataset.known())
    candidates = ranks.candidates.tolist()
    found = metrics(ranks.ranks(), ranks.candidates)
    assert found["mrr"] == pytest.approx(sum(2 / (c + 1) for c in candidates) / len(candidates))
    assert found == constant_scorer(ranks.candidates)


def test_a_model_that_scores_nan_is_last(dataset):
    ranks = rank_facts(constant(dataset.graph, math.nan), dataset.graph, dataset.test, dataset.known())
    assert torch.equal(ranks.ranks("optimistic"), ranks.candidates.double())


@pytest.mark.parametrize("scorer", [DistMult, ComplEx, RotatE, TransE])
def test_neither_the_budget_nor_the_order_of_facts_changes_a_rank(scorer):
    dataset = random_dataset(num_entities=101, num_relations=5, num_facts=4000)
    scorer = scorer(dim=20)
    model = Model(Table(dataset.graph, scorer.space), scorer)
    with torch.no_grad():
        model.encoder.entity[50:100] = model.encoder.entity[:50]  # twins tie, until a single bit is another
    facts, known = dataset.test, dataset.known()
    reference = rank_facts(model, dataset.graph, facts, known)
    assert (reference.equal == 1).float().mean() > 0.5
    for memory in (1, 30_000, 100_000, 10**6, 10**9):
        ranks = rank_facts(model, dataset.graph, facts, known, memory)
        assert counts(ranks) == counts(reference)
    order = torch.randperm(len(facts))
    shuffled = rank_facts(model, dataset.graph, facts[order], known)
    both = torch.cat([order, order + len(facts)])
    assert counts(shuffled) == [counts(reference)[i] for i in both]


def test_a_budget_does_not_break_ties_by_rounding():
    dim, num_entities = 64, 200
    facts = random_facts(3000, num_entities, 2, seed=1)
    facts = facts[facts[:, 0] < 10]
    graph, known = KnowledgeGraph(facts[:5], num_entities, 2), KnownTails(facts, num_entities, 2)
    scorer = DistMult(dim)
    model = Model(Table(graph, scorer.space), scorer)
    with torch.no_grad():
        model.encoder.relation.fill_(1)
        numbers = torch.randn(dim)  # the same numbers in another order: equal sums, but for rounding
        model.encoder.entity.copy_(torch.stack([numbers[torch.randperm(dim)] for _ in range(num_entities)]))
        model.encoder.entity[:10] = 1
    reference = counts(rank_facts(model, graph, facts, known))
    for memory in (1, 20_000, 50_000, 10**5):
        assert counts(rank_facts(model, graph, facts, known, memory)) == reference


def test_ranks_do_not_depend_on_the_numbers_of_entities():
    dataset = random_dataset(num_entities=20, num_relations=2, num_facts=300)
    graph, known = dataset.graph, dataset.known()
    scores = torch.randint(4, (20, 4, 20)).float()
    new = torch.randperm(20)  # entity e is now called new[e]
    old = torch.argsort(new)
    facts = [
        torch.stack([new[f[:, 0]], f[:, 1], new[f[:, 2]]], 1) for f in (graph.facts, dataset.test, dataset.facts())
    ]
    reference = rank_facts(given(scores), graph, dataset.test, known)
    renamed = rank_facts(
        given(scores[old][:, :, old]), KnowledgeGraph(facts[0], 20, 2), facts[1], KnownTails(facts[2], 20, 2)
    )
    assert counts(renamed) == counts(reference)


def test_the_graph_is_encoded_once_and_a_shared_query_scored_once(dataset):
    facts = torch.tensor([[0, 0, t] for t in range(13)])
    model = given(torch.randn(13, 6, 13))
    ranks = rank_facts(model, dataset.graph, facts, KnownTails(facts, 13, 3), memory=1)
    assert model.encoder.encodings == 1
    assert sum(model.scorer.calls) == 16  # (0, r, ?) and 13 head queries, padded to blocks of 8
    assert ranks.candidates[:13].tolist() == [1] * 13


@pytest.mark.parametrize("memory", [1, 50_000, 10**5, 10**6])
def test_no_more_is_scored_at_once_than_the_budget_holds(memory):
    dataset = random_dataset(num_entities=300, num_relations=2, num_facts=4000)
    model = given(torch.randn(300, 4, 300))
    rank_facts(model, dataset.graph, dataset.test, dataset.known(), memory)
    calls = model.scorer.calls
    assert sum(calls) >= 500
    assert max(calls) == 8 or max(calls) * 300 * 4 <= memory / 4
    assert all(size % 8 == 0 for size in calls)


def test_modes_come_back_after_evaluation_and_after_an_error():
    model = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Linear(2, 2)))
    model[1][0].eval()
    modes = [module.training for module in model.modules()]
    with evaluating(model):
        assert not any(module.training for module in model.modules())
        assert not model(torch.ones(1, 2)).requires_grad
    assert [module.training for module in model.modules()] == modes
    with pytest.raises(RuntimeError), evaluating(model):
        raise RuntimeError
    assert [module.training for module in model.modules()] == modes


def test_dropout_is_off(dataset):
    scorer = DistMult(dim=4)
    model = Model(Table(dataset.graph, scorer.space, entity_dropout=0.5), scorer)
    first, second = (rank_facts(model, dataset.graph, dataset.test, dataset.known()) for _ in range(2))
    assert counts(first) == counts(second)
    assert model.encoder.entity_dropout.training
