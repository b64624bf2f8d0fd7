"""The README tells the truth: its Python examples run, its commands exist, and its tables are those of the results."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from gnnkg.evaluation.results import read_results
from gnnkg.evaluation.tables import report

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


EXAMPLES: list[str] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def run(example: str) -> dict[str, Any]:
    """The names that an example leaves."""
    assert len([line for line in example.splitlines() if line]) <= 12
    names: dict[str, Any] = {}
    exec(compile(example, "README.md", "exec"), names)
    return names


def test_there_are_two_python_examples():
    assert len(EXAMPLES) == 2, "write a test that runs the new one"


def test_the_python_example_runs(capsys):
    run(EXAMPLES[0])
    printed = capsys.readouterr().out
    mrr = re.search(r"^0\.\d+$", printed, re.MULTILINE)
    assert mrr, "the example prints the MRR on a line of its own"
    assert float(mrr[0]) > 0.25
    assert "Swiss Franc" in printed


def test_the_example_with_dgl_runs_and_edges_are_the_facts_that_it_says(capsys):
    names = run(EXAMPLES[1])
    graph, h, stated, dgl = (names[name] for name in ("graph", "h", "stated", "dgl"))
    assert capsys.readouterr().out == f"torch.Size([{graph.num_entities}, 16])\n"
    head, tail = h.edges(order="eid")
    edges = torch.stack([head, h.edata[dgl.ETYPE], tail], 1)
    count = len(stated)
    assert torch.equal(edges[:count], stated)
    assert torch.equal(edges[count:], torch.stack([stated[:, 2], stated[:, 1] + graph.num_relations, stated[:, 0]], 1))
    assert torch.equal(names["both"].facts, edges)
    assert names["relations"] == [str(r) for r in range(2 * graph.num_relations)]


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


def test_the_options_it_shows_are_those_of_their_commands(capsys):
    from gnnkg.cli import main

    shown: dict[str, set[str]] = {}
    for command, rest in re.findall(r"^gnnkg ([a-z]+)(.*)$", README, re.MULTILINE):
        shown.setdefault(command, set()).update(re.findall(r"--[a-z][\w-]*", rest))
    assert len(set().union(*shown.values())) >= 15
    for command, options in shown.items():
        if not options or command == "train":  # any field of an experiment is an option of train
            continue
        with pytest.raises(SystemExit):
            main([command, "--help"])
        known = set(re.findall(r"--[a-z][\w-]*", capsys.readouterr().out))
        assert options <= known, command


def test_the_files_it_names_exist():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "gnnkg" / "cli").glob("*.py"))]
    named = {
        name
        for page in pages
        for name in re.findall(r"\b(?:recipes|benchmarks)/[\w./-]+\.\w+", page.read_text("utf-8"))
    }
    assert len(named) >= 5
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
