from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas
import pytest

from gnnkg.cli import main
from gnnkg.config import ConfigError
from gnnkg.lab import tuning
from gnnkg.lab.grid import read_grid
from gnnkg.lab.laboratory import Laboratory
from gnnkg.lab.tuning import tuned_fields
from gnnkg.progress import TrainingFailed
from gnnkg.run import RunDirectory
from tests.random_data import random_dataset

pytest.importorskip("optuna")

TUNE = {
    "trials": 3,
    "budget": {"steps": 4},
    "space": {"optimizer.lr": [0.001, 0.1, "log"]},
    "methods": {"DeMix": {"terms.plain.transform.mu": {"choices": [1.0, 3.0]}, "scorer.dim": [4, 9]}},
}


class Killed(BaseException):
    pass


def trials(out: Path, name: str) -> pandas.DataFrame:
    return pandas.read_csv(out / "tuning" / f"random-distmult-{name}.csv")


def test_every_method_gets_its_trials_and_cells_the_best_fields(write_grid, tmp_path):
    grid, out = read_grid(write_grid(tune=TUNE)), tmp_path / "out"
    Laboratory(grid, out).run()
    for name, fields in (("plain", 1), ("demix", 3)):
        found = trials(out, name)
        assert found["state"].tolist() == ["COMPLETE"] * 3
        assert found["user_attrs_steps"].tolist() == [4] * 3
        assert sum(column.startswith("params_") for column in found.columns) == fields
        assert found["params_optimizer.lr"].between(0.001, 0.1).all()
        best = found.loc[found["value"].idxmax()]
        config = RunDirectory.open(out / "runs" / f"random-distmult-{name}-seed3").config
        assert config["optimizer"]["init_args"]["lr"] == pytest.approx(best["params_optimizer.lr"])
        assert config["steps"] == 12
    assert (
        config["terms"]["plain"]["init_args"]["transform"]["init_args"]["mu"] == best["params_terms.plain.transform.mu"]
    )
    assert isinstance(config["scorer"]["init_args"]["dim"], int)


def test_settings_that_come_first(write_grid, tmp_path, monkeypatch):
    first = [{"optimizer.lr": 0.02, "terms.plain.transform.mu": 3.0}, {"optimizer.lr": 0.05}]
    grid, dataset = read_grid(write_grid(tune={**TUNE, "try": first})), random_dataset(15, 3, 120)
    assert grid.tuning is not None
    monkeypatch.setattr(tuning, "_try", lambda *arguments: 0.1)
    for combination in grid.combinations:
        tuned_fields(combination, grid.tuning, dataset, tmp_path)
    assert trials(tmp_path, "plain")["params_optimizer.lr"].tolist()[:1] == [0.05]  # it has no DeMix
    found = trials(tmp_path, "demix")
    assert found["params_optimizer.lr"].tolist()[:2] == [0.02, 0.05]
    assert found["params_terms.plain.transform.mu"][0] == 3.0
    for wrong in ([{"optimizer.lr": 5.0}], [{"optimizer.speed": 0.1}]):
        with pytest.raises(ConfigError, match=r"tune.try\[0\]: no method tunes optimizer"):
            read_grid(write_grid(tune={**TUNE, "try": wrong}))
    with pytest.raises(ConfigError, match="a list of settings"):
        read_grid(write_grid(tune={**TUNE, "try": {"optimizer.lr": 0.1}}))


def test_two_processes_plan_and_train_one_folder(write_grid, tmp_path):
    """Each is planned once: they make the data base at once, and neither takes the other's trial for one that was cut off."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "gnnkg", "lab", str(write_grid(tune=TUNE)), "--out", str(out), "--quiet"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    for name in ("plain", "demix"):
        assert trials(out, name)["state"].tolist() == ["COMPLETE"] * 3
    assert len(list((out / "results").glob("*.json"))) == 2


def test_a_search_that_is_cut_off_goes_on_as_if_it_had_not_been(write_grid, tmp_path, monkeypatch):
    grid, dataset = read_grid(write_grid(tune=TUNE)), random_dataset(15, 3, 120)
    combination, calls = grid.combinations[1], iter(range(100))
    assert grid.tuning is not None

    def score(*arguments: object) -> float:
        if next(calls) == 1:
            raise Killed
        return 0.1

    whole, part = tmp_path / "whole", tmp_path / "part"
    for folder in (whole, part):
        folder.mkdir()
    monkeypatch.setattr(tuning, "_try", lambda *arguments: 0.1)
    best = tuned_fields(combination, grid.tuning, dataset, whole)
    monkeypatch.setattr(tuning, "_try", score)
    with pytest.raises(Killed):
        tuned_fields(combination, grid.tuning, dataset, part)
    assert tuned_fields(combination, grid.tuning, dataset, part) == best
    other = read_grid(write_grid(tune=TUNE | {"space": {"optimizer.lr": [1e-5, 1e-4, "log"]}}))
    assert other.tuning is not None
    with pytest.raises(ConfigError, match=r"tuning.db holds trials of .* for another grid .* \(it differs in tune\)"):
        tuned_fields(other.combinations[1], other.tuning, dataset, part)
    again = trials(part, "demix")
    assert again["state"].tolist() == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    params = [column for column in again.columns if column.startswith("params_")]
    assert len(params) == 3
    for column in params:
        done = again[column][again["state"] == "COMPLETE"]
        assert done.tolist() == trials(whole, "demix")[column].tolist()
    assert next(calls) == 4, "one that was finished is not made again"


def test_a_trial_that_diverges_counts(write_grid, tmp_path, monkeypatch):
    def diverges(*arguments: object, **named: object) -> None:
        raise TrainingFailed("the loss is NaN")

    grid = read_grid(write_grid(tune=TUNE))
    assert grid.tuning is not None
    monkeypatch.setattr(tuning, "try_out", diverges)
    tuned_fields(grid.combinations[0], grid.tuning, random_dataset(15, 3, 120), tmp_path)
    found = trials(tmp_path, "plain")
    assert found["value"].tolist() == [0.0] * 3
    assert found["user_attrs_failure"].tolist() == ["the loss is NaN"] * 3


def test_a_trial_in_minutes_measures_its_own_steps(write_grid, tmp_path):
    grid = read_grid(write_grid(tune=TUNE | {"trials": 1, "budget": {"minutes": 0.0005}}))
    assert grid.tuning is not None
    tuned_fields(grid.combinations[0], grid.tuning, random_dataset(15, 3, 120), tmp_path)
    assert trials(tmp_path, "plain")["user_attrs_steps"].tolist()[0] >= 1


def test_a_missing_optuna_is_told_with_the_command(write_grid, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(["lab", str(write_grid(tune=TUNE)), "--out", str(tmp_path / "out"), "--quiet"]) == 2
    assert "gnnkg lab: tuning needs Optuna: pip install 'gnnkg[lab]'" in capsys.readouterr().err
