"""Ranking under noise: nothing at alpha 0, the same at any budget and any scale, and the noise that was asked for."""

from __future__ import annotations

import json
import math
from functools import partial

import pytest
import torch
from scipy import stats

from gnnkg.core import Candidates, Model
from gnnkg.encoders import RGCN, CompGCN, NBFNet, Table
from gnnkg.evaluation.noisy import Encoded, NoisyLookup, keyed_noise, noisy_part
from gnnkg.evaluation.perturbed import NoiseTest, noise_test, num_rankings
from gnnkg.evaluation.ranking import evaluate
from gnnkg.evaluation.ranks import evaluating, rank_facts
from gnnkg.noise import spread
from gnnkg.scorers import MLP, DistMult, RotatE
from tests.random_data import random_dataset
from tests.test_noise import CDF


def table_model(dataset, scorer=None) -> Model:
    torch.manual_seed(0)
    scorer = scorer or DistMult(6)
    return Model(Table(dataset.graph, scorer.space, entity_dropout=0.3), scorer)


@pytest.mark.parametrize("family", CDF)
def test_keyed_noise_has_its_family_s_distribution_and_no_correlation(family):
    noise = keyed_noise(torch.arange(400), 100, seed=3, family=family)
    assert stats.kstest(noise.flatten().numpy(), CDF[family]).pvalue > 0.001
    rows = noise @ noise.T / 100
    assert (rows - torch.diag(rows.diag())).abs().max() < 0.6  # 80,000 correlations of standard deviation 0.1
    columns = noise.T @ noise / 400
    assert (columns - torch.diag(columns.diag())).abs().max() < 0.3
    other = keyed_noise(torch.arange(400), 100, seed=4, family=family)
    assert abs(float((noise * other).mean())) < 0.02


def test_keyed_noise_depends_on_the_key_the_seed_and_the_place_alone():
    noise = keyed_noise(torch.arange(50), 8, seed=2**40 + 1)
    order = torch.randperm(50)
    assert torch.equal(keyed_noise(order, 8, seed=2**40 + 1), noise[order])
    assert torch.equal(keyed_noise(torch.arange(50), 5, seed=2**40 + 1), noise[:, :5])
    assert not torch.equal(keyed_noise(torch.arange(50), 8, seed=1), noise)


@pytest.mark.parametrize("target", ["query", "all"])
@pytest.mark.parametrize("scorer", [DistMult, RotatE])
def test_alpha_0_is_the_clean_evaluation_bitwise(target, scorer, dataset):
    model = table_model(dataset, scorer(4))
    clean = evaluate(model, dataset, bootstrap=0)
    found = noise_test(model, dataset, alphas=[0.0, 1.0], seeds=2, target=target)
    assert {name: values[0] for name, values in found.values["0"].items()} == clean.metrics
    assert found.values["1"]["mrr"] != (clean.metrics["mrr"],) * 2
    with evaluating(model):  # and so is noise of strength 0
        lookup = model.encoder(dataset.graph)
        noisy = NoisyLookup(lookup, dataset.graph, torch.tensor(0.0), target=target)
        head, relation = torch.arange(4), torch.arange(4)
        assert torch.equal(model.scorer(noisy(head, relation)), model.scorer(lookup(head, relation)))
    assert model.encoder.entity_dropout.training


@pytest.mark.parametrize("target", ["query", "all"])
def test_ranks_do_not_depend_on_the_budget(target):
    dataset = random_dataset(40, 3, 400)
    model = table_model(dataset)
    with evaluating(model):
        lookup = NoisyLookup(model.encoder(dataset.graph), dataset.graph, torch.tensor(0.7), 5, target)
        noisy = Model(Encoded(lookup), model.scorer)
        small, large = (rank_facts(noisy, dataset.graph, dataset.test, dataset.known(), b) for b in (1, 2**30))
    assert torch.equal(small.ranks(), large.ranks())
    figures = [noise_test(model, dataset, target=target, seeds=2, memory=b).values for b in (1, None)]
    assert figures[0] == figures[1]


