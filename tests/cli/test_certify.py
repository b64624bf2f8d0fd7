"""gnnkg certify, as a user types it."""

from __future__ import annotations

import json
import re

import pytest

from gnnkg.cli import main
from gnnkg.evaluation.certification import partial

NAMED = "queries-4-alpha-0.2-draws-30-confidence-0.99"
SHORT = ["--draws", "30", "--confidence", "0.99", "--alpha", "0.2", "--queries", "4", "--quiet"]
FACTS = ["--draws", "30", "--confidence", "0.99", "--queries", "4", "--quiet"]


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


def stop_after(monkeypatch, number: int) -> None:
    """Stops what is asked once so many rows of a file are kept."""
    keep = partial.Partial.keep

    def killed(self, found, finished):
        found = list(found)
        keep(self, found, finished)
        if len(found) == number and not finished:
            monkeypatch.setattr(partial.Partial, "keep", keep)
            raise KeyboardInterrupt

    monkeypatch.setattr(partial, "SECONDS", 0.0)
    monkeypatch.setattr(partial.Partial, "keep", killed)


def test_a_stopped_attack_goes_on_and_the_certificate_is_not_made_again(run, capsys, monkeypatch):
    options = [*SHORT, "--queries", "all", "--direction", "both", "--top", "10"]
    assert main(["certify", str(run), *options]) == 0
    (file,) = (run / "results").glob("certificate-test-*.json")
    made = file.read_bytes()
    stop_after(monkeypatch, 2)
    monkeypatch.setattr("gnnkg.evaluation.certification.certify", lambda *_, **__: pytest.fail("certified again"))
    assert main(["certify", str(run), *options, "--attack", "3", "--json"]) == 130
    assert "to continue, ask for the same again" in capsys.readouterr().err
    assert main(["certify", str(run), *options, "--attack", "2"]) == 2
    assert "attack was 3 and is now 2" in capsys.readouterr().err
    (left,) = (run / "results").glob("attacks-test-*.partial.json")
    half = json.loads(left.read_text())
    left.write_text(json.dumps(half | {"seconds": 1000.0}))
    assert main(["certify", str(run), *options, "--attack", "3"]) == 0
    assert file.read_bytes() == made
    assert not left.exists()
    (kept,) = (run / "results").glob("attacks-test-*.json")
    trial = json.loads(kept.read_text())["trial"]
    assert trial["wall_seconds"] > 1000
    assert [list(row.values()) for row in trial["rows"][:2]] == half["found"]
    assert {"head", "distance", "share", "verdict"} <= set(trial["rows"][2])


def test_a_certificate_of_other_weights_is_made_again(run, capsys):
    assert main(["certify", str(run), *SHORT, "--top", "10"]) == 0
    (file,) = (run / "results").glob("certificate-test-*.json")
    old = json.loads(file.read_text())
    file.write_text(json.dumps(old | {"about": old["about"] | {"weights": "others"}}))
    assert main(["certify", str(run), *SHORT, "--top", "10", "--attack", "1"]) == 0
    assert json.loads(file.read_text())["about"] == old["about"]


def test_a_certificate_says_by_what_it_was_filtered_where_facts_are_hidden(experiment, tmp_path, capsys):
    path = tmp_path / "hiding"
    assert main(["train", str(experiment), "--run", str(path), "--quiet", "--dataset_options.hide", "0.3"]) == 0
    assert main(["certify", str(path), *SHORT]) == 0
    (file,) = (path / "results").glob("certificate-test-*.json")
    kept = json.loads(file.read_text())
    assert kept["about"]["filter"] == ["train", "valid", "test", "hidden"]
    del kept["about"]["filter"]  # as before hidden facts were filtered
    kept["certificate"]["rows"][0][-1] = None
    file.write_text(json.dumps(kept))
    assert main(["certify", str(path), *SHORT, "--attack", "1"]) in (0, 2)  # 2: nothing is certified
    assert json.loads(file.read_text())["about"]["filter"], "what was filtered otherwise is made again"
    capsys.readouterr()


def test_more_of_the_best_than_the_usual_worst_rank_can_be_asked_for(run, capsys):
    assert main(["certify", str(run), *SHORT, "--top", "100", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["certificate"]["smoothing"]["worst_rank"] == 100


@pytest.mark.parametrize("row", [[1, 2, 3], 7, [0, 0, "x", 1, 3, True, 0, 0]])
def test_a_damaged_file_of_what_is_done_is_told_with_the_remedy(run, row, capsys, monkeypatch):
    stop_after(monkeypatch, 2)
    assert main(["certify", str(run), *SHORT]) == 130
    (left,) = (run / "results").glob("*.partial.json")
    left.write_text(json.dumps(json.loads(left.read_text()) | {"found": [row]}))
    assert main(["certify", str(run), *SHORT]) == 2
    assert f"{left.name} is damaged" in (error := capsys.readouterr().err)
    assert "--fresh" in error
    assert main(["certify", str(run), *SHORT, "--fresh"]) == 0


def test_certify_against_changes_of_the_graph(experiment, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("gnnkg.evaluation.certification.fact_trial.SEARCH_DRAWS", 4)
    monkeypatch.setattr("gnnkg.evaluation.certification.fact_trial.FIRST_DRAWS", 30)
    path = tmp_path / "network"
    network = ["--encoder.class_path", "RGCN", "--steps", "1", "--quiet"]
    assert main(["train", str(experiment), "--run", str(path), *network]) == 0
    capsys.readouterr()
    assert main(["certify", str(path), *FACTS, "--delete", "0.6", "--top", "12", "--attack", "1"]) == 0
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
        (["--delete", "0.5", "--draws", "5"], "5 draws cannot certify anything"),
        (["--delete", "0.5", "--draws", "0"], "at least 1 draw"),
        (["--delete", "0.5", "--confidence", "2"], "a confidence between 0 and 1"),
        (["--delete", "0.5", "--top", "0"], "expected 1 <= top"),
        (["--delete", "1"], "a probability between 0 and 1"),
        (["--delete", "0.5", "--alpha", "2"], "--alpha is about noise on vectors"),
        (["--delete", "0.5", "--sigma", "2"], "--sigma is about noise on vectors"),
        (["--delete", "0.5", "--part", "boundary"], "--part is about noise on vectors"),
        (["--delete", "0.5", "--all-counts"], "--all-counts is about noise on vectors"),
        (["--part", "boundary", "--attack", "3"], "--attack is a number of queries"),
        (["--alpha", "nan"], "alpha and sigma must be above 0"),
        (["--seed", "-1"], "a seed is at least 0, not -1"),
        (["--seed", "-1", "--delete", "0.5"], "a seed is at least 0, not -1"),
        (["--sigma", "-1"], "alpha and sigma must be above 0"),
        (["--sigma", "1", "--divisor", "4"], "--divisor is of a sigma that is measured, and --sigma gives one"),
    ],
)
def test_a_mistake_gets_one_message(trained, arguments, message, capsys):
    assert main(["certify", str(trained), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("gnnkg certify: ")
    assert message in error
