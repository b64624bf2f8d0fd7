from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from gnnkg.evaluation.compare import compare
from gnnkg.evaluation.protocol import Protocol
from gnnkg.evaluation.ranking import evaluate
from tests.evaluation.toys import a_result, constant
from tests.random_data import random_dataset


def test_like_is_compared_with_like_without_a_warning(dataset):
    first, second = evaluate(constant(dataset.graph), dataset), evaluate(constant(dataset.graph), dataset, memory=1)
    found = compare({"first": first, "second": second})
    assert found.warnings == ()
    assert [row["run"] for row in found.rows()] == ["first", "second"]
    assert found.rows()[0]["mrr"] == first.metrics["mrr"]
    assert (found.rows()[0]["mrr_low"], found.rows()[0]["mrr_high"]) == first.intervals["mrr"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dataset": "umls"}, "the data set is umls against fb15k-237"),
        ({"data_hash": "cd" * 32}, "its contents differ"),
        ({"split": "valid"}, "the split is valid against test"),
        ({"protocol": Protocol(ties="optimistic").to_dict()}, "optimistic against realistic"),
        ({"protocol": Protocol(filter=("train",)).to_dict()}, "train against train + valid + test"),
        ({"protocol": Protocol(unseen="dropped").to_dict()}, "dropped against kept"),
    ],
)
def test_whatever_forbids_a_comparison_is_told(change, words):
    found = compare({"ours": a_result(), "same": a_result(), "theirs": a_result(**change)})
    assert len(found.warnings) == 1
    assert "theirs and ours" in found.warnings[0]
    assert words in found.warnings[0]


def test_evaluations_and_results_can_be_mixed(dataset):
    found = evaluate(constant(dataset.graph), dataset)
    warnings = compare({"run": found, "file": a_result()}).warnings
    assert len(warnings) == 1
    assert "fb15k-237 against random" in warnings[0]


def test_other_facts_and_other_data_of_the_same_name_are_told(dataset):
    model = constant(dataset.graph)
    whole, part = evaluate(model, dataset), evaluate(model, dataset, facts=dataset.test[:5])
    assert any(
        "5 facts were ranked against 10" in w for w in compare({"a": whole, "b": replace(part, split="test")}).warnings
    )
    other = random_dataset(seed=1)
    assert any("contents differ" in w for w in compare({"a": whole, "b": evaluate(model, other)}).warnings)


def test_nothing_cannot_be_compared():
    with pytest.raises(ValueError, match="nothing to compare"):
        compare({})


def test_warnings_stand_below_the_table():
    console = Console(file=io.StringIO(), width=100)
    console.print(compare({"a": a_result(intervals={}), "b": a_result(dataset="umls")}))
    text = console.file.getvalue()
    assert text.index("0.3369") < text.index("0.332-0.341") < text.index("Warning: b and a cannot be compared")


def test_sampled_hits_stand_beside_the_others():
    protocol = a_result().protocol | {"sampled": "50 drawn"}
    sampled = a_result(metrics=a_result().metrics | {"hits@10_50": 0.876}, protocol=protocol)
    found = compare({"a": a_result(), "b": sampled})
    assert found.warnings == ()
    assert [row["hits@10_50"] for row in found.rows()] == [None, 0.876]
    console = Console(file=io.StringIO(), width=120)
    console.print(found)
    assert "0.8760" in console.file.getvalue()