@pytest.mark.parametrize("target", ["query", "all"])
def test_scaled_distmult_has_scaled_sigma_and_the_same_ranks(target, dataset):
    model = table_model(dataset)
    before = noise_test(model, dataset, target=target, seeds=2)
    with torch.no_grad():
        model.encoder.entity *= 4.0
    after = noise_test(model, dataset, target=target, seeds=2)
    assert after.sigma == 4 * before.sigma
    assert after.values == before.values
    fixed = noise_test(model, dataset, target=target, seeds=2, sigma=before.sigma)
    assert fixed.values != before.values


def test_noise_on_the_query_leaves_candidates_clean_and_on_all_moves_both_alike(dataset):
    model = table_model(dataset).eval()
    graph, entity = dataset.graph, model.encoder.entity.detach()
    sigma = spread(entity, per_entity=True)
    head, relation = torch.tensor([2, 2, 5]), torch.tensor([0, 1, 0])
    asked = Candidates(torch.tensor([[1, 2]]), own=torch.tensor([2, 5, 1]))
    with torch.no_grad():
        query = NoisyLookup(model.encoder(graph), graph, sigma, 1)(head, relation, asked)
        every = NoisyLookup(model.encoder(graph), graph, sigma, 1, "all")
        chosen, whole = every(head, relation, asked), every(head, relation)
    assert torch.equal(query.tail[0], entity[[1, 2]])
    assert torch.equal(query.own, entity[[2, 5, 1]])
    moved = (query.head - entity[head]) / sigma[head, None]
    torch.testing.assert_close(moved, keyed_noise(head * 6 + relation, 6, 1).float())
    assert torch.equal(chosen.head, whole.tail[0, head])
    assert torch.equal(chosen.tail[0], whole.tail[0, [1, 2]])
    assert torch.equal(chosen.own, whole.tail[0, [2, 5, 1]])


def test_a_network_with_a_table_a_query(dataset):
    scorer = MLP(4, 5, reads_head=False)
    model = Model(NBFNet(dataset.graph, scorer.space, num_layers=2), scorer)
    found = noise_test(model, dataset, alphas=[0, 1], seeds=2, target="all")
    assert found.values["0"] != {name: values[:1] for name, values in found.values["1"].items()}
    with pytest.raises(ValueError, match=r"MLP does not read the vector of the query's entity.*boundary"):
        noise_test(model, dataset, alphas=[0, 1], seeds=1)


def test_noise_on_the_vector_that_nbfnet_starts_from(dataset):
    """What is moved is the state of the head before the first layer, and nothing else."""
    scorer = MLP(4, 5, reads_head=False)
    model = Model(NBFNet(dataset.graph, scorer.space, num_layers=2), scorer).eval()
    found = noise_test(model, dataset, alphas=[0, 1], seeds=2, part="boundary")
    assert found.values["0"]["mrr"] == (evaluate(model, dataset, bootstrap=0).metrics["mrr"],)
    assert found.values["1"]["mrr"][0] != found.values["1"]["mrr"][1]
    assert found.sigma == float(spread(model.encoder.query.weight))
    graph, head, relation = dataset.graph, torch.tensor([2, 2, 5]), torch.tensor([0, 1, 0])
    with torch.no_grad():
        _, make = noisy_part(model, graph, "boundary", "query", "gaussian")
        noisy, clean = make(torch.tensor(0.7), 3), model.encoder(graph)
        query = model.encoder.query(relation)
        source = query + 0.7 * keyed_noise(head * 6 + relation, 4, 3).float()
        expected = clean.states(head, query, source).transpose(0, 1)
        torch.testing.assert_close(noisy(head, relation).tail, expected)
        assert torch.equal(noisy(head, relation).relation, clean(head, relation).relation)
        assert torch.equal(make(torch.tensor(0.0), 3)(head, relation).tail, clean(head, relation).tail)


