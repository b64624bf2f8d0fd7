"""Attacks against certificates for facts, on a graph so small that every probability can be computed."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import fields
from functools import partial

import numpy as np
import pytest
import torch

from gnnkg.core import Model
from gnnkg.encoders import RGCN, CompGCN
from gnnkg.evaluation.certification import FactCertificate, attack_certified, certify_facts
from gnnkg.evaluation.certification.bound import side
from gnnkg.evaluation.certification.fact_trial import CertificateTrial, Thinned, Tried, certified
from gnnkg.evaluation.fact_attacks import Pool, in_top_by_facts
from gnnkg.graph import KnowledgeGraph
from gnnkg.scorers import DistMult
from tests.random_data import random_dataset

DELETION = 0.8
FEW = {"tries": 2, "candidates": 6, "fresh_draws": 160}
ENTITIES = 6
DATASET = random_dataset(ENTITIES, 2, 8)
"""six facts to train on"""


def network(seed: int) -> Model:
    torch.manual_seed(seed)
    scorer = DistMult(4)
    encoder = (partial(RGCN, num_layers=1), CompGCN)[seed % 2](DATASET.graph, scorer.space)
    model = Model(encoder, scorer).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 2
    return model


def certificate_of(model: Model, kind: type[FactCertificate] = FactCertificate) -> FactCertificate:
    found = certify_facts(model, DATASET, DELETION, "train", draws=80, confidence=0.99, direction="both")
    return kind(**{each.name: getattr(found, each.name) for each in fields(found)})


def holds(model: Model, facts: Iterable[tuple[int, ...]], query: tuple[int, int, int]) -> bool:
    """Whether the truth scores higher than all others but the known, on a graph that is built of these facts."""
    head, relation, truth = (torch.tensor([each]) for each in query)
    others = torch.ones(ENTITIES, dtype=torch.bool)
    others[DATASET.known().of(head, relation).tails] = others[truth] = False
    left = torch.tensor(list(facts), dtype=torch.long).reshape(-1, 3)
    with torch.no_grad():
        scores = model(KnowledgeGraph(left, ENTITIES, DATASET.graph.num_relations), head, relation)[0]
    return bool((scores[others] < scores[truth]).all())


def probability(model: Model, row: Tried) -> float:
    """Of the event after the changes: the sum over all that deletion may leave."""
    facts = sorted(set(map(tuple, DATASET.graph.facts.tolist())) ^ set(row.changed))
    return sum(
        DELETION ** (len(facts) - size) * (1 - DELETION) ** size
        for size in range(len(facts) + 1)
        for left in itertools.combinations(facts, size)
        if holds(model, left, (row.head, row.relation, row.truth))
    )


def check(model: Model, trial: CertificateTrial) -> None:
    """Every attack did what it says, and every verdict is right."""
    there = set(map(tuple, DATASET.graph.facts.tolist()))
    for row in trial.rows:
        assert len(set(row.changed)) == len(row.changed) <= row.allowed
        assert set(row.changed) <= there if row.kind == "delete" else not set(row.changed) & there
        assert (row.verdict is None) == (row.share > 0.5) == (row.draws == 0)
        if row.verdict in ("above", "below"):
            assert (row.verdict == "above") is (probability(model, row) > 0.5)


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr("gnnkg.evaluation.certification.fact_trial.SEARCH_DRAWS", 10)
    monkeypatch.setattr("gnnkg.evaluation.certification.fact_trial.FIRST_DRAWS", 40)


def test_the_share_of_draws_is_that_on_graphs_that_are_built_of_what_is_left():
    model, draw = network(1), torch.Generator().manual_seed(0)
    pool = Pool.of(DATASET.graph, torch.tensor([[0, 0, 0], [5, 1, 0]]), torch.float64)
    left = (torch.rand(9, 8, generator=draw) < 0.5).double()
    point = torch.tensor([1, 1, 0, 1, 1, 1, 1, 0]).double()
    shares = []
    for query in itertools.product((0, 2, 5), (0, 3), (1, 3)):
        event = in_top_by_facts(model, pool, DATASET.known(), query, 1)
        shares.append(float(Thinned(event, left).margin(point.unsqueeze(0), torch.tensor([0]))))
        there = [map(tuple, pool.graph.facts[(point * one).bool()].tolist()) for one in left]
        assert shares[-1] == pytest.approx(sum(holds(model, facts, query) for facts in there) / 9)
    assert len(set(shares)) > 2


@pytest.mark.parametrize("seed", [1, 4])
def test_no_certificate_is_contradicted(seed):
    model = network(seed)
    certificate = certificate_of(model)
    trial = attack_certified(model, DATASET, certificate, most=2, **FEW)
    assert len(trial.rows) == len(certified(certificate, 2)) >= 2
    check(model, trial)
    for kind in ("delete", "add"):
        found = trial.figures(kind)
        assert found["turned"] == 0
        assert found["tried"] == sum(row.kind == kind for row in trial.rows)
        assert found["held turned"] <= found["held"] <= found["tried"]


class Inflated(FactCertificate):
    """A wrong certificate: for every answer, and for more facts than any."""

    def removed(self) -> np.ndarray:
        return np.full(len(self.queries), 2)

    def added(self) -> np.ndarray:
        return np.full(len(self.queries), 2)


def test_a_wrong_certificate_is_found_out():
    model = network(0)
    trial = attack_certified(model, DATASET, certificate_of(model, Inflated), most=2, **FEW)
    check(model, trial)
    turned = [row for row in trial.rows if row.verdict == "below"]
    assert len(turned) >= 2
    assert trial.figures("delete")["turned"] + trial.figures("add")["turned"] == len(turned)


def test_an_attack_that_was_stopped_goes_on_as_if_it_had_not_been():
    model, done = network(0), []
    certificate = certificate_of(model, Inflated)
    whole = attack_certified(
        model, DATASET, certificate, most=1, **FEW, report=lambda rows, total: done.append((len(rows), total))
    )
    assert done == [(1, 2), (2, 2)]
    assert attack_certified(model, DATASET, certificate, most=1, **FEW, known_rows=whole.rows[:1]).rows == whole.rows


def test_nothing_certified_is_nothing_to_attack():
    class Nothing(Inflated):
        def removed(self) -> np.ndarray:
            return np.zeros(len(self.queries), dtype=int)

        added = removed

    model = network(0)
    with pytest.raises(ValueError, match="nothing to attack"):
        attack_certified(model, DATASET, certificate_of(model, Nothing))


def test_sides_of_one_half():
    assert side(100, 100, 0.01) == "above"
    assert side(0, 100, 0.01) == "below"
    assert side(50, 100, 0.01) == "open"
    assert side(63, 100, 0.01) == "above"  # 62 and fewer happen by chance, with 1/2, more than once in 100
    assert [side(100 - number, 100, 0.01) for number in (62, 63)] == ["open", "below"]
