"""A model is trained on one graph and asked about another, from the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gnnkg.cli import main
from gnnkg.data.manifest import manifest
from gnnkg.run import RunDirectory, result_name
from tests.cli.conftest import EXPERIMENT
from tests.inductive import ring


def folder(where: Path, lines: list[str]) -> Path:
    """A data set of facts, the last ten of which are held out."""
    where.mkdir()
    for name, part in (("train", lines[:-10]), ("valid", lines[-10:-5]), ("test", lines[-5:])):
        (where / f"{name}.txt").write_text("".join(part))
    return where


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Rings: ``left`` has three relations, ``right`` two of them and other people, ``odd`` has one that is not in ``left``."""
    root = tmp_path_factory.mktemp("rings")
    odd = [line.replace("third", "fourth") for line in ring("odd", 20)]
    right = ring("right", 20, ("third", "next"))
    return {
        name: folder(root / name, lines)
        for name, lines in {"left": ring("left", 20), "right": right, "same size": ring("same", 20), "odd": odd}.items()
    }


def train(data: dict[str, Path], encoder: str, path: Path) -> Path:
    file = path.parent / f"{path.name}.yaml"
    file.write_text(EXPERIMENT.format(folder=data["left"]) + f"encoder: {encoder}\n")
    assert main(["train", str(file), "--run", str(path), "--quiet"]) == 0
    return path


@pytest.fixture(scope="module")
def inductive(data: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(data, "tests.inductive.ByRelations", tmp_path_factory.mktemp("runs") / "inductive")


def test_evaluate_ranks_the_facts_of_the_other_graph_among_its_entities(inductive, data, capsys):
    assert main(["evaluate", str(inductive), "--on", str(data["right"])]) == 0
    out = capsys.readouterr().out
    assert "right, test: 5 facts" in out
    assert "of 50" in out
    assert "drawn uniformly with replacement" in out
    name = result_name("test", str(data["right"]))
    assert f"written to {inductive / 'results' / name}.json" in out
    found = RunDirectory.open(inductive).result(name)["evaluation"]
    assert found["dataset"] == "right"
    assert found["data_hash"] != RunDirectory.open(inductive).vocabulary["data_hash"]
    assert set(found["relations"]) <= {"next", "third"}
    assert 0 <= found["metrics"]["hits@10_50"] <= 1
    assert found["protocol"]["sampled"].startswith("50 candidates")


def test_without_on_the_run_is_judged_where_it_was_trained(inductive, capsys):
    assert main(["evaluate", str(inductive), "--split", "valid", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["evaluation"]
    assert (found["dataset"], found["split"]) == ("left", "valid")
    assert "hits@10_50" not in found["metrics"]


def test_compare_reads_what_was_evaluated_on_the_other_graph(inductive, data, tmp_path, capsys):
    right = ["--on", str(data["right"])]
    assert main(["compare", str(inductive), *right, "--split", "valid"]) == 2
    assert f"gnnkg evaluate {inductive} --split valid --on {data['right']}" in capsys.readouterr().err
    assert main(["evaluate", str(inductive), *right, "--split", "valid"]) == 0
    assert main(["compare", str(inductive), *right, "--split", "valid"]) == 0
    assert "Hits@10 of 50" in capsys.readouterr().out


def test_predict_asks_about_the_new_entities(inductive, data, capsys):
    question = ["--head", "right 0", "--relation", "third", "--top", "20", "--format", "jsonl"]
    assert main(["predict", str(inductive), "--on", str(data["right"]), *question]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {answer["label"] for answer in answers} == {f"right {i}" for i in range(20)}
    assert {answer["label"]: answer["known"] for answer in answers}["right 3"] == "train"
    assert main(["predict", str(inductive), *question]) == 2
    assert "no entity is called 'right 0'" in capsys.readouterr().err


def test_a_relation_that_the_model_never_saw_is_refused(inductive, data, capsys):
    assert main(["evaluate", str(inductive), "--on", str(data["odd"])]) == 2
    assert "odd has relations that left has not, so no model of it knows them: fourth" in capsys.readouterr().err


def test_a_model_of_free_vectors_says_that_it_cannot(data, tmp_path, capsys):
    """Also where the other graph has as many entities and relations."""
    path = train(data, "Table", tmp_path / "table")
    capsys.readouterr()
    for command in (["evaluate", str(path)], ["predict", str(path), "--head", "same 0", "--relation", "next"]):
        assert main([*command, "--on", str(data["same size"])]) == 2
        error = capsys.readouterr().err
        assert "Table has a vector of its own for each entity that it was trained on" in error
        assert "inductive encoder" in error
    assert not (path / "results").exists()
    assert main(["evaluate", str(path), "--on", str(data["left"])]) == 0  # the same entities


@pytest.mark.parametrize(
    ("encoder", "title"),
    [
        ("CompGCN", "CompGCN"),
        ("{class_path: Sampled, init_args: {encoder: CompGCN, fanout: 2}}", "CompGCN inside Sampled"),
    ],
)
def test_the_encoder_that_knows_its_entities_by_name_is_named(encoder, title, data, tmp_path, capsys):
    path = train(data, encoder, tmp_path / "run")
    assert main(["evaluate", str(path), "--on", str(data["right"])]) == 2
    assert f": {title} has a vector of its own for each entity" in capsys.readouterr().err


def test_evaluate_says_where_the_new_entities_are(inductive, monkeypatch, capsys):
    known = manifest("grail/fb237_v1")
    assert known is not None
    monkeypatch.setattr("gnnkg.data.manifest.manifest", lambda name: replace(known, name=name))
    assert main(["evaluate", str(inductive)]) == 0
    assert f"gnnkg evaluate {inductive} --on grail/fb237_v1_ind" in capsys.readouterr().out


def test_results_are_named_by_the_whole_name_or_path(tmp_path, monkeypatch):
    assert result_name("test") == "test"
    assert result_name("valid", "grail/FB237_v1_ind") == "valid-on-grail-fb237_v1_ind"
    (tmp_path / "two").mkdir()
    monkeypatch.chdir(tmp_path)
    assert result_name("test", "two") == result_name("test", str(tmp_path / "two"))


@pytest.mark.datasets
def test_a_pair_of_grail(tmp_path, capsys):
    file = tmp_path / "grail.yaml"
    file.write_text(EXPERIMENT.format(folder="grail/WN18RR_v1") + "encoder: tests.inductive.ByRelations\n")
    path = tmp_path / "run"
    assert main(["train", str(file), "--run", str(path), "--quiet", "--steps", "5"]) == 0
    assert main(["evaluate", str(path), "--split", "valid"]) == 0
    assert f"gnnkg evaluate {path} --on grail/WN18RR_v1_ind" in capsys.readouterr().out
    assert main(["evaluate", str(path), "--on", "grail/WN18RR_v1_ind"]) == 0
    out = capsys.readouterr().out
    assert "grail/WN18RR_v1_ind, test: 188 facts" in out
    assert "these entities were trained on" not in out
    question = ["--head", "differ", "--relation", "hypernym", "--format", "csv"]
    assert main(["predict", str(path), "--on", "grail/WN18RR_v1_ind", *question]) == 0
