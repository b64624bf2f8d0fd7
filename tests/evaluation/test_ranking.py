from __future__ import annotations

import io
import json
import math
import time
from dataclasses import replace

import pytest
import torch
from rich.console import Console

from gnnkg.core import Model
from gnnkg.data import load
from gnnkg.data.dataset import Dataset
from gnnkg.encoders import Table
from gnnkg.evaluation.metrics import constant_scorer, metrics
from gnnkg.evaluation.protocol import Protocol
from gnnkg.evaluation.ranking import Evaluation, evaluate
from gnnkg.evaluation.ranks import Ranks, rank_facts
from gnnkg.graph import KnowledgeGraph
from gnnkg.scorers import DistMult, TransE
from tests.evaluation.toys import constant, given, ranks_by_hand
from tests.random_data import random_dataset, random_facts


def by_hand(scores: torch.Tensor, dataset: Dataset, known: torch.Tensor) -> Ranks:
    sizes = dataset.graph.num_entities, dataset.graph.num_relations
    found = ranks_by_hand(lambda h, r, t: scores[h, r, t].item(), dataset.test, known, *sizes)
    direction = torch.arange(2).repeat_interleave(len(dataset.test))
    return Ranks(*torch.tensor(found).unbind(1), direction)


@pytest.fixture
def scores(dataset) -> torch.Tensor:
    return torch.randint(
        5, (dataset.graph.num_entities, 2 * dataset.graph.num_relations, dataset.graph.num_entities)
    ).float()


def test_metrics_follow_from_ranks_by_the_definition(dataset, scores):
    found = evaluate(given(scores), dataset)
    ranks = by_hand(scores, dataset, dataset.facts())
    assert found.metrics == pytest.approx(metrics(ranks.ranks(), ranks.candidates))
    for ties in ("optimistic", "realistic", "pessimistic"):
        assert found.ties[ties] == pytest.approx(metrics(ranks.ranks(ties), ranks.candidates))
    assert found.ties["optimistic"]["mrr"] > found.metrics["mrr"] > found.ties["pessimistic"]["mrr"]
    for i, direction in enumerate(("tail", "head")):
        asked = ranks.direction == i
        alone = metrics(ranks.ranks()[asked], ranks.candidates[asked])
        assert found.directions[direction] == pytest.approx(alone | {"queries": len(dataset.test)})
    relation = dataset.test[:, 1].repeat(2)
    assert set(found.relations) == {dataset.relations[r] for r in relation.tolist()}
    for r in set(relation.tolist()):
        alone = metrics(ranks.ranks()[relation == r], ranks.candidates[relation == r])
        assert found.relations[dataset.relations[r]] == pytest.approx(alone | {"queries": int((relation == r).sum())})


@pytest.mark.parametrize("filter", [(), ("train",), ("train", "valid"), ("test", "train", "valid")])
def test_the_filter_leaves_out_what_it_names(dataset, scores, filter):
    found = evaluate(given(scores), dataset, filter=filter)
    known = dataset.facts(*filter) if filter else dataset.test[:0]
    ranks = by_hand(scores, dataset, known)
    assert found.metrics == pytest.approx(metrics(ranks.ranks(), ranks.candidates))
    assert set(found.protocol.filter) == set(filter)


def test_a_constant_scorer_gets_what_the_closed_form_says(dataset):
    found = evaluate(constant(dataset.graph), dataset)
    candidates = by_hand(torch.zeros(13, 6, 13), dataset, dataset.facts()).candidates
    assert found.metrics == pytest.approx(constant_scorer(candidates))
    assert found.ties["optimistic"]["mrr"] == 1
    assert found.metrics["amri"] == pytest.approx(0)


def test_the_budget_moves_no_figure():
    dataset = random_dataset(num_entities=60, num_relations=4, num_facts=2000)
    scorer = TransE(dim=16)
    model = Model(Table(dataset.graph, scorer.space), scorer)
    small, large = (evaluate(model, dataset, memory=memory, bootstrap=20) for memory in (1, 10**9))
    for name in ("metrics", "intervals", "ties", "directions", "categories", "relations", "entities"):
        assert getattr(small, name) == getattr(large, name)


def test_facts_with_unseen_entities_are_kept_and_shown_apart():
    facts = random_facts(80, 10, 3, seed=0)
    seen = (facts[:, 0] != 9) & (facts[:, 2] != 9)
    train, test = facts[seen][10:], torch.cat([facts[seen][:10], facts[~seen]])
    names = {"entities": tuple(map(str, range(10))), "relations": tuple("abc")}
    dataset = Dataset("with strangers", KnowledgeGraph(train, 10, 3), test[:0], test, **names)
    scores = torch.randn(10, 6, 10)
    found = evaluate(given(scores), dataset)
    assert found.num_facts == len(test)
    assert {name: row["queries"] for name, row in found.entities.items()} == {
        "seen": 20,
        "unseen": 2 * int((~seen).sum()),
    }
    ranks = by_hand(scores, dataset, facts)
    strange = ((test[:, 0] == 9) | (test[:, 2] == 9)).repeat(2)
    assert found.entities["unseen"]["mrr"] == pytest.approx((1 / ranks.ranks()[strange]).mean().item())
    assert "unseen" in shown(found)


