"""What every sampler promises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gnnkg.core import Batch, Candidates, Labels, Sampler
from gnnkg.data.queries import Queries
from gnnkg.graph import KnowledgeGraph
from tests.contracts import discovered
from tests.random_data import random_graph

MakeSampler = Callable[..., Sampler]
BATCH_SIZE = 6

every_sampler = pytest.mark.parametrize("make", discovered.samplers)


def batches(graph: KnowledgeGraph) -> list[Batch]:
    return [scored(batch) for batch in Queries(BATCH_SIZE, subsampling=True, drop_last=True).of(graph, seed=0)]


def scored(batch: Batch) -> Batch:
    """A batch as an objective gives it: samplers may ask a model."""

    def score(candidates: Candidates) -> Tensor:
        return torch.cos(1.0 + columns(batch, candidates) * (1 + batch.head[:, None]) + batch.relation[:, None])

    return replace(batch, score=score)


def columns(batch: Batch, candidates: Candidates) -> Tensor:
    """The entity in each column of the score matrix (B, C)."""
    num_queries = len(batch.head)
    if candidates.table is None:
        ids = torch.arange(batch.graph.num_entities).expand(num_queries, -1)
    else:
        ids = candidates.table.repeat_interleave(num_queries // len(candidates.table), 0)
    return ids if candidates.own is None else torch.cat([candidates.own.unsqueeze(1), ids], 1)


def facts_both_ways(graph: KnowledgeGraph) -> set[tuple[int, int, int]]:
    return {fact for h, r, t in graph.facts.tolist() for fact in ((h, r, t), (t, r + graph.num_relations, h))}


def taking_part(batch: Batch, candidates: Candidates, labels: Labels) -> list[tuple[int, int, int, float]]:
    """(query, column, entity, label) of every active column besides the truth."""
    ids = columns(batch, candidates)
    mask = torch.ones_like(ids, dtype=torch.bool) if labels.mask is None else labels.mask.clone()
    mask.scatter_(1, labels.truth.unsqueeze(1), False)
    return [(b, c, int(ids[b, c]), float(labels.value[b, c])) for b, c in mask.nonzero().tolist()]


@every_sampler
def test_truth_is_the_own_tail(make: MakeSampler, graph: KnowledgeGraph) -> None:
    for batch in batches(graph):
        candidates, labels = make()(batch)
        ids = columns(batch, candidates)
        row = torch.arange(len(batch.tail))
        assert torch.equal(ids[row, labels.truth], batch.tail)
        assert torch.equal(labels.value[row, labels.truth], labels.value.amax(1))
        assert labels.value.shape == ids.shape
        if labels.mask is not None:
            assert labels.mask.shape == ids.shape
            assert labels.mask[row, labels.truth].all()
        assert torch.equal(labels.weight, batch.weight)


@every_sampler
def test_tables_divide_the_batch(make: MakeSampler, graph: KnowledgeGraph) -> None:
    for batch in batches(graph):
        candidates, _ = make()(batch)
        if candidates.table is not None:
            assert len(batch.head) % len(candidates.table) == 0
            assert candidates.table.min() >= 0
            assert candidates.table.max() < graph.num_entities


@every_sampler
def test_negatives_are_labelled_false(make: MakeSampler, graph: KnowledgeGraph) -> None:
    """What is not known is labelled as little as anything else; what is labelled true is known."""
    known = facts_both_ways(graph)
    for batch in batches(graph):
        candidates, labels = make()(batch)
        for b, _, entity, label in taking_part(batch, candidates, labels):
            if label > labels.value.min():
                assert (int(batch.head[b]), int(batch.relation[b]), entity) in known


@every_sampler
def test_filter(make: MakeSampler, graph: KnowledgeGraph) -> None:
    """Filtered, no known fact is an active negative and every other candidate still is; unfiltered, some are."""
    known, met, active, expected = facts_both_ways(graph), 0, 0, 0
    sampler = make()
    for batch in batches(graph):
        candidates, labels = sampler(batch)
        for b, _, entity, label in taking_part(batch, candidates, labels):
            met += label < 0.5 and (int(batch.head[b]), int(batch.relation[b]), entity) in known
            active += 1
        for b, row in enumerate(columns(batch, candidates).tolist()):
            query = int(batch.head[b]), int(batch.relation[b])
            expected += sum((*query, e) not in known for c, e in enumerate(row) if c != labels.truth[b])
    if getattr(sampler, "filtered", False):
        assert met == 0
        assert active == expected
    elif getattr(sampler, "true", "own") == "own":
        assert met > 0, "a sampler without a filter should meet known facts on so dense a graph"


@every_sampler
def test_same_seed_same_draw(make: MakeSampler, graph: KnowledgeGraph) -> None:
    batch = batches(graph)[0]

    def draw(seed: int) -> list[Tensor]:
        torch.manual_seed(seed)
        candidates, labels = make()(batch)
        return [columns(batch, candidates), labels.value, labels.truth]

    assert all(torch.equal(a, b) for a, b in zip(draw(1), draw(1), strict=True))
    if hasattr(make(), "num_negatives"):
        assert not torch.equal(draw(1)[0], draw(2)[0])


@every_sampler
def test_one_query(make: MakeSampler) -> None:
    """A batch of one query on a graph of one fact."""
    graph = KnowledgeGraph(torch.tensor([[0, 0, 1]]), 2, 1)
    batch = scored(next(iter(Queries(1).of(graph, seed=0))))
    candidates, labels = make(**({"chunk": 1} if "chunk" in make.arguments else {}))(batch)
    assert columns(batch, candidates)[0, labels.truth[0]] == batch.tail[0]


@every_sampler
def test_unknown_own_tail(make: MakeSampler) -> None:
    """The truth stays true where the graph does not hold the fact that is asked (facts hidden from the encoder)."""
    graph = random_graph()
    batch = batches(graph)[0]
    hidden = graph.without(batch.head, batch.relation, batch.tail)
    asked = replace(batch, graph=hidden)
    candidates, labels = make()(asked)
    row = torch.arange(len(batch.tail))
    assert torch.equal(columns(asked, candidates)[row, labels.truth], batch.tail)
    assert (labels.value[row, labels.truth] > 0.5).all()
