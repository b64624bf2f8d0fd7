"""Denoising before message passing: against the definition, one fact after the other, and what it trains and refuses."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Adam
from torch.testing import assert_close

from gnnkg.core import Batch, Candidates, Encoder, Model, Objective
from gnnkg.data.queries import Queries
from gnnkg.encoders import RGCN, CompGCN, NBFNet, Sampled, Table
from gnnkg.graph import KnowledgeGraph
from gnnkg.noise import spread
from gnnkg.samplers import Uniform
from gnnkg.scorers import MLP, DistMult
from gnnkg.strength import Annealed, ByFrequency, HoldWins
from gnnkg.terms import Denoising
from tests.random_data import random_graph

GRAPH = random_graph()
NETWORKS = {
    "CompGCN": lambda graph, space: CompGCN(graph, space, num_layers=2, hides="facts"),
    "RGCN": lambda graph, space: RGCN(graph, space, num_layers=2),
}


def network(make: Callable[..., Encoder] = NBFNet, **settings) -> tuple[Model, Batch]:
    torch.manual_seed(0)
    encoder = make(GRAPH, DistMult(4).space, **settings)
    model = Model(encoder, MLP(4, 5, reads_head=False) if isinstance(encoder, NBFNet) else DistMult(4))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.momentum = 0.0  # running statistics that a training step leaves as they are
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= (
                3 if isinstance(encoder, NBFNet) else 1.5
            )  # scores that depend much on what messages start from
    return model, Queries(3).of(GRAPH, 0)[0]


def found(term: Denoising, model: Model, batch: Batch) -> tuple[Tensor, list[Tensor]]:
    """The term's value in a training step, and its gradients."""
    value = Objective(Uniform(5), {"denoising": term})(model, batch)["denoising"]
    return value, list(torch.autograd.grad(value, list(model.parameters()), allow_unused=True, materialize_grads=True))


def expected(
    model: Model, batch: Batch, of_fact: Callable[[KnowledgeGraph, int], Tensor]
) -> tuple[Tensor, list[Tensor]]:
    """The mean of each fact's loss on what the encoder sees, in evaluation mode, and its gradients."""
    hides = model.encoder.hides
    graph = batch.graph.without(batch.head, batch.relation, batch.tail) if hides == "facts" else batch.graph
    model.eval()
    value = sum(of_fact(graph, row) for row in range(len(batch.head))) / len(batch.head)
    model.train()
    return value, list(torch.autograd.grad(value, list(model.parameters()), allow_unused=True, materialize_grads=True))


def fixed_noise(monkeypatch: pytest.MonkeyPatch, rows: int) -> Tensor:
    noise = torch.randn(rows, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr("gnnkg.terms.denoising.unit_noise", lambda *_, **__: noise)
    return noise


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("scale", ["unit", "raw"])
@pytest.mark.parametrize("sign", ["back", "forward"])
def test_a_boundary_against_the_definition(sign, scale, recompute, monkeypatch):
    model, batch = network(num_layers=2, recompute=recompute)
    model.double()
    noise, s = fixed_noise(monkeypatch, 3), 0.25

    def of_fact(graph: KnowledgeGraph, row: int) -> Tensor:
        head, relation, tail = (x[row : row + 1] for x in (batch.head, batch.relation, batch.tail))
        lookup = model.encoder(graph)
        query = model.encoder.query(relation)
        source = query + s * noise[row]
        states = lookup.states(head, query, source)
        clean = lookup(head, relation, Candidates(tail.unsqueeze(1)))
        score = model.scorer(clean.replace(candidates=states[tail]))
        (slope,) = torch.autograd.grad(score.sum(), source, create_graph=True)
        target = noise[row] if sign == "back" else -noise[row]
        return (s * slope + target if scale == "unit" else slope + s * target).square().mean()

    term = Denoising(1.0, sigma=s, part="boundary", sign=sign, scale=scale)
    assert_close(found(term, model, batch), expected(model, batch, of_fact))


def test_recomputed_layers_use_the_reference_in_the_second_backward_pass_too():
    values = []
    for recompute in (False, True):
        model, batch = network(num_layers=2, recompute=recompute)
        values.append(found(Denoising(1.0, sigma=0.3, part="boundary", closed=True), model, batch))
    assert_close(values[0], values[1])
    assert values[0][0].dtype == torch.float32


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("scale", "sign"), [("unit", "back"), ("unit", "forward"), ("raw", "back")])
def test_a_table_against_the_definition(name, scale, sign, monkeypatch):
    """The estimate of the squares is without bias: the mean over all signs is the definition."""
    model, batch = network(NETWORKS[name])
    model.double()
    noise = fixed_noise(monkeypatch, 13)
    sigma = spread(model.encoder.table.entity, per_entity=True).unsqueeze(1)

    def of_fact(graph: KnowledgeGraph, row: int) -> Tensor:
        head, relation, tail = (x[row : row + 1] for x in (batch.head, batch.relation, batch.tail))
        table = model.encoder.table.entity + sigma * noise
        lookup = functional_call(model.encoder, {"table.entity": table}, (graph,))
        score = model.scorer(lookup(head, relation, Candidates(tail.unsqueeze(1))))
        (slope,) = torch.autograd.grad(score.sum(), table, create_graph=True)
        target = noise if sign == "back" else -noise
        if scale == "raw":
            return (slope + sigma * target).square().mean()
        return (sigma * slope + target).square().mean()

    term = Denoising(1.0, part="table", scale=scale, sign=sign, per_entity=True)
    each = []
    for signs in itertools.product((1.0, -1.0), repeat=3):
        monkeypatch.setattr("gnnkg.terms.input_slope.random_signs", lambda like, signs=signs: like.new_tensor(signs))
        each.append(found(term, model, batch))
    assert len({round(value.item(), 9) for value, _ in each}) == 4  # opposite signs are the same
    values, gradients = zip(*each, strict=True)
    mean = torch.stack(values).mean(), [torch.stack(of_one).mean(0) for of_one in zip(*gradients, strict=True)]
    assert_close(mean, expected(model, batch, of_fact))


