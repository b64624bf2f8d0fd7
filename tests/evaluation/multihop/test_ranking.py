"""Hard answers ranked by the definition, and what an evaluation says."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from io import StringIO

import pytest
import torch
from rich.console import Console

from gnnkg import Model, encoders
from gnnkg.data.multihop import STRUCTURES, sample_queries
from gnnkg.evaluation import evaluate
from gnnkg.evaluation.multihop import Beam, Chain, QueryEvaluation, evaluate_queries
from gnnkg.evaluation.multihop.ranking import rank_summary
from gnnkg.scorers import DistMult, TransE
from tests.evaluation.toys import constant, given


def test_ranks_by_hand():
    """Of 6 entities 0, 1, 2 are answers, 1 and 2 hard: rivals are 3, 4, 5 alone. Ranks 1.5 (tied with 3) and 4."""
    scores = torch.tensor([[9.0, 5.0, 1.0, 5.0, 2.0, 3.0]], dtype=torch.float64)
    found = rank_summary(scores, [torch.tensor([0, 1, 2])], [torch.tensor([1, 2])])
    assert found.tolist() == [[(1 / 1.5 + 1 / 4) / 2, 0.0, 0.5, 1.0]]


def test_an_answer_without_a_score_ranks_last():
    """Rivals are 2, 3 and 4; a rival without a score ranks above an answer that has one, as everywhere."""
    scores = torch.tensor([[math.nan, 5.0, 9.0, math.nan, 1.0]], dtype=torch.float64)
    for truth, rank in ((0, 4), (1, 3)):
        found = rank_summary(scores, [torch.tensor([0, 1])], [torch.tensor([truth])])
        assert found[0, 0] == 1 / rank


def test_ranks_by_definition():
    draw = torch.Generator().manual_seed(0)
    scores = torch.randint(8, (20, 30), generator=draw).double()  # many ties
    scores[0] = -math.inf
    answers = [torch.randperm(30, generator=draw)[: 3 + i % 20].sort().values for i in range(20)]
    hard = [each[: 1 + i % 3] for i, each in enumerate(answers)]
    expected = []
    for row, every, truths in zip(scores.tolist(), answers, hard, strict=True):
        rivals = [score for entity, score in enumerate(row) if entity not in every.tolist()]
        ranks = [1 + sum(s > row[t] for s in rivals) + sum(s == row[t] for s in rivals) / 2 for t in truths.tolist()]
        values = [[1 / rank, rank <= 1, rank <= 3, rank <= 10] for rank in ranks]
        expected.append([sum(column) / len(ranks) for column in zip(*values, strict=True)])
    assert torch.allclose(rank_summary(scores, answers, hard), torch.tensor(expected, dtype=torch.float64))


def test_a_constant_model_ranks_in_the_middle(dataset):
    asked = sample_queries(dataset, ["2p"], 10)
    row = evaluate_queries(constant(dataset.graph), dataset, asked).rows[0]
    ranks = [(dataset.graph.num_entities - len(every) + 2) / 2 for every in asked["2p"].answers]
    assert row.metrics["mrr"] == pytest.approx(sum(1 / rank for rank in ranks) / len(ranks))
    assert (row.queries, row.hard_answers) == (10, sum(map(len, asked["2p"].hard)))


def test_single_hops_over_all_facts_are_link_prediction(dataset):
    """With one hard answer a query, the mean over queries is that over facts."""
    single = replace(dataset, test=dataset.test[:1], valid=dataset.valid[:0])
    model = given(torch.randn(13, 6, 13))
    asked = sample_queries(single, ["1p"], 2)
    found = evaluate_queries(model, single, asked).rows[0]
    assert found.queries == 2, "the fact asked both ways"
    assert found.metrics["mrr"] == pytest.approx(evaluate(model, single, bootstrap=0).metrics["mrr"])


@pytest.fixture
def model(dataset) -> Model:
    scorer = TransE(dim=8)
    return Model(encoders.Table(dataset.graph, scorer.space), scorer)


def test_noise_is_repeatable_and_no_noise_is_none(model, dataset):
    asked = sample_queries(dataset, count=6)
    found = evaluate_queries(model, dataset, asked, alphas=(0.0, 1.0), seeds=(0, 1))
    again = evaluate_queries(model, dataset, asked, Beam(), alphas=(1.0,), seeds=(0, 1), memory=1)
    clean = evaluate_queries(model, dataset, asked)
    assert [row.structure for row in clean.rows] == list(STRUCTURES)
    for structure in STRUCTURES:
        assert found.mrr(structure) == clean.mrr(structure)
        assert found.mrr(structure, 1.0) == again.mrr(structure, 1.0)
    noisy = [row for row in found.rows if row.alpha == 1.0]
    assert all(row.metrics["mrr"] == pytest.approx(sum(row.by_seed) / 2) for row in noisy)
    assert any(len(set(row.by_seed)) == 2 for row in noisy)
    assert any(found.mrr(structure, 1.0) != found.mrr(structure) for structure in STRUCTURES)
    with pytest.raises(KeyError):
        clean.mrr("1p", 1.0)


def test_an_evaluation_is_json_and_a_table(model, dataset):
    found = evaluate_queries(
        model, dataset, sample_queries(dataset, ["1p", "2u"], 4), Chain(), alphas=(0, 0.5), name="own"
    )
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert QueryEvaluation.from_dict(values) == found
    assert "sigma = Q.9973 / 3" in found.noise
    console = Console(width=160, file=StringIO())
    console.print(found)
    told = console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO
    assert all(
        word in told for word in ("own", "in closed form, softmax scores", "alpha", "realistic ties", "2u", "0.5")
    )
    del values["noise"]
    with pytest.raises(ValueError, match="has the fields"):
        QueryEvaluation.from_dict(values)


def test_what_cannot_be_measured_is_said(model, dataset):
    asked = sample_queries(dataset, ["1p"], 2)
    with pytest.raises(ValueError, match="strengths of 0 or more"):
        evaluate_queries(model, dataset, asked, alphas=(-1.0,))
    scorer = DistMult(dim=4)
    with pytest.raises(ValueError, match="use the beam search"):
        evaluate_queries(Model(encoders.Table(dataset.graph, scorer.space), scorer), dataset, asked, Chain())
