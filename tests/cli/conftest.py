"""A small data set of one's own in a folder, and a run that was trained on it from the command line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gnnkg.cli import main

EXPERIMENT = """
dataset: {folder}
scorer: {{class_path: DistMult, init_args: {{dim: 8}}}}
sampler: {{class_path: Uniform, init_args: {{num_negatives: 16}}}}
terms:
  plain: {{class_path: Ranking, init_args: {{loss: CrossEntropy}}}}
optimizer: {{class_path: Adagrad, init_args: {{lr: 0.1}}}}
queries: {{batch_size: 50}}
steps: 20
validate_every: 10
"""


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty people in a ring; everyone has a next, and an after next. Facts: 30 train, 5 valid, 5 test."""
    folder = tmp_path_factory.mktemp("data") / "family"
    folder.mkdir()
    facts = [
        f"Person {i}\t{relation}\tPerson {(i + step) % 20}\n"
        for i in range(20)
        for relation, step in (("next", 1), ("after", 2))
    ]
    for name, part in (("train", facts[:30]), ("valid", facts[30:35]), ("test", facts[35:])):
        (folder / f"{name}.txt").write_text("".join(part))
    return folder


@pytest.fixture(scope="session")
def experiment(family: Path) -> Path:
    file = family.parent / "experiment.yaml"
    file.write_text(EXPERIMENT.format(folder=family))
    return file


@pytest.fixture(scope="session")
def trained(experiment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained and evaluated; not to be changed."""
    path = tmp_path_factory.mktemp("runs") / "trained"
    assert main(["train", str(experiment), "--run", str(path), "--quiet"]) == 0
    assert main(["evaluate", str(path)]) == 0
    return path


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained run, to be damaged."""
    return Path(shutil.copytree(trained, tmp_path / "run"))
