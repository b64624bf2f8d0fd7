"""A class path in a YAML file is only a string: every experiment of the project is built here."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gnnkg.data.load import dataset_names
from gnnkg.experiment import Experiment, build, read
from gnnkg.lab.grid import read_grid
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
    assert {combination.dataset for combination in combinations} <= set(dataset_names())
    first = combinations[0]
    for combination in combinations:
        if combination.dataset == first.dataset and (
            combination.model == first.model or combination.method == first.method
        ):
            step(combination.experiment(100, 10, 0))
