from __future__ import annotations

import json

import pytest

from gnnkg.cli import main


def test_noise_prints_a_table_and_keeps_result_and_picture(run, capsys):
    assert main(["noise", str(run), "--seeds", "2", "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "gaussian noise on the query" in out
    kept = json.loads((run / "results" / "noise-test-query-own-seeds-2.json").read_text())
    clean = json.loads((run / "results" / "test.json").read_text())["evaluation"]["metrics"]["mrr"]
    assert kept["noise"]["values"]["0"]["mrr"] == {"mean": clean, "sd": None, "values": [clean]}
    assert list(kept["noise"]["values"]) == ["0", "0.5", "1", "2", "5"]
    assert (run / "results" / "noise-test-query-own-seeds-2.png").stat().st_size > 1000
    assert "config" in kept["provenance"]


def test_noise_with_another_run_s_sigma_and_some_facts(run, trained, capsys):
    arguments = ["--target", "all", "--sigma-of", str(trained), "--alpha", "0", "1", "--facts", "3", "--seeds", "2"]
    assert main(["noise", str(run), "--json", *arguments]) == 0
    found = json.loads(capsys.readouterr().out)["noise"]
    assert main(["noise", str(run), "--json", "--alpha", "0", "--seeds", "1"]) == 0
    own = json.loads(capsys.readouterr().out)["noise"]
    assert found["sigma"] == pytest.approx(own["sigma"])
    assert found["sigma_of"] == str(trained)
    assert found["num_facts"] == 3


def test_noise_says_how_far_scores_move(run, capsys):
    assert main(["noise", str(run), "--seeds", "2", "--alpha", "0", "1", "--shifts", "3", "--quiet"]) == 0
    assert "how far scores move" in capsys.readouterr().out
    kept = json.loads((run / "results" / "noise-test-query-own-alpha-0-1-seeds-2-shifts-3.json").read_text())
    assert kept["shifts"]["facts"] == 3
    assert len(kept["shifts"]["values"]["1"]["scatter"]["values"]) == 2


def test_sigmas_that_are_close_have_files_of_their_own(run):
    few = ["--alpha", "0", "1", "--seeds", "1", "--quiet"]
    for sigma in ("0.5", "0.500001", "1000000", "0.000001"):
        before = set((run / "results").iterdir())
        assert main(["noise", str(run), *few, "--sigma", sigma]) == 0
        assert len(set((run / "results").iterdir()) - before) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--facts", "0"], "at least 1, not 0"),
        (["--alpha", "-1"], "alphas are"),
        (["--sigma", "0"], "above 0"),
        (["--shifts", "2", "--per-entity"], "one sigma"),
        (["--sigma", "1", "--quantile", "0.9"], "--quantile is of a sigma that is measured, and --sigma gives one"),
    ],
)
def test_a_mistake_gets_one_message(arguments, message, trained, capsys):
    assert main(["noise", str(trained), *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", ["noise", "evaluate", "certify", "attack"])
def test_a_run_that_takes_no_results_is_told_before_anything_is_computed(command, run, capsys, monkeypatch):
    monkeypatch.setattr("gnnkg.experiment.load_dataset", lambda _: pytest.fail("something was computed"))
    (run / "results").rename(run / "gone")
    (run / "results").write_text("a file where the folder was")
    assert main([command, str(run)]) == 2
    assert "results" in capsys.readouterr().err
