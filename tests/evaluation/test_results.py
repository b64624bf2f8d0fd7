from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import pytest

from gnnkg.evaluation.protocol import Protocol
from gnnkg.evaluation.provenance import provenance
from gnnkg.evaluation.ranking import evaluate
from gnnkg.evaluation.results import (
    InvalidResult,
    read_result,
    read_results,
    result_from,
    validate_result,
    write_result,
)
from tests.evaluation.toys import a_result, constant

REQUIRED = [
    "dataset",
    "model",
    "method",
    "split",
    "metrics",
    "protocol",
    "config",
    "command",
    "seed",
    "commit",
    "data_hash",
    "hardware",
    "wall_seconds",
    "peak_memory_bytes",
    "paper",
]


def test_a_whole_result_has_no_problems():
    assert validate_result(asdict(a_result())) == []


@pytest.mark.parametrize("name", REQUIRED)
def test_each_missing_field_is_found(name):
    values = asdict(a_result())
    del values[name]
    assert validate_result(values) == [f"{name} is missing"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dataset": ""}, "dataset must be a text that is not empty"),
        ({"seed": -1}, "seed must lie in"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"seed": True}, "seed must be a number"),
        ({"metrics": {"mrr": 0.3, "hits@1": 0.2, "hits@3": 0.3}}, "metrics lacks hits@10"),
        ({"metrics": {"mrr": 33.5, "hits@1": 0.2, "hits@3": 0.3, "hits@10": 0.4}}, "mrr must lie in"),
        ({"metrics": {"mrr": 0.3, "hits@1": 0.4, "hits@3": 0.3, "hits@10": 0.4}}, "contradict"),
        ({"metrics": {"mrr": 0.1, "hits@1": 0.2, "hits@3": 0.3, "hits@10": 0.4}}, "contradict"),
        ({"metrics": {"mrr": math.nan, "hits@1": 0.2, "hits@3": 0.3, "hits@10": 0.4}}, "mrr must be a number"),
        ({"metrics": {"mrr": "0.3", "hits@1": 0.2, "hits@3": 0.3, "hits@10": 0.4}}, "mrr must be a number"),
        ({"protocol": {"ties": "realistic"}}, "protocol is wrong: a protocol has exactly the fields"),
        ({"protocol": None}, "protocol is wrong"),
        ({"metrics": a_result().metrics | {"hits@10_50": 0.9}}, "does not say how the candidates of hits@10_50"),
        ({"metrics": a_result().metrics | {"hits@10_50": 1.9}}, "hits@10_50 must lie in"),
        ({"config": {}}, "config must not be empty"),
        ({"data_hash": "abc"}, "data_hash must be a SHA-256"),
        ({"hardware": {"cores": 2}}, "hardware lacks cpu"),
        ({"wall_seconds": "60"}, "wall_seconds must be a number"),
        ({"peak_memory_bytes": 1.5}, "peak_memory_bytes must be a whole number"),
        ({"paper": {"mrr": 0.3}}, "lacks source"),
        ({"paper": {"source": "a paper"}}, "it has no figure"),
        ({"paper": {"mrr": 33, "source": "a paper"}}, "mrr must lie in"),
        ({"paper": {"mrr": 0.3, "source": ""}}, "source"),
        ({"paper": "a paper"}, "paper must be an object"),
        ({"mood": "good"}, "mood is no field"),
    ],
)
def test_each_wrong_field_is_found(change, words):
    problems = validate_result(asdict(a_result()) | change)
    assert len(problems) == 1
    assert words in problems[0]


def test_a_result_that_is_no_object_is_found():
    assert validate_result([1]) == ["it must be an object, not [1]"]


def test_results_are_written_and_read_back(tmp_path):
    one, other = a_result(), a_result(dataset="umls", seed=1, paper=None)
    folder = tmp_path / "baselines" / "results"
    paths = [write_result(result, folder) for result in (one, other)]
    assert [path.name for path in paths] == ["fb15k-237-distmult-plain-seed0.json", "umls-distmult-plain-seed1.json"]
    assert read_results(tmp_path) == dict(zip(paths, (one, other), strict=True))


def test_a_faulty_file_is_named_with_each_fault(tmp_path):
    path = write_result(a_result(), tmp_path)
    values = json.loads(path.read_text())
    del values["commit"], values["seed"]
    path.write_text(json.dumps(values))
    with pytest.raises(InvalidResult, match=r"seed0\.json is no valid result: commit is missing; seed is missing"):
        read_result(path)
    path.write_text("{")
    with pytest.raises(InvalidResult, match="it is not JSON"):
        read_result(path)


def test_no_result_can_be_made_that_could_not_be_read():
    with pytest.raises(InvalidResult, match="command must be a text"):
        a_result(command="")


def test_a_result_says_what_the_evaluation_said(dataset):
    found = evaluate(constant(dataset.graph), dataset)
    origin = provenance({"lr": 0.1}, seed=7, command="gnnkg train x.yaml")
    result = result_from(found, origin, model="DistMult", method="plain", wall_seconds=60.0)
    assert result.metrics == found.metrics
    assert result.protocol == Protocol().to_dict()
    assert (result.seed, result.command, result.config) == (7, "gnnkg train x.yaml", {"lr": 0.1})
    assert (result.data_hash, result.dataset, result.split) == (dataset.data_hash, "random", "test")
    assert result.versions["torch"]
    assert validate_result(json.loads(json.dumps(asdict(result)))) == []


def test_facts_of_unseen_entities_are_shown_apart_where_there_are_any(dataset):
    found = evaluate(constant(dataset.graph), dataset)
    origin = provenance({"lr": 0.1}, seed=7, command="gnnkg train x.yaml")
    for entities in ({"seen": found.metrics}, {"seen": found.metrics, "unseen": found.metrics}):
        seen = replace(found, entities=entities)
        result = result_from(seen, origin, model="DistMult", method="plain", wall_seconds=60.0)
        assert result.entities == (entities if len(entities) == 2 else {})
        assert validate_result(json.loads(json.dumps(asdict(result)))) == []
    assert "entities" in validate_result(asdict(result) | {"entities": {"unseen": {"mrr": 2}}})[0]


def test_sampled_hits_are_part_of_a_result(dataset):
    found = evaluate(constant(dataset.graph), dataset, sampled=True)
    result = result_from(found, provenance({"lr": 0.1}, 0, "a command"), model="M", method="m", wall_seconds=1.0)
    assert result.metrics["hits@10_50"] == found.metrics["hits@10_50"]
    assert len(result.intervals["hits@10_50"]) == 2
    assert "50 candidates drawn uniformly with replacement" in result.protocol["sampled"]
