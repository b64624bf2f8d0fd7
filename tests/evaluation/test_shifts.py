"""How noise moves scores: against one query at a time, and where a shift of all scores is no scatter."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gnnkg.core import Model
from gnnkg.encoders import Table
from gnnkg.evaluation.noisy import NoisyLookup
from gnnkg.evaluation.ranks import evaluating
from gnnkg.evaluation.shifts import score_shifts
from gnnkg.scorers import DistMult


def model_of(dataset, scorer=None) -> Model:
    torch.manual_seed(0)
    scorer = scorer or DistMult(6)
    return Model(Table(dataset.graph, scorer.space), scorer)


def test_shifts_are_what_one_query_at_a_time_gives(dataset):
    model, facts = model_of(dataset), dataset.test[:4]
    found = score_shifts(model, dataset, facts, 0.3, alphas=[0.0, 2.0], seeds=2)
    assert list(found) == ["2"]
    known, relations = dataset.known(), dataset.graph.num_relations
    with evaluating(model), torch.no_grad():
        clean = model.encoder(dataset.graph)
        noisy = NoisyLookup(clean, dataset.graph, torch.tensor(0.6), seed=1)
        truth, rivals, everyone, gains = [], [], [], []
        for h, r, t in facts.tolist():
            for head, relation, tail in ((h, r, t), (t, r + relations, h)):
                query = torch.tensor([head]), torch.tensor([relation])
                before = model.scorer(clean(*query))[0].double()
                moved = (model.scorer(noisy(*query))[0].double() - before) / before.std()
                answers = set(known.of(*query).tails.tolist())
                others = [e for e in range(dataset.graph.num_entities) if e not in answers]
                truth.append(moved[tail])
                rivals.append(moved[others].mean())
                everyone.append(moved.mean())
                gains += [moved[tail] - moved[e] for e in others]
    for name, values in (("truth", truth), ("rivals", rivals), ("all", everyone)):
        assert found["2"][name][1] == pytest.approx(float(torch.stack(values).mean()), abs=1e-6)
    assert found["2"]["scatter"][1] == pytest.approx(float(torch.stack(gains).std()), abs=1e-6)


class Well(DistMult):
    """DistMult and what a network may add to all scores of a query: a well around the origin."""

    def match(self, query, tail, mix=None):
        return super().match(query, tail, mix) - 100 * query.square().sum(1, keepdim=True)


def test_what_moves_all_scores_alike_is_no_scatter(dataset):
    plain, well = (
        score_shifts(model_of(dataset, scorer), dataset, dataset.test, 0.5, alphas=[1.0], seeds=1)["1"]
        for scorer in (DistMult(6), Well(6))
    )
    assert well["truth"][0] < -1 + plain["truth"][0]
    assert well["truth"][0] - well["rivals"][0] == pytest.approx(plain["truth"][0] - plain["rivals"][0], abs=1e-3)
    assert well["scatter"][0] == pytest.approx(plain["scatter"][0], abs=1e-3)


def test_no_facts_and_no_rivals_are_told(dataset):
    model = model_of(dataset)
    with pytest.raises(ValueError, match="no facts"):
        score_shifts(model, dataset, dataset.test[:0], 1.0, alphas=[1.0])
    everything = torch.cartesian_prod(*(torch.arange(n) for n in (13, 3, 13)))
    with pytest.raises(ValueError, match="no rivals"):
        score_shifts(model, replace(dataset, test=everything), dataset.test, 1.0, alphas=[1.0])
