"""A class path in a YAML file is only a string: every experiment of the project is built here."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gnnkg.data.load import dataset_names
from gnnkg.experiment import build, read
from tests.random_data import random_dataset

ROOT = Path(__file__).parent.parent
FILES = [
    file
    for file in sorted(ROOT.glob("recipes/**/*.yaml"))
    if {"dataset", "base"} & yaml.safe_load(file.read_text()).keys()
]
BUNDLED = sorted(ROOT.glob("gnnkg/quickstart/*.yaml"))


def test_the_experiments_are_found():
    assert len(FILES) >= 1
    assert [file.name for file in BUNDLED] == ["emu.yaml", "plain.yaml"]


@pytest.mark.parametrize("file", [*FILES, *BUNDLED], ids=lambda file: str(file.relative_to(ROOT)))
def test_every_experiment_builds_and_its_terms_run(file):
    experiment = read(file)
    assert experiment.dataset in dataset_names()
    assert (experiment.steps is None) != (experiment.epochs is None)
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
