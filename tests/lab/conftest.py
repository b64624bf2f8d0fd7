"""A small data set in a folder, and a grid on it that trains in a second or two a cell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from gnnkg.config import change
from tests.random_data import random_facts

GRID = """
experiment:
  scorer: {class_path: DistMult, init_args: {dim: 8}}
  sampler: {class_path: Uniform, init_args: {num_negatives: 6}}
  terms:
    plain: {class_path: Ranking, init_args: {loss: SelfAdversarial}}
  optimizer: {class_path: Adam, init_args: {lr: 0.05}}
  schedule: {class_path: LinearLR, init_args: {end_factor: 0.1, total_iters: 7}}
  queries: {batch_size: 40}
  epochs: 3
  patience: 1
  accelerator: cpu
budget: {steps: 12}
seeds: [3]
validations: 4
models: {DistMult: {}}
methods:
  plain: {}
  DeMix:
    sampler: {class_path: WithPositives, init_args: {sampler: {class_path: Uniform, init_args: {num_negatives: 6}}}}
    terms.plain.transform: {class_path: DeMix, init_args: {warm_up: 1}}
"""

WriteGrid = Callable[..., Path]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 random facts of 15 entities and 3 relations."""
    path = tmp_path_factory.mktemp("data") / "random"
    path.mkdir()
    lines = [f"e{head}\tr{relation}\te{tail}\n" for head, relation, tail in random_facts(120, 15, 3, seed=0).tolist()]
    for name, part in (("train", lines[:90]), ("valid", lines[90:105]), ("test", lines[105:])):
        (path / f"{name}.txt").write_text("".join(part))
    return path


@pytest.fixture
def write_grid(tmp_path: Path, folder: Path) -> WriteGrid:
    """Writes the grid with some fields changed, dotted ones inside; None takes a field out."""

    def write(name: str = "grid.yaml", **changes: Any) -> Path:
        content = {**yaml.safe_load(GRID), "datasets": {"random": {"dataset": str(folder)}}}
        content = change(content, {key.replace("__", "."): value for key, value in changes.items()})
        kept = {key: value for key, value in content.items() if value is not None}
        path = tmp_path / name
        path.write_text(yaml.safe_dump(kept, sort_keys=False))
        return path

    return write
