"""A class path in a YAML file is only a string: every experiment of the project is built here."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import yaml

from gnnkg.data.load import dataset_names
from gnnkg.experiment import Experiment, build, read
from gnnkg.lab.grid import read_grid
from tests.evaluation.toys import a_result
from tests.random_data import random_dataset

ROOT = Path(__file__).parent.parent
YAML = {file: yaml.safe_load(file.read_text()).keys() for file in sorted(ROOT.glob("recipes/**/*.yaml"))}
GRIDS = [file for file, keys in YAML.items() if "methods" in keys]
ALIGNMENT = ROOT / "recipes" / "alignment"
"""trainings of aligners: ``tests/alignment/test_recipes.py``"""
FILES = [
    file for file, keys in YAML.items() if {"dataset", "base"} & keys and file not in GRIDS and file.parent != ALIGNMENT
]
BUNDLED = sorted(ROOT.glob("gnnkg/quickstart/*.yaml"))


def test_the_experiments_are_found():
    assert len(FILES) >= 1
    assert [file.name for file in BUNDLED] == ["emu.yaml", "plain.yaml", "snag.yaml", "structure.yaml"]


@pytest.mark.parametrize("file", [*FILES, *BUNDLED], ids=lambda file: str(file.relative_to(ROOT)))
def test_every_experiment_builds_and_its_terms_run(file):
    experiment = read(file)
    assert experiment.dataset in dataset_names()
    assert (experiment.steps is None) != (experiment.epochs is None)
    step(experiment)


def step(experiment: Experiment) -> None:
    """One training step on random data."""
    dataset = random_dataset()
    model, objective = build(experiment, dataset)
    batch = next(iter(experiment.queries.of(dataset.graph, experiment.seed)))
    losses = objective(model, batch)
    assert losses.keys() == experiment.terms.keys()
    sum(losses.values()).backward()
    optimizer = experiment.optimizer(model.parameters())
    optimizer.step()
    if experiment.schedule is not None:
        experiment.schedule(optimizer)


@pytest.mark.parametrize("file", GRIDS, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_grid_builds_and_its_terms_run(file):
    """``read_grid`` builds every cell; each method takes a step with the first model, and each model with the first method."""
    combinations = read_grid(file).combinations
    assert {combination.config["dataset"] for combination in combinations} <= set(dataset_names())
    first = combinations[0]
    for combination in combinations:
        if combination.dataset == first.dataset and (
            combination.model == first.model or combination.method == first.method
        ):
            step(combination.experiment(100, 10, 0))


@pytest.fixture
def reproducing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(ROOT / "recipes")
    return importlib.import_module("reproducing")


def test_a_result_stays_that_of_its_experiment_when_experiments_learn_to_say_more(reproducing):
    experiment = read(BUNDLED[1], {"seed": 3})
    before = {name: value for name, value in experiment.config.items() if name not in ("average", "dataset_options")}
    assert reproducing.is_of(experiment, a_result(config=before, seed=3))
    for other in ({"seed": 3, "steps": 7}, {"seed": 3, "scorer.dim": 7}, {"seed": 4}):
        assert not reproducing.is_of(read(BUNDLED[1], other), a_result(config=before, seed=3))
    assert not reproducing.is_of(experiment, a_result(config=before | {"word": "of old"}, seed=3))


def test_a_result_does_not_overwrite_that_of_another_experiment(
    reproducing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (folder := tmp_path / "small").mkdir()
    (folder / "published.yaml").write_text("{}")
    for name, dim in (("cldr_narrow", 4), ("cldr_wide", 8)):
        (folder / f"{name}.yaml").write_text(f"base: {BUNDLED[1]}\nscorer.dim: {dim}\n")
    monkeypatch.setattr(reproducing, "RECIPES", tmp_path)
    monkeypatch.setattr(reproducing, "finish", lambda experiment, path: None)
    for name, seed in (("cldr_narrow", 3), ("cldr_wide", 3), ("cldr_wide", 3), ("cldr_wide", 4), ("cldr_narrow", 5)):
        config = read(folder / f"{name}.yaml", {"seed": seed}).config
        found = a_result(dataset="cldr", seed=seed, config=config, paper=None)
        monkeypatch.setattr(reproducing, "judged", lambda *_, found=found, **__: found)
        reproducing.reproduce(folder, name, seed, tmp_path / "run", again=False)
    written = sorted(path.name for path in (folder / "results").iterdir())
    assert written == [
        "cldr-distmult-plain-seed3.json",
        "cldr-distmult-plain-seed5.json",
        "cldr-distmult-plain-wide-seed3.json",
        "cldr-distmult-plain-wide-seed4.json",
    ], "of another seed, too, they would be means of one row"
