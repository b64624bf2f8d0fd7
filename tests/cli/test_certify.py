"""gnnkg certify, as a user types it."""

from __future__ import annotations

import json
import re

import pytest

from gnnkg.cli import main
from gnnkg.evaluation.certification import partial

NAMED = "queries-4-alpha-0.2-draws-30-confidence-0.99"
SHORT = ["--draws", "30", "--confidence", "0.99", "--alpha", "0.2", "--queries", "4", "--quiet"]


def test_certify_prints_a_table_and_writes_result_and_picture(run, capsys):
    assert main(["certify", str(run), *SHORT]) == 0
    out = capsys.readouterr().out
    assert "4 of 5 tail queries" in out
    (file,) = (run / "results").glob("certificate-test-*.json")
    assert file.stem == f"certificate-test-{NAMED}"
    assert f"written to {file.with_suffix('')}.json and .png" in out
    kept = json.loads(file.read_text())
    assert kept["certificate"]["smoothing"]["draws"] == 30
    assert len(kept["certificate"]["rows"]) == 4
    assert {"seed", "commit", "versions", "time"} <= set(kept["provenance"])
    assert file.with_suffix(".png").stat().st_size > 1000
    assert not list((run / "results").glob("*.partial.json"))


def test_certify_prints_json_of_all_counts(run, capsys):
    assert main(["certify", str(run), *SHORT, "--queries", "all", "--direction", "both", "--all-counts", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["certificate"]["figures"]
    assert figures["queries"] == 10
    assert figures["not tried"] == figures["given up"] == 0
    assert 0 <= figures["smoothed accuracy"] <= 1


def test_a_stopped_certification_goes_on_with_the_same_settings_and_weights_only(run, capsys, monkeypatch):
    assert main(["certify", str(run), *SHORT, "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)["certificate"]["rows"]
    monkeypatch.setattr(partial, "SECONDS", 0.0)
    keep = partial.Partial.keep

    def killed(self, found, finished):
        found = list(found)
        keep(self, found, finished)
        if len(found) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(partial.Partial, "keep", killed)
    assert main(["certify", str(run), *SHORT]) == 130
    assert "to continue, ask for the same again" in capsys.readouterr().out
    monkeypatch.setattr(partial.Partial, "keep", keep)
    assert main(["certify", str(run), *SHORT, "--alpha", "0.5", "--json"]) == 0, (
        "another question, in a file of its own"
    )
    assert json.loads(capsys.readouterr().out)["certificate"]["smoothing"]["alpha"] == 0.5
    weights = run / "weights.safetensors"
    held = weights.read_bytes()
    assert main(["resume", str(run), "--quiet"]) == 0
    weights.write_bytes(held)
    assert main(["certify", str(run), *SHORT, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.partition("{")[2].join(["{", ""]))["certificate"]["rows"] == whole


def test_certify_against_changes_of_the_graph(experiment, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("gnnkg.evaluation.certification.fact_trial.SEARCH_DRAWS", 4)
    monkeypatch.setattr("gnnkg.evaluation.certification.fact_trial.FIRST_DRAWS", 30)
    path = tmp_path / "network"
    network = ["--encoder.class_path", "RGCN", "--steps", "1", "--quiet"]
    assert main(["train", str(experiment), "--run", str(path), *network]) == 0
    capsys.readouterr()
    assert main(["certify", str(path), *SHORT, "--delete", "0.6", "--top", "12", "--attack", "1"]) == 0
    out = capsys.readouterr().out
    assert "each deleted with probability 0.6" in out
    assert "facts removed" in out
    (file,) = (path / "results").glob("facts-certificate-test-*.json")
    kept = json.loads(file.read_text())["certificate"]
    assert len(kept["successes"]) == len(kept["removed"]) == 4
    assert max(kept["successes"]) <= 30
    assert file.with_suffix(".png").stat().st_size > 1000
    assert re.search("facts deleted +1 ", out)
    (file,) = (path / "results").glob("facts-certificate-attacks-test-*.json")
    trial = json.loads(file.read_text())["trial"]
    assert trial["figures"]["delete"]["tried"] == 1
    assert trial["figures"]["add"]["tried"] == len(trial["rows"]) - 1
    assert trial["rows"][0]["allowed"] >= len(trial["rows"][0]["changed"])


def test_attacks_inside_radii_are_counted_and_kept(run, capsys):
    assert main(["certify", str(run), *SHORT, "--top", "10", "--attack", "2"]) == 0
    (file,) = (run / "results").glob("attacks-test-*.json")
    tried = json.loads(file.read_text())["trial"]["tried"]
    assert tried in (1, 2)
    assert f"attacks inside the radius of {tried} certified queries" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--queries", "many"], "--queries is a number or all, not 'many'"),
        (["--draws", "5"], "5 draws cannot certify anything"),
        (["--delete", "0.5"], "Table does not read the facts"),
        (["--part", "boundary", "--attack", "3"], "--attack is a number of queries"),
        (["--alpha", "nan"], "alpha and sigma must be above 0"),
        (["--sigma", "-1"], "alpha and sigma must be above 0"),
    ],
)
def test_a_mistake_gets_one_message(trained, arguments, message, capsys):
    assert main(["certify", str(trained), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("gnnkg certify: ")
    assert message in error
