"""Attacks on facts, against every change of a tiny graph."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial

import pytest
import torch

from gnnkg.core import Model
from gnnkg.data.dataset import Dataset
from gnnkg.encoders import RGCN, CompGCN, NBFNet, Table
from gnnkg.evaluation.events import InTop
from gnnkg.evaluation.explanation import edge_importance
from gnnkg.evaluation.fact_attacks import Pool, additions, attack, scores_by_facts
from gnnkg.evaluation.fact_trial import WAYS, attack_facts
from gnnkg.graph import KnowledgeGraph
from gnnkg.scorers import MLP, DistMult
from tests.evaluation.planted import BellmanFord, family, trained
from tests.evaluation.test_explanation import Deaf
from tests.random_data import random_graph

NETWORKS = {
    "RGCN": (partial(RGCN, num_layers=2), lambda: DistMult(4)),
    "CompGCN": (partial(CompGCN, num_layers=2), lambda: DistMult(4)),
    "NBFNet": (partial(NBFNet, num_layers=2), lambda: MLP(4, 5, reads_head=False)),
}
every_network = pytest.mark.parametrize("name", NETWORKS)
ENTITIES, RELATIONS = 5, 2


def tiny(name: str, seed: int = 0) -> tuple[Model, KnowledgeGraph]:
    encoder, make = NETWORKS[name]
    graph, scorer = random_graph(ENTITIES, RELATIONS, num_facts=9, seed=seed), make()
    return Model(encoder(graph, scorer.space), scorer).double().eval(), graph


def margin(model: Model, facts: list[tuple[int, ...]], head: int, relation: int, truth: int) -> float:
    """Of the truth over all others, on a graph that is built of these facts."""
    graph = KnowledgeGraph(torch.tensor(facts).reshape(-1, 3), ENTITIES, RELATIONS)
    with torch.no_grad():
        scores = model(graph, torch.tensor([head]), torch.tensor([relation]))[0]
    return float(scores[truth] - scores[torch.arange(ENTITIES) != truth].max())


def asked(model: Model, pool: Pool, query: tuple[int, int, int]) -> InTop:
    head, relation, truth = (torch.tensor([each]) for each in query)
    nobody = torch.zeros(1, ENTITIES, dtype=torch.bool)
    return InTop(scores_by_facts(model, pool, head, relation), truth, nobody)


def queries_that_hold(model: Model, graph: KnowledgeGraph, count: int) -> list[tuple[int, int, int]]:
    facts = list(map(tuple, graph.facts.tolist()))
    every = itertools.product(range(ENTITIES), range(2 * RELATIONS), range(ENTITIES))
    return [query for query in every if margin(model, facts, *query) > 0][:: ENTITIES * 2 * RELATIONS // count]


def absent(graph: KnowledgeGraph) -> torch.Tensor:
    every = torch.cartesian_prod(torch.arange(ENTITIES), torch.arange(RELATIONS), torch.arange(ENTITIES))
    return every[~graph.known.holds(*every.unbind(1))]


@every_network
@pytest.mark.parametrize("kind", ["delete", "add"])
def test_against_every_change_of_a_tiny_graph(name, kind):
    """One change: the best of all. Two: what greed finds is a real change, and never better than the best pair."""
    model, graph = tiny(name)
    others = absent(graph)[::5]
    pool = Pool.of(graph, others, torch.float64)
    stated = list(map(tuple, graph.facts.tolist()))
    rows = range(len(stated)) if kind == "delete" else range(len(stated), len(pool.start))

    def changed(*rows: int) -> list[tuple[int, ...]]:
        gone = {stated[row] for row in rows if row < len(stated)}
        more = [tuple(pool.graph.facts[row].tolist()) for row in rows if row >= len(stated)]
        return [fact for fact in stated if fact not in gone] + more

    free = torch.zeros(len(pool.start), dtype=torch.bool)
    free[list(rows)] = True
    turned, possible = 0, 0
    for query in queries_that_hold(model, graph, 3):
        event = asked(model, pool, query)
        best = {
            n: min(margin(model, changed(*some), *query) for some in itertools.combinations(rows, n)) for n in (1, 2)
        }
        one = attack(event, pool.start, free, 1, tries=len(rows))
        assert one.margins[-1] == pytest.approx(best[1])
        assert one.needed == (1 if best[1] <= 0 else None)
        for method in ("gradient", "random"):
            two = attack(event, pool.start, free, 2, method=method, tries=4, generator=torch.Generator().manual_seed(0))
            assert two.held
            assert two.margins[-1] == pytest.approx(margin(model, changed(*two.rows), *query))
            least = best[len(two.rows)]
            assert two.margins[-1] >= least - 1e-5 * abs(least)
            assert set(two.rows) <= set(rows)
            if method == "gradient":
                turned += two.needed is not None
        possible += best[2] <= 0
    assert turned >= 0.75 * possible > 0


@every_network
def test_the_slope_is_that_of_the_edges_that_explain(name):
    """The gradient by a fact is the importance of its edges, of all layers and both ways, for the truth less for the rival."""
    model, graph = tiny(name)
    pool = Pool.of(graph, graph.facts[:0], torch.float64)
    query = queries_that_hold(model, graph, 1)[0]
    event, zero = asked(model, pool, query), torch.zeros(1, dtype=torch.long)
    rival = event.rivals(pool.start.unsqueeze(0), zero, 1)[0]
    edges = sum(
        sign * edge_importance(model, graph, *query[:2], answer) for sign, answer in ((1, query[2]), (-1, int(rival)))
    )
    expected = torch.zeros(len(graph.facts), dtype=torch.float64)
    expected.index_add_(0, graph.messages.edges.order % len(graph.facts), edges.sum(0))
    torch.testing.assert_close(event.slope(pool.start.unsqueeze(0), zero, rival)[0], expected)


def with_grandparents() -> Dataset:
    """The planted data set, with the facts that a network is trained on as its validation facts."""
    dataset, _ = family()
    facts = dataset.graph.facts
    return replace(dataset, valid=facts[facts[:, 1] == 1])


def test_gradient_finds_more_than_chance_on_a_trained_network():
    torch.manual_seed(1)
    dataset = with_grandparents()
    model = trained(BellmanFord, DistMult(8), dataset)
    trial = attack_facts(model, dataset, "valid", kinds=["delete"], budgets=[1, 2, 3], num_queries=None, tries=3)
    assert trial.held >= 10
    gradient, best_of, blind = (trial.changed("delete", way.name, 2) for way in WAYS)
    assert gradient > best_of >= blind
    assert (
        trial.changed("delete", WAYS[0].name, 1) <= gradient <= trial.changed("delete", WAYS[0].name, 3) <= trial.held
    )
    for row in trial.rows:
        needed = row.needed["delete"][WAYS[0].name]
        assert len(row.turned_by.get("delete", ())) == (needed or 0)
        assert row.held or needed is None


def test_an_encoder_that_reads_no_facts_or_no_weights_is_refused(dataset):
    scorer = DistMult(4)
    with pytest.raises(ValueError, match="Table does not read the facts"):
        attack_facts(Model(Table(dataset.graph, scorer.space), scorer), dataset)
    with pytest.raises(ValueError, match=r"Deaf has 3 layers, but .* pass graph\.messages\.weight"):
        attack_facts(Model(Deaf(dataset.graph, scorer.space), scorer), dataset)
    network = Model(RGCN(dataset.graph, scorer.space), scorer)
    with pytest.raises(
        ValueError, match=r"budgets and candidates numbers of facts of at least 1; not .*, \[0\] and 256"
    ):
        attack_facts(network, dataset, budgets=[0])
    with pytest.raises(ValueError, match="tries at least one, not 10 and 0"):
        attack_facts(network, dataset, "train", top=13, tries=0)


def test_additions_are_new_facts_of_the_ends(dataset):
    graph, ends = dataset.graph, torch.tensor([3, 5])
    found = additions(graph, ends, 30, torch.Generator().manual_seed(0))
    assert len(found) == len(torch.unique(found, dim=0)) == 30
    assert torch.isin(found[:, [0, 2]], ends).any(1).all()
    assert not graph.known.holds(*found.unbind(1)).any()
    assert len(torch.unique(found[:, 1])) == graph.num_relations
