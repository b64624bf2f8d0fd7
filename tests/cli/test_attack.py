"""gnnkg attack, as a user types it."""

from __future__ import annotations

import json

import pytest

from gnnkg.cli import main


def test_attack_prints_a_table_and_writes_the_facts_that_turn_answers(experiment, tmp_path, capsys):
    path = tmp_path / "network"
    network = ["--encoder.class_path", "CompGCN", "--steps", "1", "--quiet"]
    assert main(["train", str(experiment), "--run", str(path), *network]) == 0
    capsys.readouterr()
    few = ["--queries", "4", "--top", "10", "--budget", "1", "3", "--tries", "2", "--candidates", "20", "--quiet"]
    name = "fact-attacks-test-top-10-queries-4-budget-1-3-tries-2-candidates-20"
    assert main(["attack", str(path), *few]) == 0
    out = capsys.readouterr().out
    assert "4 of 5 tail queries" in out
    assert "facts deleted" in out
    assert "facts added" in out
    kept = json.loads((path / "results" / f"{name}.json").read_text())
    trial = kept["trial"]
    assert trial["figures"]["held"] == sum(row["held"] for row in trial["rows"])
    assert list(trial["figures"]["changed"]["add"]["by gradient"]) == ["1", "3"]
    assert "config" in kept["provenance"]
    assert main(["attack", str(path), *few, "--kind", "delete", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["trial"]["figures"]["changed"]) == ["delete"]
    assert {file.stem for file in (path / "results").glob("fact-attacks-*")} == {
        name,
        name.replace("top-10-queries-4", "top-10-queries-4-kind-delete"),
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Table does not read the facts"),
        (["--queries", "many"], "--queries is a number or all, not 'many'"),
        (["--budget", "0"], "numbers of facts of at least 1"),
    ],
)
def test_a_mistake_gets_one_message(arguments, message, trained, capsys):
    assert main(["attack", str(trained), *arguments]) == 2
    assert message in capsys.readouterr().err
