"""A small grid from end to end, killed and continued too."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pandas
import pytest
import torch

from gnnkg.cli import main
from gnnkg.config import ConfigError
from gnnkg.evaluation.results import read_result
from gnnkg.holding import InUse, held
from gnnkg.lab import laboratory
from gnnkg.lab.grid import read_grid
from gnnkg.lab.laboratory import Laboratory
from gnnkg.run import RunDirectory

FIGURES = [
    "mrr.png",
    "convergence.png",
    "isotropy.png",
    "gradient.png",
    "suspects.png",
    "negatives-random-distmult.png",
]


class Killed(BaseException):
    """As a kill is, nothing that anyone catches."""


def kill_at(monkeypatch: pytest.MonkeyPatch, call: int, target: str, function: Callable[..., object]) -> None:
    calls = iter(range(1, 1000))

    def deadly(*arguments: object, **named: object) -> object:
        if next(calls) == call:
            raise Killed
        return function(*arguments, **named)

    monkeypatch.setattr(target, deadly)


def work(grid: Path, out: Path) -> None:
    Laboratory(read_grid(grid), out).run()


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Room for what one test leaves for the next."""
    return {"out": tmp_path_factory.mktemp("undisturbed")}


def test_the_command_does_everything(write_grid, seen, capsys):
    grid, out = write_grid(inject=0.2), seen["out"]
    assert main(["lab", str(grid), "--out", str(out), "--quiet"]) == 0
    printed = capsys.readouterr().out
    assert "random-distmult-demix-seed3: 12 steps" in printed
    assert str(out / "table.md") in printed
    assert sorted(each.name for each in out.glob("*.png")) == sorted(FIGURES)

    table = pandas.read_csv(out / "table.csv")
    assert table["method"].tolist() == ["plain", "DeMix"]
    assert table["steps"].tolist() == [12, 12]
    assert table["seeds"].tolist() == [1, 1]
    assert table[["mrr_low", "mrr_high"]].isna().to_numpy().all(), "one seed has no interval"
    wanted = ["hardness", "spread", "false_negatives_held-out", "suspects/recall", "gradient/plain/positive"]
    assert (table[[*wanted, "seconds_per_step", "peak_bytes", "seconds"]] > 0).to_numpy().all()
    shares = table[[name for name in table.columns if name.startswith("gradient/")]].fillna(0).sum(axis=1)
    assert shares.tolist() == pytest.approx([1, 1])
    assert table["protocol"].str.startswith("filtered by train + valid + test + hidden,").all()
    assert table["hardware"].str.contains("cores").all()

    text = (out / "table.md").read_text()
    assert "| random | DistMult | DeMix | " in text
    assert "Protocol: filtered" in text
    assert "Budget of each training: 12 steps" in text
    assert "20% of the training facts were hidden" in text

    for method in ("plain", "demix"):
        result = read_result(out / "results" / f"random-distmult-{method}-seed3.json")
        assert (result.split, result.seed, result.config["steps"]) == ("test", 3, 12)
        run = RunDirectory.open(out / "runs" / f"random-distmult-{method}-seed3")
        assert run.metrics["step"].tolist() == [3, 6, 9, 12]
        assert run.metrics["suspects/recall"].between(0, 1).all()
        assert run.vocabulary["data_hash"] == result.data_hash


def test_finished_cells_are_left_alone_and_the_report_is_made_again(write_grid, seen, monkeypatch, capsys):
    def fails(*arguments: object) -> None:
        raise AssertionError("nothing is to be done")

    grid, out = write_grid(inject=0.2), seen["out"]
    before = (out / "table.csv").read_bytes()
    (out / "table.csv").unlink()
    for name in ("finish", "judged", "step_cost"):
        monkeypatch.setattr(f"gnnkg.lab.laboratory.{name}", fails)
    assert main(["lab", str(grid), "--out", str(out), "--report"]) == 0
    assert (out / "table.csv").read_bytes() == before
    assert main(["lab", str(grid), "--out", str(out), "--quiet"]) == 0
    assert "random-distmult-plain-seed3: done" in capsys.readouterr().out


def test_killed_and_continued_equals_never_stopped(write_grid, seen, tmp_path, monkeypatch):
    grid, out, broken = write_grid(inject=0.2), seen["out"], tmp_path / "broken"
    kills = [  # in the middle of the first training; before it is judged; while the second cell is measured
        (2, "gnnkg.experiment.RunDirectory.write_metrics", RunDirectory.write_metrics),
        (1, "gnnkg.lab.laboratory.judged", laboratory.judged),
        (1, "gnnkg.lab.laboratory.measure", laboratory.measure),
    ]
    for number, kill in enumerate(kills):
        with monkeypatch.context() as patched:
            kill_at(patched, *kill)
            with pytest.raises(Killed):
                work(grid, broken)
        assert len(list((broken / "results").iterdir())) == 0, number
    work(grid, broken)
    for name in ("random-distmult-plain-seed3", "random-distmult-demix-seed3"):
        ours, theirs = broken / "runs" / name, out / "runs" / name
        assert (ours / "weights.safetensors").read_bytes() == (theirs / "weights.safetensors").read_bytes()
        assert (ours / "results/measures.json").read_bytes() == (theirs / "results/measures.json").read_bytes()
        ours, theirs = (RunDirectory.open(path).metrics.drop(columns="seconds") for path in (ours, theirs))
        pandas.testing.assert_frame_equal(ours, theirs)
        results = [read_result(folder / "results" / f"{name}.json") for folder in (broken, out)]
        assert results[0].metrics == results[1].metrics


