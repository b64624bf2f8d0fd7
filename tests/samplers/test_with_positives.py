"""Known tails beside the candidates, as DeMix reads them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gnnkg.core import Batch
from gnnkg.data.queries import Queries
from gnnkg.graph import KnowledgeGraph
from gnnkg.samplers import AllEntities, Uniform, WithPositives


def star(num_tails: int) -> Batch:
    """Entity 0 has every other entity as tail; the query asks for one of them."""
    tails = torch.arange(1, num_tails + 1)
    graph = KnowledgeGraph(torch.stack([0 * tails, 0 * tails, tails], 1), num_tails + 1, 1)
    zero = torch.tensor([0])
    return Batch(graph, zero, zero, torch.tensor([2]), torch.ones(1))


def test_the_samplers_draw_stays_as_it_is(graph: KnowledgeGraph) -> None:
    batch = next(iter(Queries(6).of(graph, seed=0)))
    for share in ("batch", "query"):
        sampler = Uniform(5, share=share, filtered=True)  # type: ignore[arg-type]  # a literal
        torch.manual_seed(1)
        plain, labels = sampler(batch)
        torch.manual_seed(1)
        more, more_labels = WithPositives(sampler, 4)(batch)
        assert plain.table is not None
        assert more.table is not None
        assert more.table.shape == (6, 9)
        assert torch.equal(more.table[:, :5], plain.table.expand(6, -1))
        assert torch.equal(more_labels.value[:, :6], labels.value)
        assert more_labels.mask is not None
        assert labels.mask is not None
        assert torch.equal(more_labels.mask[:, :6], labels.mask)
        assert not more_labels.mask[:, 6:].any()


def test_all_other_known_tails_where_they_are_few(graph: KnowledgeGraph) -> None:
    met = 0
    for batch in Queries(6).of(graph, seed=0):
        candidates, labels = WithPositives(Uniform(5), num_positives=20)(batch)
        assert candidates.table is not None
        for b in range(len(batch.head)):
            known = graph.known.of(batch.head[b : b + 1], batch.relation[b : b + 1]).tails.tolist()
            brought = candidates.table[b, 5:][labels.value[b, 6:] == 1].tolist()
            assert sorted([*brought, int(batch.tail[b])]) == known
            met += len(brought)
    assert met > 0


def test_of_many_known_tails_one_from_each_part() -> None:
    batch = star(41)  # 40 others: 8 parts of 5
    seen = set()
    for seed in range(40):
        torch.manual_seed(seed)
        candidates, labels = WithPositives(Uniform(5), num_positives=8)(batch)
        assert candidates.table is not None
        assert (labels.value[0, 6:] == 1).all()
        drawn = candidates.table[0, 5:]
        others = [e for e in range(1, 42) if e != 2]
        assert [others.index(e) // 5 for e in drawn.tolist()] == list(range(8))
        seen |= set(drawn.tolist())
    assert len(seen) == 40


def test_a_query_with_one_known_tail() -> None:
    batch = star(2)
    lonely = replace(batch, graph=KnowledgeGraph(torch.tensor([[0, 0, 2]]), 3, 1))
    candidates, labels = WithPositives(Uniform(5), num_positives=3)(lonely)
    assert candidates.table is not None
    assert (labels.value[0, 6:] == 0).all()
    assert (candidates.table[0, 5:] == 2).all()


def test_one_vs_all_is_refused(graph: KnowledgeGraph) -> None:
    with pytest.raises(ValueError, match="Uniform instead of AllEntities"):
        WithPositives(AllEntities())(next(iter(Queries(6).of(graph, seed=0))))
