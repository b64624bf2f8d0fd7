"""The commands on a run directory, one after the other, as a user types them."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas
import pyarrow.parquet
import pytest
import yaml

from gnnkg.cli import main


def test_train_writes_a_complete_run_and_says_what_is_next(experiment, tmp_path, capsys):
    path = tmp_path / "run"
    assert main(["train", str(experiment), "--run", str(path), "--quiet", "--scorer.dim", "4", "--steps=10"]) == 0
    out = capsys.readouterr().out
    assert "best validation MRR" in out
    assert f"next: gnnkg evaluate {path}" in out
    config = yaml.safe_load((path / "config.yaml").read_text())
    assert config["scorer"]["init_args"]["dim"] == 4
    assert config["queries"]["direction"] == "both"
    files = {
        "vocabulary.json",
        "environment.json",
        "weights.safetensors",
        "checkpoint.safetensors",
        "metrics.csv",
        "curve.png",
    }
    assert files <= {file.name for file in path.iterdir()}


def test_train_names_the_run_after_the_file(experiment, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", str(experiment), "--quiet", "--steps", "1"]) == 0
    (path,) = (tmp_path / "runs").iterdir()
    assert path.name.startswith("experiment-2")


def test_resuming_a_finished_run_changes_nothing(run):
    before = (run / "weights.safetensors").read_bytes()
    assert main(["resume", str(run), "--quiet"]) == 0
    assert (run / "weights.safetensors").read_bytes() == before


@pytest.mark.parametrize("command", ["train", "resume"])
def test_an_interrupted_training_says_how_to_continue(command, experiment, run, tmp_path, monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"gnnkg.experiment.{command}", interrupted)
    path = tmp_path / "other" if command == "train" else run
    arguments = [str(experiment), "--run", str(path)] if command == "train" else [str(path)]
    assert main([command, *arguments]) == 130
    assert f"to continue: gnnkg resume {path}" in capsys.readouterr().out


def test_evaluate_prints_a_table_and_keeps_the_result(run, capsys):
    assert main(["evaluate", str(run), "--split", "valid", "--memory", "1GB"]) == 0
    out = capsys.readouterr().out
    assert "Hits@10" in out
    assert "filtered by train + valid + test" in out
    kept = json.loads((run / "results" / "valid.json").read_text())
    assert kept["evaluation"]["num_facts"] == 5
    assert kept["provenance"]["config"]["scorer"]["class_path"].endswith("DistMult")
    assert {"seed", "commit", "versions", "time", "peak_memory_bytes"} <= set(kept["provenance"])


def test_evaluate_prints_json(run, capsys):
    assert main(["evaluate", str(run), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert 0 < result["evaluation"]["metrics"]["mrr"] <= 1


def test_predict_marks_known_facts_and_leaves_them_out_when_asked(trained, capsys):
    assert (
        main(["predict", str(trained), "--head", "Person 1", "--relation", "next", "--top", "20", "--format", "jsonl"])
        == 0
    )
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["rank"] for answer in answers] == list(range(1, 21))
    assert {answer["label"]: answer["known"] for answer in answers}["Person 2"] == "train"
    assert (
        main(
            [
                "predict",
                str(trained),
                "--head",
                "person 1",
                "--relation",
                "next",
                "--novel",
                "--top",
                "20",
                "--format",
                "csv",
            ]
        )
        == 0
    )
    novel = capsys.readouterr().out
    assert "Person 2," not in novel
    assert len(novel.splitlines()) == 20  # a header and all but the known one


def test_predict_asks_for_heads_in_a_table(trained, capsys):
    assert main(["predict", str(trained), "--tail", "Person 2", "--relation", "next", "--top", "3"]) == 0
    out = capsys.readouterr().out
    assert "? next: Person 2" in out
    assert out.count("Person") >= 4


ASKED = ["--head", "Person 1", "--relation", "next", "--top", "2", "--explain"]


def test_predict_explains_its_answers(trained, capsys):
    assert main(["predict", str(trained), *ASKED]) == 0
    out = capsys.readouterr().out
    assert out.index("Person 1: next ?") < out.index("similar fact  Person") < out.index("similar fact: ")
    assert "-[next]-> Person" in out


@pytest.mark.parametrize(("top", "shown"), [("2", False), ("5", True)])
def test_predict_shows_how_many_answers_are_explained(top, shown, trained, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main(["predict", str(trained), *ASKED, "--top", top]) == 0
    captured = capsys.readouterr()
    assert ("explaining" in captured.err) == shown
    assert "explaining" not in captured.out


def test_predict_explains_its_answers_to_programs(trained, capsys):
    everybody = [*ASKED, "--top", "20"]
    assert main(["predict", str(trained), *everybody, "--format", "jsonl", "--paths", "20"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(answers) == 20
    reasons = [reason for answer in answers for reason in answer["explanation"]]
    assert {reason["kind"] for reason in reasons} == {"similar fact", "short path"}
    for answer in answers:
        assert f"Person 1 -[next]-> {answer['label']}" not in [reason["path"] for reason in answer["explanation"]]
        walks = [reason["steps"] for reason in answer["explanation"] if reason["kind"] == "short path"]
        assert all((walk[0]["head"], walk[-1]["tail"]) == ("Person 1", answer["label"]) for walk in walks)
    assert main(["predict", str(trained), *everybody, "--format", "csv", "--paths", "20"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.endswith("known,kind,weight,path")
    assert len(rows) == len(reasons)


def test_predict_explains_a_network_by_paths(experiment, tmp_path, capsys):
    path = str(tmp_path / "network")
    network = ["--encoder.class_path", "tests.evaluation.planted.BellmanFord", "--steps", "1"]
    assert main(["train", str(experiment), "--run", path, "--quiet", *network]) == 0
    capsys.readouterr()
    question = ["--tail", "Person 4", "--relation", "after", "--top", "20"]
    assert main(["predict", path, *question, "--explain", "--format", "jsonl"]) == 0
    answers = {line["label"]: line["explanation"] for line in map(json.loads, capsys.readouterr().out.splitlines())}
    assert {reason["kind"] for reason in answers["Person 2"]} == {"path"}
    assert "Person 4 <-[next]- Person 3 <-[next]- Person 2" in [reason["path"] for reason in answers["Person 2"]]
    assert {reason["kind"] for reason in answers["Person 14"]} == {"similar fact"}  # too far away for 3 layers


def test_compare_tables_runs_and_warns_where_they_differ(trained, run, capsys):
    assert main(["compare", str(trained), str(run)]) == 0
    assert "Warning" not in capsys.readouterr().out
    file = run / "results" / "test.json"
    result = json.loads(file.read_text())
    result["evaluation"]["protocol"]["ties"] = "optimistic"
    file.write_text(json.dumps(result))
    assert main(["compare", str(trained), str(run), "--json"]) == 0
    compared = json.loads(capsys.readouterr().out)
    assert len(compared["rows"]) == 2
    assert any("ties" in warning for warning in compared["warnings"])


def test_compare_asks_for_an_evaluation_first(run, capsys):
    assert main(["compare", str(run), "--split", "train"]) == 2
    assert f"gnnkg evaluate {run} --split train" in capsys.readouterr().err


def test_export_writes_vectors_that_others_can_read(trained, tmp_path, capsys):
    for format in ("parquet", "npy", "word2vec"):
        assert main(["export", str(trained), "--format", format, "--out", str(tmp_path / format)]) == 0
    assert str(tmp_path / "npy" / "entities.npy") in capsys.readouterr().out
    table = pyarrow.parquet.read_table(tmp_path / "parquet" / "entities.parquet")
    vectors = np.load(tmp_path / "npy" / "entities.npy", allow_pickle=False)
    assert vectors.shape == (20, 8)
    assert np.array_equal(np.stack(table["vector"].to_pylist()).astype(np.float32), vectors)
    assert (tmp_path / "word2vec" / "entities.txt").read_text().startswith("20 8\n")


def test_the_metrics_of_a_run_are_a_table(trained):
    metrics = pandas.read_csv(trained / "metrics.csv")
    assert metrics["step"].tolist() == [10, 20]


DAMAGED = {
    "config.yaml": ("evaluate", b"scorer: ["),
    "vocabulary.json": ("evaluate", b"{"),
    "weights.safetensors": ("evaluate", b"\x00\x01\x02"),
    "checkpoint.safetensors": ("resume", b"\x00\x01\x02"),
    "results/test.json": ("compare", b"{}"),
    "metrics.csv": ("resume", b"step,epo"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_run_names_the_damaged_file(run, name, capsys):
    command, content = DAMAGED[name]
    (run / name).write_bytes(content)
    assert main([command, str(run)]) == 2
    error = capsys.readouterr().err
    assert str(run / name) in error
    assert error.count("is damaged") == 1
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("name", "hint"),
    [("weights.safetensors", "train the model again"), ("checkpoint.safetensors", "or delete it")],
)
def test_a_damaged_run_says_what_helps(run, name, hint, capsys):
    command, content = DAMAGED[name]
    (run / name).write_bytes(content)
    assert main([command, str(run)]) == 2
    assert hint in capsys.readouterr().err
    if command == "resume":
        (run / name).unlink()
        assert main(["resume", str(run), "--quiet"]) == 0


@pytest.mark.parametrize("name", ["vocabulary.json", "weights.safetensors"])
def test_a_missing_file_of_a_run_is_named(run, name, capsys):
    (run / name).unlink()
    assert main(["evaluate", str(run)]) == 2
    assert str(run / name) in capsys.readouterr().err


MISTAKES = [
    (
        ["predict", "RUN", "--head", "Person 21", "--relation", "next"],
        "no entity is called 'Person 21'; closest: .*Person 2",
    ),
    (["predict", "RUN", "--head", "Person 1", "--relation", "nxt"], "no relation is called 'nxt'; closest: next"),
    (["predict", "RUN", "--head", "Person 1", "--relation", "next", "--top", "0"], "at least 1, not 0"),
    (["predict", "RUN", "--head", "Person 1", "--relation", "next", "--paths", "2"], "add --explain"),
    (["predict", "RUN", *ASKED, "--paths", "0"], "at least 1, not 0"),
    (["evaluate", "RUN", "--memory", "lots"], "a size of memory reads like 2GB"),
    (["evaluate", "/nowhere"], "there is no folder /nowhere"),
    (["resume", "/"], "/ is not a run directory"),
    (["train", "FILE", "--run", "RUN"], "holds a run already"),
    (["train", "FILE", "--accelerator", "tpu2"], "Available names are"),
    (["train", "/nowhere.yaml"], "there is no file /nowhere.yaml"),
    (["train", "FILE", "--scorer.dimm", "3"], r"scorer.dimm: DistMult accepts no key 'dimm' \(did you mean dim\?\)"),
    (["train", "FILE", "--dataset", "umlss"], "no data set is called 'umlss'.*umls"),
    (["train", "FILE", "--dataset_options.on_eror", "skip"], "on_eror"),
    (["train", "FILE", "--scorer.dim"], "--scorer.dim needs a value"),
    (["train", "FILE", "stray"], "expected an override such as --scorer.dim 70, found 'stray'"),
    (["audit", "umlss"], "no data set is called 'umlss'"),
    (["audit", "/"], "/ holds no training facts"),
    (["datasets", "umlss"], "no data set is called 'umlss'; closest: umls"),
    (["parts", "Emu"], r"there is no 'Emu' \(did you mean EMU\?\)"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), MISTAKES, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_a_mistake_gets_one_message_and_status_2(
    arguments, message, trained, experiment, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    named = {"RUN": str(trained), "FILE": str(experiment)}
    assert main([named.get(argument, argument) for argument in arguments]) == 2
    out = capsys.readouterr()
    assert "Traceback" not in out.err
    assert out.err.startswith(f"gnnkg {arguments[0]}: ")
    assert re.search(message, out.err)