def test_what_another_process_is_at_work_on_is_left_to_it(write_grid, tmp_path, monkeypatch, capsys):
    def in_use(folder: Path, wait: bool = False) -> AbstractContextManager[None]:
        if folder.name == "random-distmult-plain-seed3":
            raise InUse
        return held(folder, wait)

    monkeypatch.setattr("gnnkg.lab.laboratory.held", in_use)
    assert main(["lab", str(write_grid()), "--out", str(tmp_path), "--quiet"]) == 0
    assert "random-distmult-plain-seed3: left to the process that is at work on it" in capsys.readouterr().out
    assert [each.name for each in (tmp_path / "results").iterdir()] == ["random-distmult-demix-seed3.json"]


def test_what_was_begun_with_other_fields_is_refused(write_grid, seen):
    out = seen["out"]
    other = write_grid(inject=0.2, methods={"plain": {"terms.plain.weight": 2.0}})
    with pytest.raises(ConfigError, match=r"plain.json was made for another grid than .* \(it differs in experiment\)"):
        work(other, out)
    with pytest.raises(
        ConfigError, match=r"plain-seed3 was begun with other fields .* \(validate_every\): name another"
    ):
        work(write_grid(inject=0.2, validations=3), out)
    with pytest.raises(ConfigError, match=r"it differs in budget"):
        work(write_grid(inject=0.2, budget={"steps": 13}), out)


def test_more_seeds_and_methods_join_what_is_there(write_grid, seen, tmp_path):
    out = seen["out"]
    before = (out / "results" / "random-distmult-plain-seed3.json").stat().st_mtime_ns
    emu = {"class_path": "Ranking", "init_args": {"loss": "CrossEntropy", "transform": "EMU"}}
    grid = write_grid(inject=0.2, seeds=[3, 4], methods={"plain": {}, "EMU": {"terms.mutated": emu}})
    options = ["--only", "*-plain", "--seeds", "4", "--quiet"]
    assert main(["lab", str(grid), "--out", str(out), *options]) == 0
    assert (out / "results" / "random-distmult-plain-seed3.json").stat().st_mtime_ns == before
    table = pandas.read_csv(out / "table.csv").set_index("method")
    assert table.index.tolist() == ["plain"]
    assert table.loc["plain", "mrr_low"] < table.loc["plain", "mrr"] < table.loc["plain", "mrr_high"]


def test_minutes_are_measured_once_and_stored(write_grid, tmp_path, monkeypatch):
    grid, out = write_grid(budget={"minutes": 0.001}, methods={"plain": {}}, validations=1), tmp_path / "out"
    with monkeypatch.context() as patched:
        kill_at(patched, 1, "gnnkg.lab.laboratory.finish", laboratory.finish)
        with pytest.raises(Killed):
            work(grid, out)
    plan = json.loads((out / "steps" / "random-distmult-plain.json").read_text())
    assert plan["steps"] == max(1, round(0.06 / plan["seconds_per_step"]))
    assert plan["peak_bytes"] > 8 * 15 * 4
    plan["steps"] = 5  # what is stored is what is trained
    (out / "steps" / "random-distmult-plain.json").write_text(json.dumps(plan))
    work(grid, out)
    run = RunDirectory.open(out / "runs" / "random-distmult-plain-seed3")
    assert run.config["steps"] == 5
    assert run.config["schedule"]["init_args"]["total_iters"] == 5
    assert run.metrics["step"].tolist() == [5]


def test_parts_that_do_not_go_together_show_before_the_first_cell_trains(write_grid, tmp_path):
    grid = write_grid(methods={"plain": {}, "wrong": {"sampler": "AllEntities", "terms.plain.transform": "DeMix"}})
    with pytest.raises(ConfigError, match=r"grid\.yaml: .*, DistMult, wrong: DeMix compares candidates"):
        work(grid, tmp_path / "out")
    assert list((tmp_path / "out" / "runs").iterdir()) == []


def test_a_table_needs_no_runs_and_says_what_it_needs(write_grid, tmp_path, capsys):
    grid, out = write_grid(methods={"plain": {}}), tmp_path / "out"
    work(grid, out)
    report = ["lab", str(grid), "--out", str(out), "--report"]
    assert main(report) == 0
    table = (out / "table.csv").read_text()
    shutil.rmtree(out / "runs")
    (out / "table.csv").unlink()
    assert main(report) == 0
    assert (out / "table.csv").read_text() == table
    work(grid, out)
    assert list((out / "runs").iterdir()) == []
    (out / "measures" / "random-distmult-plain-seed3.csv").unlink()
    capsys.readouterr()
    assert main(report) == 2
    assert "random-distmult-plain-seed3.csv is missing" in capsys.readouterr().err


def test_a_report_of_nothing_says_so(write_grid, tmp_path, capsys):
    assert main(["lab", str(write_grid()), "--out", str(tmp_path / "out"), "--report"]) == 2
    assert "has no finished cell" in capsys.readouterr().err


def test_the_order_of_random_numbers_is_not_disturbed_by_measures(write_grid, seen, tmp_path):
    """A run of the laboratory is the run that `gnnkg train` makes of the same config."""
    run = seen["out"] / "runs" / "random-distmult-plain-seed3"
    assert main(["train", str(run / "config.yaml"), "--run", str(tmp_path / "run"), "--quiet"]) == 0
    weights = [(path / "weights.safetensors").read_bytes() for path in (run, tmp_path / "run")]
    assert weights[0] == weights[1]
    assert torch.is_grad_enabled()