@pytest.mark.parametrize("encoder", [CompGCN, RGCN])
def test_noise_on_the_table_that_a_graph_encoder_reads(encoder, dataset):
    scorer = DistMult(4)
    model = Model(encoder(dataset.graph, scorer.space), scorer).eval()
    found = noise_test(model, dataset, alphas=[0, 1], seeds=2, part="table", target="all")
    assert found.values["0"]["mrr"] == (evaluate(model, dataset, bootstrap=0).metrics["mrr"],)
    entity = model.encoder.table.entity
    assert found.sigma == float(spread(entity))
    with torch.no_grad():
        before = entity.clone()
        _, make = noisy_part(model, dataset.graph, "table", "all", "uniform")
        noisy = make(torch.tensor(0.5), 1)(torch.tensor([0]), torch.tensor([0])).tail
        assert torch.equal(entity, before)
        entity += 0.5 * keyed_noise(torch.arange(13), 4, 1, "uniform").float()
        torch.testing.assert_close(noisy, model.encoder(dataset.graph)(torch.tensor([0]), torch.tensor([0])).tail)


@pytest.mark.parametrize("divisor", [math.nan, math.inf, 0.0])
def test_noise_without_a_size_is_refused(divisor, dataset):
    with pytest.raises(ValueError, match="divisor must be a number above 0"):
        noise_test(table_model(dataset), dataset, divisor=divisor)
    model = table_model(dataset)
    with torch.no_grad():
        model.encoder.entity.zero_()
    with pytest.raises(ValueError, match=r"the vectors have a spread of 0\.0: give a sigma above 0"):
        noise_test(model, dataset)
    assert noise_test(model, dataset, alphas=[0.0], seeds=1).sigma == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"part": "boundary"}, "Table does not start from a vector of the query"),
        ({"part": "table", "target": "all"}, "Table has no table of entities before message passing"),
    ],
)
def test_a_part_that_a_model_has_not_is_refused(settings, message, dataset):
    with pytest.raises(ValueError, match=message):
        noise_test(table_model(dataset), dataset, **settings)
    scorer = DistMult(4)
    for encoder, target, why in ((NBFNet, "all", "of one query"), (CompGCN, "query", "goes with target all")):
        part = "boundary" if encoder is NBFNet else "table"
        with pytest.raises(ValueError, match=why):
            noise_test(Model(encoder(dataset.graph, scorer.space), scorer), dataset, part=part, target=target)
    network = Model(NBFNet(dataset.graph, scorer.space), scorer)
    with pytest.raises(ValueError, match="not one an entity"):
        noise_test(network, dataset, alphas=[1], part="boundary", per_entity=True)


def test_means_and_deviations_and_there_and_back_again(dataset):
    steps = []
    found = noise_test(table_model(dataset), dataset, alphas=[0, 2], seeds=3, step=partial(steps.append, 1))
    assert len(steps) == num_rankings([0, 2], 3) == 4
    values = found.values["2"]["mrr"]
    mean = sum(values) / 3
    assert found.values.mean("2") == pytest.approx(mean)
    assert found.values.deviation("2") == pytest.approx(math.sqrt(sum((v - mean) ** 2 for v in values) / 2))
    assert math.isnan(found.values.deviation("0"))
    assert NoiseTest.from_dict(json.loads(found.to_json())) == found


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alphas": [-1.0]}, "alphas are numbers from 0 that differ"),
        ({"alphas": [math.nan]}, "alphas are numbers from 0 that differ"),
        ({"sigma": math.inf}, "one number above 0"),
        ({"alphas": [1.0, 1.0000001]}, "alphas are numbers from 0 that differ"),
        ({"alphas": [1.0, 1.0]}, "alphas are numbers from 0 that differ"),
        ({"seeds": 0}, "seeds at least 1"),
        ({"sigma": 0.0}, "above 0"),
        ({"facts": torch.zeros(0, 3, dtype=torch.long)}, "no facts to rank"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message, dataset):
    with pytest.raises(ValueError, match=message):
        noise_test(table_model(dataset), dataset, **settings)
