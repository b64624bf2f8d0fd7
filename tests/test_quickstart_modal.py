from __future__ import annotations

import io
import json
import re

import pytest
from rich.console import Console

from gnnkg import quickstart as module
from gnnkg.evaluation import Evaluation
from gnnkg.quickstart.modal import TITLES, quickstart_modal


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A part of the main job: its folder and its output."""
    folder = tmp_path_factory.mktemp("modal")
    small = "scorer: {class_path: DistMult, init_args: {dim: 32}}\nschedule: null\n"
    small += "steps: 30\nvalidate_every: 30\noptimizer: "
    adam, adagrad = "{class_path: Adam, init_args: {lr: 0.01}}\n", "{class_path: Adagrad, init_args: {lr: 0.3}}\n"
    smaller = {"snag": small + adam, "structure": small + adagrad, "plain": "steps: 20\nvalidate_every: 20\n"}
    for name in TITLES:
        (folder / f"{name}.yaml").write_text(f"base: {module.FOLDER / name}.yaml\n{smaller[name]}")
    console = Console(width=140, file=io.StringIO())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FOLDER", folder)
        quickstart_modal(folder / "runs", console, progress=False)
    return folder / "runs", console.file.getvalue()


def mrr(folder, name) -> float:
    kept = json.loads((folder / name / "results" / "test.json").read_text())
    return Evaluation.from_dict(kept["evaluation"]).metrics["mrr"]


@pytest.mark.parametrize("name", TITLES)
def test_each_model_learns_and_is_shown(finished, name):
    folder, out = finished
    assert mrr(folder, name) > 0.02  # random: 0.005
    assert re.search(f"{TITLES[name]}.*{mrr(folder, name):.3f}", out)
    assert "With names and numbers the MRR is" in out
    assert f"quickstart` trains it, has {mrr(folder, 'plain'):.3f}" in out


def test_trust_sums_to_one_and_numbers_are_there_for_kinds_that_have_some(finished):
    _, out = finished
    rows = dict(re.findall(r"│ (territory|language|currency|script|zone) +│ +[\d,]+ │ (.*) │\n", out))
    assert len(rows) == 5
    for cells in rows.values():
        assert sum(float(share) for share in re.findall(r"(\d\.\d\d) \(", cells)) == pytest.approx(1, abs=0.02)
    assert rows["zone"].endswith("0.00 (0%)")
    assert rows["currency"].endswith("(100%)")
    assert "0.00 (0%)" not in rows["territory"]


def test_what_goes_missing_costs_something_and_nothing_costs_nothing(finished):
    folder, out = finished
    lost = {name: float(value) for name, value in re.findall(r"│ ((?:nothing|name|numbers)[\w ]*?) +│ (0\.\d+) │", out)}
    assert list(lost) == ["nothing", "name", "numbers", "name and numbers"]
    assert lost["nothing"] == pytest.approx(mrr(folder, "snag"), abs=6e-4)
    assert lost["name and numbers"] < lost["nothing"]
    assert f"gnnkg missing {folder / 'snag'}" in out


def test_a_folder_with_any_of_the_runs_is_refused_before_any_training(tmp_path):
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "config.yaml").write_text("")
    console = Console(file=io.StringIO())
    with pytest.raises(FileExistsError, match="plain holds a run already"):
        quickstart_modal(tmp_path, console, progress=False)
    assert "Training" not in console.file.getvalue()