@pytest.mark.parametrize(("part", "name"), [("boundary", "NBFNet"), ("table", "CompGCN"), ("table", "RGCN")])
def test_it_trains_the_whole_network(part, name):
    """Its loss on draws of its own falls; every parameter that the scores are made of is reached."""
    model, batch = network(NETWORKS.get(name, lambda *given: NBFNet(*given, num_layers=2)))
    term = Denoising(1.0, part=part, sigma=1.0)

    def loss() -> float:
        torch.manual_seed(1)
        return sum(found(term, model, batch)[0].item() for _ in range(4))

    before = loss()
    optimizer = Adam(model.parameters(), lr=0.03)
    for _ in range(20):
        optimizer.zero_grad()
        Objective(Uniform(5), {"denoising": term})(model, batch)["denoising"].backward()
        optimizer.step()
    assert loss() < before - 0.1
    unmoved = {
        name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()
    }
    behind_a_relu = {"encoder.layers.1.norm.bias", "scorer.of_query.weight", "scorer.of_query.bias", "scorer.out.bias"}
    assert unmoved == (behind_a_relu if part == "boundary" else set())


def test_sigma_is_that_of_the_part():
    for make, part in ((NBFNet, "boundary"), (CompGCN, "table")):
        model, batch = network(make)
        term = Denoising(1.0, part=part)
        found(term, model, batch)
        vectors = model.encoder.query.weight if part == "boundary" else model.encoder.table.entity
        assert_close(term.strength.sigma, spread(vectors))
        term.before_epoch(1)
        with torch.no_grad():
            vectors *= 2
        found(term, model, batch)
        assert_close(term.strength.sigma, spread(vectors))


def test_weight_0_encodes_nothing_and_draws_nothing(monkeypatch):
    model, batch = network(CompGCN)
    objective = Objective(Uniform(5), {"denoising": Denoising(0.0, part="table")})
    torch.manual_seed(0)
    model.encoder(GRAPH)  # dropout
    Uniform(5)(batch)
    state = torch.get_rng_state()
    monkeypatch.setattr("gnnkg.inputs.functional_call", None)
    torch.manual_seed(0)
    assert objective(model, batch)["denoising"].item() == 0
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("make", "part"), [(NBFNet, "boundary"), (RGCN, "table")])
def test_some_facts_of_a_batch_are_taken_at_random(make, part):
    """By their shares: the mean over all choices of one fact is the mean over facts."""
    model, batch = network(make, num_layers=4)
    terms = {facts: Denoising(1.0, sigma=0.5, part=part, closed=True, facts=facts) for facts in (None, 3, 1)}
    values = {round(found(terms[1], model, batch)[0].item(), 4) for _ in range(40)}
    assert len(values) == 3
    if part == "boundary":  # the squares of a table are estimated
        whole = found(terms[None], model, batch)[0].item()
        assert sum(values) / 3 == pytest.approx(whole, abs=1e-3)
        assert found(terms[3], model, batch)[0].item() == pytest.approx(whole)


def test_a_table_s_alpha_follows_epochs():
    model, batch = network(RGCN)
    term = Denoising(1.0, Annealed(0.0, 4.0, 2), part="table", closed=True, sigma=0.5)
    values = []
    for epoch in range(3):
        term.before_epoch(epoch)
        torch.manual_seed(0)
        values.append(found(term, model, batch)[0].item())
    assert values[0] == 1
    assert values[2] - 1 == pytest.approx(4 * (values[1] - 1), rel=1e-4)


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (Table, {"part": "boundary"}, "Table does not start from a vector of the query"),
        (CompGCN, {"part": "boundary"}, "CompGCN does not start from a vector of the query"),
        (
            Table,
            {"part": "table"},
            r"Table has no table .* before message passing \(the vectors that it gives are its table\)",
        ),
        (NBFNet, {"part": "table"}, "NBFNet has no table of entities"),
        (lambda *given: Sampled(*given, RGCN), {"part": "table"}, "Sampled has no table of entities"),
        (RGCN, {"part": "table", "alpha": ByFrequency()}, r"alpha may follow epochs \(Annealed\), not queries"),
    ],
)
@pytest.mark.parametrize("sigma", [None, 0.5])
def test_what_an_encoder_has_not_is_refused(make, settings, message, sigma):
    model, batch = network(make)
    with pytest.raises(ValueError, match=message):
        found(Denoising(1.0, sigma=sigma, **settings), model, batch)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"part": "table", "detach": True}, "does not go with part='table'"),
        ({"part": "head", "facts": 3}, "goes with the parts boundary and table"),
        ({"part": "table", "facts": 0}, "facts is at least 1"),
        ({"part": "boundary", "per_entity": True}, "no entity has a boundary of its own"),
        ({"part": "boundary", "alpha": HoldWins()}, "HoldWins watches noise on the head"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Denoising(1.0, **settings)


def test_outside_of_an_objective_there_is_nothing_to_encode_with():
    model, batch = network()
    candidates, labels = Uniform(5)(batch)
    vectors = model.encoder(GRAPH)(batch.head, batch.relation, candidates)
    with pytest.raises(ValueError, match="train through an Objective"):
        Denoising(1.0, part="boundary", sigma=1.0)(model.scorer, vectors, labels)
