"""``gnnkg query`` on a trained run: a written query, and a benchmark."""

from __future__ import annotations

import json

import pytest

from gnnkg.cli import main
from gnnkg.evaluation.multihop import QueryEvaluation

QUERY = '?x: "Person 3" -next-> ?y -after-> ?x'


def test_a_written_query_is_answered_in_labels(trained, capsys):
    assert main(["query", str(trained), QUERY, "--top", "20"]) == 0
    out = capsys.readouterr().out
    assert "?y" in out
    assert "Person 3 -[next]-> Person" in out
    assert main(["query", str(trained), QUERY, "--top", "20", "--json", "--beam", "20"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(answers) == 20
    assert {answer["label"] for answer in answers if answer["known"]} == {"Person 6"}
    assert main(["query", str(trained), QUERY, "--novel", "--json"]) == 0
    assert "Person 6" not in [json.loads(line)["label"] for line in capsys.readouterr().out.splitlines()]


def test_a_benchmark_is_measured_and_kept(run, capsys):
    options = ["--structures", "2p", "1p", "--queries", "5", "--alpha", "0", "1", "--seeds", "2", "--split", "valid"]
    assert main(["query", str(run), "--benchmark", "sampled", *options]) == 0
    name = "queries-sampled-valid-2p-1p-5-queries-gaussian-alpha-0-1-2-seeds.json"
    assert name in capsys.readouterr().out
    kept = json.loads((run / "results" / name).read_text())
    found = QueryEvaluation.from_dict(kept["evaluation"])
    assert [(row.structure, row.alpha) for row in found.rows] == [("1p", 0), ("1p", 1), ("2p", 0), ("2p", 1)]
    assert 0 < found.mrr("2p", 1) <= 1
    assert kept["provenance"]["config"]["scorer"]["class_path"].endswith("DistMult")
    assert main(["query", str(run), "--benchmark", "sampled", "--structures", "1p", "--queries", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["evaluation"]["split"] == "test"


def test_measurements_that_differ_lie_side_by_side(run, capsys):
    few = ["query", str(run), "--benchmark", "sampled", "--structures", "1p", "--queries", "2"]
    others = [], ["--beam", "3"], ["--logic", "min"], ["--alpha", "1"], ["--alpha", "1", "--noise", "uniform"]
    for other in (*others, ["--alpha", "1", "--sigma-div", "2"], ["--alpha", "1", "--seeds", "2"]):
        before = {file.name for file in (run / "results").iterdir()}
        assert main([*few, *other]) == 0
        (new,) = {file.name for file in (run / "results").iterdir()} - before
        assert new.startswith("queries-sampled-test-1p-2-queries")
    capsys.readouterr()


def test_noise_of_a_given_sigma_or_of_another_run_s_is_the_same_absolute_noise(run, trained, capsys):
    few = [
        "query",
        str(run),
        "--benchmark",
        "sampled",
        "--queries",
        "4",
        "--structures",
        "1p",
        "--alpha",
        "2",
        "--json",
    ]

    def rows(*options: str) -> tuple[list, str]:
        assert main([*few, *options]) == 0
        found = json.loads(capsys.readouterr().out)["evaluation"]
        return [row["by_seed"] for row in found["rows"]], found["noise"]

    own, said = rows()
    assert "sigma = Q.9973 / 3" in said
    assert rows("--sigma-of", str(trained))[0] == own, "a run of the same weights"
    files = set((run / "results").iterdir())
    small, said = rows("--sigma", "1e-9")
    assert "alpha * 1e-09 * gaussian noise" in said
    assert "sigma = given" in said
    (new,) = set((run / "results").iterdir()) - files
    assert new.stem.endswith("sigma-1e-09")
    assert main([*few, "--alpha", "0"]) == 0
    assert small == [row["by_seed"] for row in json.loads(capsys.readouterr().out)["evaluation"]["rows"]]


REFUSED = [
    ([], "give a written query, or --benchmark"),
    ([QUERY, "--benchmark", "sampled"], "one of the two"),
    (["--benchmark", "sampled", "--queries", "0"], "must be at least 1, not 0"),
    (["--benchmark", "sampled", "--alpha", "nan"], "noise has strengths of 0 or more"),
    ([QUERY, "--executor", "chain"], "relations of DistMult are no maps"),
    ([QUERY, "--executor", "chain", "--beam", "3"], "--beam is for the beam search"),
    (['?x: "Person 3" next ?x'], "expected an arrow such as -relation-> or <-relation- at position 16"),
    (['?x: "Persn 3" -next-> ?x'], "no entity is called 'Persn 3'; closest: Person 3"),
    (["--benchmark", "q2b"], "no query set 'q2b' is known for family: there is none"),
    (["--benchmark", "sampled", "--alpha", "0", "0"], "repeats one"),
    (["--benchmark", "sampled", "--alpha", "1", "1.0000001"], "repeats one"),
    (["--benchmark", "sampled", "--structures", "2p", "2p"], "named once each"),
    (["--benchmark", "sampled", "--alpha", "1", "--sigma", "0"], "a number above 0, not 0"),
    (["--benchmark", "sampled", "--sigma", "1"], "an --alpha above 0"),
    (
        ["--benchmark", "sampled", "--alpha", "1", "--sigma", "1", "--sigma-div", "4"],
        "--sigma-div is of a sigma that is",
    ),
    ([QUERY, "--alpha", "5"], "--alpha is of a benchmark: it does not go with a written query"),
    ([QUERY, "--structures", "9p"], "--structures is of a benchmark"),
    (["--benchmark", "sampled", "--novel"], "--novel is of a written query: it does not go with --benchmark"),
    (["--benchmark", "sampled", "--noise", "laplacian"], "--noise is of noise: it goes with an --alpha above 0"),
    (["--benchmark", "sampled", "--alpha", "1", "--sigma-div", "nan"], "the divisor must be a number above 0, not nan"),
    (["--benchmark", "sampled", "--structures", "4p"], "structures are 1p, 2p"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_what_cannot_be_asked_is_said(arguments, message, trained, capsys):
    assert main(["query", str(trained), *arguments]) == 2
    assert message in capsys.readouterr().err
