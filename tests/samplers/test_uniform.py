from __future__ import annotations

from typing import Any

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from gnnkg.core import Batch
from gnnkg.data.queries import Queries
from gnnkg.graph import KnowledgeGraph
from gnnkg.samplers import Uniform
from tests.random_data import random_graph


def batch_of(graph: KnowledgeGraph, size: int) -> Batch:
    return Queries(size, drop_last=True).of(graph, seed=0)[0]


def table(sampler: Uniform, batch: Batch) -> Tensor:
    candidates, _ = sampler(batch)
    assert candidates.table is not None
    return candidates.table


@pytest.mark.parametrize("share", ["batch", "chunk", "query"])
def test_draws_are_uniform_over_all_entities(share: Any, graph: KnowledgeGraph) -> None:
    batch = batch_of(graph, 12)
    draws = torch.cat([table(Uniform(500, share, chunk=4), batch).flatten() for _ in range(20)])
    assert chisquare(torch.bincount(draws, minlength=graph.num_entities).numpy()).pvalue > 1e-3


def test_draws_are_independent(graph: KnowledgeGraph) -> None:
    """Neighbouring columns and tables: pairs of entities are uniform too."""
    draws = table(Uniform(400, "query"), batch_of(graph, 60))
    n = graph.num_entities
    for one, other in ((draws[:, :-1], draws[:, 1:]), (draws[:-1], draws[1:])):
        pairs = torch.bincount((one * n + other).flatten(), minlength=n * n)
        assert chisquare(pairs.numpy()).pvalue > 1e-3


@pytest.mark.parametrize(("share", "tables"), [("batch", 1), ("chunk", 3), ("query", 12)])
def test_sharing(share: Any, tables: int, graph: KnowledgeGraph) -> None:
    batch = batch_of(graph, 12)
    candidates, labels = Uniform(5, share, chunk=4)(batch)
    assert candidates.table is not None
    assert candidates.table.shape == (tables, 5)
    assert torch.equal(candidates.own, batch.tail)
    assert labels.value.shape == (12, 6)
    assert torch.equal(labels.truth, torch.zeros(12, dtype=torch.int64))
    assert torch.equal(labels.value.sum(0), torch.tensor([12.0, 0, 0, 0, 0, 0]))


def test_unfiltered_labels_have_no_mask(graph: KnowledgeGraph) -> None:
    assert Uniform(5)(batch_of(graph, 12))[1].mask is None


def test_the_own_tail_drawn_again_is_filtered_too() -> None:
    graph = random_graph(num_entities=3, num_relations=1, num_facts=5)
    batch = batch_of(graph, 4)
    candidates, labels = Uniform(30, filtered=True)(batch)
    assert candidates.table is not None
    assert labels.mask is not None
    assert not labels.mask[:, 1:][candidates.table == batch.tail.unsqueeze(1)].any()


def test_a_chunk_that_does_not_divide_the_batch(graph: KnowledgeGraph) -> None:
    with pytest.raises(ValueError, match=r"chunk=5.*12 queries.*drop_last"):
        Uniform(5, "chunk", chunk=5)(batch_of(graph, 12))


@pytest.mark.parametrize("arguments", [{"num_negatives": 0}, {"chunk": 0}])
def test_wrong_arguments(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Uniform(**arguments)