@pytest.mark.datasets
def test_the_unseen_entities_of_wn18rr_are_kept():
    dataset = load("wn18rr")
    scorer = DistMult(dim=2)
    found = evaluate(Model(Table(dataset.graph, scorer.space), scorer), dataset)
    assert found.num_facts == 3134
    assert {name: row["queries"] for name, row in found.entities.items()} == {"seen": 2 * 2924, "unseen": 2 * 210}


@pytest.mark.datasets
def test_all_of_fb15k_237_is_ranked_in_seconds():
    dataset = load("fb15k-237")
    scorer = DistMult(dim=100)
    model = Model(Table(dataset.graph, scorer.space), scorer)
    rank_facts(model, dataset.graph, dataset.test[:10], dataset.known())  # compiles
    begin = time.process_time()
    ranks = rank_facts(model, dataset.graph, dataset.test, dataset.known())
    assert time.process_time() - begin < 15  # of processor time; about 2 where nothing else runs
    assert len(ranks.above) == 40932


def test_relation_categories_are_told_apart():
    train = torch.tensor([[0, 0, 1], [2, 0, 3]] + [[0, 1, t] for t in range(1, 5)] + [[h, 2, 0] for h in range(1, 5)])
    test = torch.tensor([[4, 0, 5], [0, 1, 5], [5, 2, 0], [1, 3, 2]])
    names = {"entities": tuple(map(str, range(6))), "relations": ("one", "tails", "heads", "absent")}
    dataset = Dataset("shapes", KnowledgeGraph(train, 6, 4), test[:0], test, **names)
    found = evaluate(constant(dataset.graph), dataset)
    assert list(found.categories) == ["1-1", "1-N", "N-1", "none"]
    assert all(row["both"]["queries"] == 2 and row["tail"]["queries"] == 1 for row in found.categories.values())
    assert found.categories["1-N"]["tail"]["mrr"] == pytest.approx(2 / 3)  # two entities are no known answers
    assert found.categories["1-N"]["head"]["mrr"] == pytest.approx(2 / 7)


def test_intervals_hold_the_figure_and_follow_the_seed(dataset, scores):
    first, again, other = (evaluate(given(scores), dataset, seed=seed) for seed in (3, 3, 4))
    assert first.intervals == again.intervals != other.intervals
    assert all(low <= first.metrics[name] <= high for name, (low, high) in first.intervals.items())
    assert evaluate(given(scores), dataset, bootstrap=0).intervals == {}


def test_given_facts_are_ranked_instead_of_a_split(dataset, scores):
    found = evaluate(given(scores), dataset, facts=dataset.test[:3])
    assert (found.num_facts, found.split) == (3, "given facts")
    assert found.data_hash == dataset.data_hash


def test_an_empty_split_is_refused(dataset):
    with pytest.raises(ValueError, match="random has none in valid"):
        evaluate(constant(dataset.graph), replace(dataset, valid=dataset.test[:0]), "valid")


def test_it_is_written_and_read_back(dataset, scores):
    found = evaluate(given(scores), dataset)
    assert Evaluation.from_dict(json.loads(found.to_json())).to_dict() == found.to_dict()
    assert json.loads(found.to_json())["protocol"] == Protocol().to_dict()
    undefined = replace(found, metrics=found.metrics | {"amri": math.nan})
    assert json.loads(undefined.to_json())["metrics"]["amri"] is None
    assert math.isnan(Evaluation.from_dict(undefined.to_dict()).metrics["amri"])
    with pytest.raises(ValueError, match="missing or unknown: protocol"):
        Evaluation.from_dict({name: value for name, value in found.to_dict().items() if name != "protocol"})


def shown(found: Evaluation) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(found)
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("sampled", [False, True])
def test_it_fits_on_a_terminal(dataset, scores, sampled):
    found = evaluate(given(scores), dataset, sampled=sampled)
    text = shown(replace(found, metrics=found.metrics | {"mr": 1_234.5 if sampled else 12_345.6}))
    assert "…" not in text
    assert ("of 50" in text) == sampled
    (row,) = [line for line in text.splitlines() if line.startswith(" all  ")]
    assert f"{found.metrics['amri']:.4f}" in row
    for word in (
        "random, test: 10 facts",
        "filtered by train + valid + test",
        "95 % from",
        "pessimistic",
        "head",
        "N-N",
    ):
        assert word in text
