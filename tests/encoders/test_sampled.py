from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.testing import assert_close

from gnnkg.core import Candidates
from gnnkg.encoders import RGCN, CompGCN, NBFNet, Sampled, Table
from gnnkg.experiment import build, from_config
from gnnkg.scorers import DistMult
from tests.random_data import random_dataset, random_graph

ALL = 1000
"""a fanout that draws every edge"""
CompGCNWithoutDropout = partial(CompGCN, dropout=0.0, hidden_dropout=0.0)


def difference(make, graph, fanout: int, draws: int = 1) -> float:
    """How far the mean of sampled vectors is from the whole graph's, relative to their length; batch statistics apart."""
    torch.manual_seed(1)
    sampled = Sampled(graph, DistMult(8).space, make, fanout)
    sampled.encoder.eval()
    head, relation, own = torch.tensor([1, 5, 3]), torch.tensor([0, 1, 1]), torch.tensor([2, 2, 7])
    candidates = Candidates(torch.tensor([[4, 6, 6, 9]]), own)
    with torch.no_grad():
        whole = sampled.encoder(graph)(head, relation, candidates)
        parts = [sampled(graph)(head, relation, candidates) for _ in range(draws)]
    drawn = torch.stack([torch.cat([part.tail.flatten(), part.head.flatten(), part.own.flatten()]) for part in parts])
    exact = torch.cat([whole.tail.flatten(), whole.head.flatten(), whole.own.flatten()])
    return float((drawn.mean(0) - exact).norm() / exact.norm())


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("encoder", [RGCN, CompGCN, NBFNet])
def test_every_edge_drawn_is_the_whole_graph(encoder, num_layers) -> None:
    graph = random_graph(num_entities=40, num_facts=90)
    make = partial(encoder, num_layers=num_layers)
    assert difference(make, graph, ALL) < 1e-6
    assert difference(make, graph.without(*graph.facts[:9].unbind(1)), ALL) < 1e-6


@pytest.mark.parametrize("encoder", [RGCN, CompGCN])
def test_a_mean_or_a_sum_over_edges_is_estimated_without_bias(encoder) -> None:
    graph = random_graph(num_relations=1, num_facts=90)
    make = partial(encoder, num_layers=1)
    one, many = difference(make, graph, 4), difference(make, graph, 4, draws=400)
    assert many < one / 5


@pytest.mark.parametrize("encoder", [RGCN, CompGCN, NBFNet])
def test_more_edges_are_closer_to_the_whole_graph(encoder) -> None:
    graph = random_graph(num_entities=60, num_facts=900)
    few, more = (difference(partial(encoder, num_layers=2), graph, fanout) for fanout in (2, 20))
    assert more < 0.7 * few < 1


def test_a_part_of_a_part_has_the_degrees_of_the_whole() -> None:
    graph = random_graph()
    every = torch.arange(graph.num_entities), torch.arange(2 * len(graph.facts))
    part = graph.part(*every)
    half = part.part(torch.arange(4), torch.tensor([], dtype=torch.int64))
    assert half.part_of.graph is graph


def test_a_part_has_the_drawn_edges_only() -> None:
    graph = random_graph(num_entities=60, num_facts=300).without(*random_graph(60, 3, 300).facts[:100].unbind(1))
    entities, edges = graph.neighbourhood(torch.tensor([3, 9]), num_hops=2, fanout=2)
    assert {3, 9} <= set(entities.tolist())
    assert len(entities) <= 2 * (1 + 2 + 2 * 3)
    whole, weight = graph.messages
    assert (weight[edges] == 1).all(), "a fact that was taken out is never drawn"
    part = graph.part(entities, edges)
    assert torch.equal(part.part_of.entities, entities)
    small, there = part.messages
    kept = there == 1
    named = torch.stack([entities[small.source], small.relation, entities[small.target]], 1)[kept]
    drawn = torch.stack([whole.source[edges], whole.relation[edges], whole.target[edges]], 1)
    assert sorted(named.tolist()) == sorted(drawn.tolist())


def test_what_is_not_asked_about_costs_nothing_and_has_no_gradient() -> None:
    graph = random_graph(num_entities=60, num_facts=50)
    sampled = Sampled(graph, DistMult(8).space, RGCN, fanout=2)
    vectors = sampled(graph)(torch.tensor([3]), torch.tensor([0]), Candidates(torch.tensor([[5]])))
    vectors.tail.sum().backward()
    reached = sampled.encoder.table.entity.grad.abs().sum(1) > 0
    assert 1 <= reached.sum() < 20


def test_the_same_seed_draws_the_same_edges() -> None:
    graph = random_graph(num_facts=90)
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(graph.neighbourhood(torch.arange(4), 2, 2)[1].tolist())
    assert draws[0] == draws[1] != draws[2]


def test_evaluation_encodes_the_whole_graph() -> None:
    graph, asked = random_graph(), torch.arange(6)
    sampled = Sampled(graph, DistMult(8).space, CompGCNWithoutDropout, fanout=1).eval()
    assert_close(sampled(graph)(asked, asked).tail, sampled.encoder(graph)(asked, asked).tail, rtol=0, atol=0)


def test_what_cannot_be_sampled() -> None:
    with pytest.raises(ValueError, match="passes no messages"):
        Sampled(random_graph(), DistMult(8).space, Table)
    with pytest.raises(ValueError, match="fanout"):
        Sampled(random_graph(), DistMult(8).space, RGCN, 0)


def test_it_is_configured_with_the_encoder_inside() -> None:
    inner = {"class_path": "CompGCN", "init_args": {"composition": "mult"}}
    experiment = from_config(
        {
            "dataset": "cldr",
            "scorer": {"class_path": "DistMult", "init_args": {"dim": 8}},
            "encoder": {"class_path": "Sampled", "init_args": {"encoder": inner, "fanout": 2}},
            "sampler": "Uniform",
            "terms": {"loss": {"class_path": "Ranking", "init_args": {"loss": "CrossEntropy"}}},
            "optimizer": "Adam",
            "steps": 1,
        }
    )
    model, _ = build(experiment, random_dataset())
    assert isinstance(model.encoder.encoder, CompGCN)
    assert model.encoder.encoder.layers[0].composition == "mult"
