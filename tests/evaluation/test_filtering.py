"""Facts that were hidden from training are true: no test counts them as wrong answers, unless its filter is given."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from gnnkg.core import Model
from gnnkg.data.dataset import Dataset
from gnnkg.data.hidden import hide_facts
from gnnkg.encoders import RGCN, SNAG, Table
from gnnkg.evaluation import evaluate
from gnnkg.evaluation.certification import Smoothing, certify
from gnnkg.evaluation.certification.facts import certify_facts
from gnnkg.evaluation.fact_trial import attack_facts
from gnnkg.evaluation.missing import missing_test
from gnnkg.evaluation.perturbed import noise_test
from gnnkg.evaluation.prediction import predict
from gnnkg.features import Numbers
from gnnkg.scorers import DistMult
from tests.random_data import random_dataset

SPLITS = ("train", "valid", "test")


@pytest.fixture
def dataset() -> Dataset:
    return hide_facts(random_dataset(num_facts=200), 0.3)


def model(dataset: Dataset, encoder: type[Table | RGCN | SNAG] = Table) -> Model:
    scorer = DistMult(4)
    modalities = {"modalities": {"numeric": Numbers("numeric")}} if encoder is SNAG else {}
    return Model(encoder(dataset.graph, scorer.space, **modalities), scorer).eval()


def ranks(dataset: Dataset, filter) -> list[int]:
    found = certify(
        model(dataset), dataset, Smoothing(draws=3, confidence=0.5), direction="both", num_queries=None, filter=filter
    )
    return [row.rank for row in found.rows]


def by_facts(dataset: Dataset, filter) -> tuple[int, ...]:
    return tuple(
        certify_facts(
            model(dataset, RGCN),
            dataset,
            0.5,
            draws=4,
            confidence=0.5,
            direction="both",
            num_queries=None,
            filter=filter,
        ).successes
    )


def held(dataset: Dataset, filter) -> list[bool]:
    found = attack_facts(
        model(dataset, RGCN),
        dataset,
        kinds=("delete",),
        budgets=(1,),
        tries=1,
        top=4,
        num_queries=12,
        filter=filter,
    )
    return [row.held for row in found.rows]


MEASURES: dict[str, Callable[[Dataset, object], object]] = {
    "evaluate": lambda data, filter: evaluate(model(data), data, bootstrap=0, filter=filter).metrics["mrr"],
    "noise": lambda data, filter: noise_test(model(data), data, alphas=(0.0,), filter=filter).values["0"],
    "missing": lambda data, filter: missing_test(model(data, SNAG), data, shares=(0.0,), filter=filter).values,
    "certify": ranks,
    "certify facts": by_facts,
    "attack facts": held,
}


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_every_test_is_filtered_by_all_that_is_true(dataset, measure):
    torch.manual_seed(0)
    true, ours, known, raw = (
        (torch.manual_seed(0), measure(dataset, filter))[1] for filter in (dataset.truths, None, SPLITS, ())
    )
    assert repr(ours) == repr(true)
    assert repr(known) != repr(true), "hidden facts count for this test"
    if measure is not held:  # too few queries to tell
        assert repr(raw) != repr(known), "no filter is none, not the default one"


def test_what_the_filter_was_is_said(dataset):
    assert evaluate(model(dataset), dataset, bootstrap=0).protocol.filter == (*SPLITS, "hidden")
    plain = replace(dataset, hidden=dataset.hidden[:0])
    assert evaluate(model(plain), plain, bootstrap=0).protocol.filter == SPLITS


def test_predictions_tell_hidden_facts_from_new_ones(dataset):
    head, relation, tail = dataset.hidden[0].tolist()
    asked = {"head": f"e{head}", "relation": f"r{relation}", "top": 13}
    every = {answer.identifier: answer.known for answer in predict(model(dataset), dataset, **asked)}
    assert every[f"e{tail}"] == "hidden"
    new = predict(model(dataset), dataset, **asked, novel=True)
    assert {answer.identifier for answer in new} == {name for name, known in every.items() if known is None}
    assert all(math.isfinite(answer.score) for answer in new)
