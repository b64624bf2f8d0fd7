"""A training that a file names is only text: each is built here, takes a step, and reports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from gnnkg.alignment.training import read_training, train_aligner
from gnnkg.data.alignment import AlignmentData
from gnnkg.data.dataset import Dataset
from tests.random_data import random_dataset

RECIPES = Path(__file__).parents[2] / "recipes" / "alignment"
FILES = sorted(path for path in RECIPES.glob("*.yaml") if path.name != "ablation.yaml")
ABLATION: dict[str, dict[str, Any]] = yaml.safe_load((RECIPES / "ablation.yaml").read_text())
SMALL = {"epochs": 1, "batch_size": 4, "dim": 6}


@pytest.fixture(scope="module")
def data() -> AlignmentData:
    links = torch.arange(9).repeat(2, 1).T
    return AlignmentData("random", side(0), side(1), links[:5], links[5:7], links[7:])


def side(seed: int) -> Dataset:
    names = tuple(f"name {i} of {seed}" for i in range(13))
    return replace(random_dataset(seed=seed), texts={"english_name": names, "attributes": names})


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_training_takes_a_step(data, file):
    _, fitted = train_aligner(read_training(file, SMALL), data)
    assert fitted.history[-1].keys() >= {"loss/gmi", "loss/ecia", "loss/iir"}


@pytest.mark.parametrize("name", ABLATION)
def test_every_change_takes_a_step_and_changes_something(data, name):
    whole = read_training(RECIPES / "snag.yaml", SMALL)
    training = read_training(RECIPES / "snag.yaml", ABLATION[name] | SMALL)
    assert (training.config == whole.config) is (name == "full")
    train_aligner(training, data)
