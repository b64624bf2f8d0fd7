"""The README tells the truth: its Python example runs, its commands exist, and its tables are those of the results."""

from __future__ import annotations

import re
from pathlib import Path

from gnnkg.evaluation.results import read_results
from gnnkg.evaluation.tables import report

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in example.splitlines() if line]) <= 12
    exec(compile(example, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    mrr = re.search(r"^0\.\d+$", printed, re.MULTILINE)
    assert mrr, "the example prints the MRR on a line of its own"
    assert float(mrr[0]) > 0.25
    assert "Swiss Franc" in printed


def test_every_result_has_the_form():
    results = read_results(ROOT / "recipes")
    assert len(results) >= 10, "results are missing from recipes/*/results"
    assert all(result.commit and result.data_hash for result in results.values())


def test_the_tables_are_those_of_the_results():
    assert report(ROOT / "README.md", ROOT / "recipes", check=True) == [], "run `gnnkg report`"


def test_the_commands_it_shows_exist():
    from gnnkg.cli import commands

    shown = set(re.findall(r"^gnnkg ([a-z]+)", README, re.MULTILINE))
    assert len(shown) >= 8
    assert shown <= commands().keys()


def test_the_files_it_names_exist():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "gnnkg" / "cli").glob("*.py"))]
    named = {
        name
        for page in pages
        for name in re.findall(r"\b(?:recipes|benchmarks)/[\w./-]+\.\w+", page.read_text("utf-8"))
    }
    assert len(named) >= 5
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
