from __future__ import annotations

from typing import Any

import pytest
import torch

from gnnkg.core import Batch
from gnnkg.data.queries import Queries
from gnnkg.graph import KnowledgeGraph
from gnnkg.losses import BCE, CrossEntropy, Margin, SelfAdversarial
from gnnkg.samplers import InBatch
from tests.contracts.test_samplers import facts_both_ways


def batch_of(graph: KnowledgeGraph, size: int) -> Batch:
    return Queries(size).of(graph, seed=0)[0]


def test_the_tails_of_the_batch_are_the_candidates(graph: KnowledgeGraph) -> None:
    batch = batch_of(graph, 12)
    candidates, labels = InBatch()(batch)
    assert torch.equal(candidates.table, batch.tail[None])
    assert torch.equal(candidates.own, batch.tail)
    assert labels.mask is not None
    assert labels.mask[:, 0].all()
    assert torch.equal(labels.mask[:, 1:], batch.tail[:, None] != batch.tail)
    assert torch.equal(labels.value.sum(0), torch.tensor([12.0] + [0.0] * 12))


def test_filtered(graph: KnowledgeGraph) -> None:
    batch, known = batch_of(graph, 20), facts_both_ways(graph)
    labels = InBatch(filtered=True)(batch)[1]
    assert labels.mask is not None
    for b, (head, relation) in enumerate(zip(batch.head.tolist(), batch.relation.tolist(), strict=True)):
        expected = [(head, relation, tail) not in known for tail in batch.tail.tolist()]
        assert labels.mask[b, 1:].tolist() == expected


def test_some_of_them(graph: KnowledgeGraph) -> None:
    """Without replacement, each as often as any other."""
    batch = batch_of(graph, 12)
    counts = torch.zeros(graph.num_entities)
    for _ in range(300):
        table = InBatch(3)(batch)[0].table
        assert table is not None
        assert (torch.bincount(table[0], minlength=13) <= torch.bincount(batch.tail, minlength=13)).all()
        counts += torch.bincount(table[0], minlength=13)
    torch.testing.assert_close(counts / 75, torch.bincount(batch.tail, minlength=13).float(), atol=0.5, rtol=0.2)


def test_more_than_there_are(graph: KnowledgeGraph) -> None:
    batch = batch_of(graph, 12)
    table = InBatch(100)(batch)[0].table
    assert table is not None
    assert torch.equal(table[0].sort().values, batch.tail.sort().values)


@pytest.mark.parametrize(("loss", "zero"), [(CrossEntropy(), True), (Margin(), True), (BCE(), False)])
def test_a_query_alone_has_no_negative(loss: Any, zero: bool, graph: KnowledgeGraph) -> None:
    labels = InBatch()(batch_of(graph, 1))[1]
    assert labels.mask is not None
    assert labels.mask.tolist() == [[True, False]]
    scores = torch.tensor([[0.3, 5.0]], requires_grad=True)
    for each in (loss, SelfAdversarial()):
        each(scores, labels).sum().backward()
        assert scores.grad is not None
        assert scores.grad.isfinite().all()
        assert scores.grad[0, 1] == 0
    assert (loss(scores, labels).item() == 0) is zero


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="at least 1, or None"):
        InBatch(0)
