from __future__ import annotations

import pytest
import torch

from gnnkg.evaluation import memory
from gnnkg.evaluation.memory import free_memory, parse_size, queries_at_once
from tests.evaluation.toys import Ids, PerQuery
from tests.random_data import random_graph

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2GB", 2 * 10**9),
        ("500 MiB", 500 * 2**20),
        ("1.5k", 1500),
        ("1e9", 10**9),
        ("4096", 4096),
        (77, 77),
        ("1 b", 1),
    ],
)
def test_sizes_are_read(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "2 XB", "-1GB", "0", "1.2.3MB", "2GBs"])
def test_other_sizes_are_refused(text):
    with pytest.raises(ValueError, match="reads like 2GB"):
        parse_size(text)


def test_blocks_fit_into_the_budget():
    graph = random_graph(num_entities=1000, num_facts=5)
    shared, own = Ids()(graph), PerQuery()(graph)
    assert queries_at_once(shared, 1000, CPU, memory=10**6) == 32  # 16,000 bytes a query
    assert queries_at_once(own, 1000, CPU, memory=10**6) == 16  # 24,000 more for its table
    assert queries_at_once(shared, 1000, CPU, memory=10**12) == queries_at_once(shared, 1000, CPU) == 1024
    assert queries_at_once(shared, 1000, CPU, memory=1) == 8


def test_a_budget_of_nothing_is_refused():
    with pytest.raises(ValueError, match="number of bytes"):
        queries_at_once(Ids()(random_graph()), 13, CPU, memory=0)


def test_a_container_s_limit_counts(tmp_path):
    assert memory._free_in_container(tmp_path) is None
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 150\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._free_in_container(tmp_path) is None
    (tmp_path / "memory.max").write_text("1000\n")
    assert memory._free_in_container(tmp_path) == 450


def test_something_is_free():
    assert free_memory(CPU) > 0
