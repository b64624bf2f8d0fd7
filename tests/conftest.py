"""What every test runs under, and small random data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# Before torch and numba are imported: the tensors of tests are small, and more threads than these wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("NUMBA_NUM_THREADS", "2")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin starve other processes of the machine

import pytest
import torch
from hypothesis import settings

from gnnkg.data.dataset import Dataset
from gnnkg.graph import KnowledgeGraph
from tests.random_data import random_dataset, random_graph

# The same examples in every run. No deadline: the first call of a kernel compiles it.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

NO_DATASETS = (
    "needs the real benchmark data: clone the project's folder of data sets and name it, export GNNKG_DATASETS=FOLDER "
    "(see datasets/README.md)"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folder = os.environ.get("GNNKG_DATASETS")
    reasons = {}
    if not folder:
        reasons["datasets"] = f"GNNKG_DATASETS is not set; {NO_DATASETS}"
    elif not Path(folder).is_dir():
        reasons["datasets"] = f"GNNKG_DATASETS names {folder}, which is not a folder; {NO_DATASETS}"
    if not torch.cuda.is_available():
        reasons["gpu"] = "needs a CUDA device"
    for item in items:
        for marker, reason in reasons.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def repeatable() -> Iterator[None]:
    """A fixed seed, and NaN (or a huge integer) in memory that nobody has written: reading it does not pass unnoticed."""
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)  # torch.utils.deterministic.fill_uninitialized_memory is True by default
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def graph() -> KnowledgeGraph:
    return random_graph()


@pytest.fixture
def dataset() -> Dataset:
    return random_dataset()
