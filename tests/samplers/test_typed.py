from __future__ import annotations

from typing import Any

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from gnnkg.core import Batch, Objective, Sampler
from gnnkg.data.queries import Queries
from gnnkg.graph import KnowledgeGraph
from gnnkg.losses import CrossEntropy
from gnnkg.parts import expand
from gnnkg.samplers import AllEntities, InBatch, NSCaching, StructureAware, Typed, Uniform, WithPositives
from gnnkg.terms import Ranking
from tests.contracts.test_samplers import columns, facts_both_ways, scored
from tests.random_data import random_graph

NUM_ENTITIES = 40


@pytest.fixture
def graph() -> KnowledgeGraph:
    """Relation 0 leads from 0 ... 9 to 10 ... 19, relation 1 from anywhere to 20 ... 29."""
    draw = torch.Generator().manual_seed(0)

    def entities(low: int, high: int, num: int) -> Tensor:
        return torch.randint(low, high, (num,), generator=draw)

    one = torch.stack([entities(0, 10, 50), torch.zeros(50, dtype=torch.int64), entities(10, 20, 50)], 1)
    two = torch.stack([entities(0, 40, 50), torch.ones(50, dtype=torch.int64), entities(20, 30, 50)], 1)
    return KnowledgeGraph(torch.unique(torch.cat([one, two]), dim=0), NUM_ENTITIES, 2)


def range_of(graph: KnowledgeGraph, relation: int) -> set[int]:
    return {tail for _, r, tail in facts_both_ways(graph) if r == relation}


def asked(graph: KnowledgeGraph, head: int, relation: int, tail: int, num_queries: int = 1) -> Batch:
    zero = torch.zeros(num_queries, dtype=torch.int64)
    return Batch(graph, zero + head, zero + relation, zero + tail, torch.ones(num_queries))


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("sampler", [AllEntities, InBatch, lambda filtered: Uniform(60, filtered=filtered)])
def test_masked(sampler: Any, filtered: bool, graph: KnowledgeGraph) -> None:
    batch = scored(Queries(30).of(graph, seed=0)[0])
    known = facts_both_ways(graph)
    inner = sampler(filtered=filtered)
    torch.manual_seed(1)
    plain = inner(batch)
    torch.manual_seed(1)
    candidates, labels = Typed(inner)(batch)
    assert torch.equal(columns(batch, candidates), columns(batch, plain[0]))
    ids = columns(batch, candidates)
    before = torch.ones_like(ids, dtype=torch.bool) if plain[1].mask is None else plain[1].mask
    for b in range(30):
        query = int(batch.head[b]), int(batch.relation[b])
        inside = range_of(graph, query[1])
        expected = [bool(before[b, c]) and entity in inside for c, entity in enumerate(ids[b].tolist())]
        expected[int(labels.truth[b])] = True
        kept = sum(expected) > 1 and any((*query, entity) not in known for entity in inside)
        assert labels.mask[b].tolist() == (expected if kept else before[b].tolist())


@pytest.mark.parametrize("filtered", [False, True])
def test_redrawn(filtered: bool, graph: KnowledgeGraph) -> None:
    """What lay outside is drawn uniformly from the unknown part of the range; what lay inside stays."""
    known, num = facts_both_ways(graph), 4000
    head, relation, tail = graph.edges.head, graph.edges.relation, graph.edges.tail
    for i in (0, 30, len(head) // 2 + 3, len(head) - 1):
        query = int(head[i]), int(relation[i])
        batch = asked(graph, *query, int(tail[i]), num_queries=2)
        torch.manual_seed(1)
        plain = Uniform(num, "query", filtered=filtered)(batch)[0].table
        torch.manual_seed(1)
        candidates, labels = Typed(Uniform(num, "query", filtered=filtered), outside="redrawn")(batch)
        inside = range_of(graph, query[1])
        unknown = sorted(entity for entity in inside if (*query, entity) not in known)
        assert unknown
        assert labels.mask is None or labels.mask.all()
        allowed = torch.zeros(NUM_ENTITIES, dtype=torch.bool)
        allowed[unknown if filtered else list(inside)] = True
        stays = allowed[plain]
        assert torch.equal(candidates.table[stays], plain[stays])
        drawn = torch.bincount(candidates.table[~stays], minlength=NUM_ENTITIES)
        assert drawn.sum() == drawn[unknown].sum()
        assert len(unknown) == 1 or chisquare(drawn[unknown].numpy()).pvalue > 1e-3
        assert labels.value.sum() == 2


def test_redrawn_on_random_graphs() -> None:
    """Of every query at once: negatives are unknown, and of the range where that has unknown entities."""
    for seed in range(5):
        graph = random_graph(12, 2, 90, seed=seed)
        known = facts_both_ways(graph)
        batch = Queries(180).of(graph, seed=0)[0]
        candidates, labels = Typed(Uniform(20, "query", filtered=True), outside="redrawn")(batch)
        for b, row in enumerate(candidates.table.tolist()):
            query = int(batch.head[b]), int(batch.relation[b])
            unknown = {entity for entity in range_of(graph, query[1]) if (*query, entity) not in known}
            active = {entity for c, entity in enumerate(row) if labels.mask[b, 1 + c]}
            assert all((*query, entity) not in known for entity in active)
            if unknown:
                assert active <= unknown
                assert labels.mask[b].all()


@pytest.mark.parametrize("outside", ["masked", "redrawn"])
@pytest.mark.parametrize("filtered", [False, True])
def test_where_all_of_the_range_is_known_the_query_keeps_what_it_had(outside: Any, filtered: bool) -> None:
    graph = KnowledgeGraph(torch.tensor([[0, 0, 1], [0, 0, 2], [3, 1, 4]]), 10, 2)
    batch, inner = asked(graph, 0, 0, 1), Uniform(50, "query", filtered=filtered)
    torch.manual_seed(1)
    plain = inner(batch)
    torch.manual_seed(1)
    candidates, labels = Typed(inner, outside)(batch)
    assert torch.equal(candidates.table, plain[0].table)
    before = torch.ones(1, 51, dtype=torch.bool) if plain[1].mask is None else plain[1].mask
    assert (torch.ones(1, 51, dtype=torch.bool) if labels.mask is None else labels.mask).equal(before)
    assert before[:, 1:].any()


def test_a_table_that_has_met_nothing_of_the_range() -> None:
    """Masked, the query keeps it; redrawn, it gets what is there."""
    graph = KnowledgeGraph(torch.tensor([[0, 0, 1], [2, 0, 999]]), 1000, 1)
    batch = asked(graph, 0, 0, 1)
    kept, redrawn = (Typed(Uniform(5, "query"), outside)(batch) for outside in ("masked", "redrawn"))
    assert kept[1].mask.all()
    assert (redrawn[0].table == 999).all()


@pytest.mark.parametrize("inner", [Uniform(5), InBatch(), AllEntities()])
def test_a_shared_table_cannot_be_redrawn(inner: Sampler, graph: KnowledgeGraph) -> None:
    with pytest.raises(ValueError, match=r"shares its table.*outside='masked'"):
        Typed(inner, outside="redrawn")(Queries(6).of(graph, seed=0)[0])


def test_known_tails_that_are_added_are_not_redrawn(graph: KnowledgeGraph) -> None:
    adds = WithPositives(Uniform(5, share="query"), 3)
    with pytest.raises(ValueError, match=r"WithPositives\(Typed\(\.\.\.\)\)"):
        Typed(adds, outside="redrawn")
    batch = Queries(40).of(graph, seed=0)[0]
    torch.manual_seed(1)
    before = adds(batch)
    torch.manual_seed(1)
    masked = Typed(adds)(batch)
    assert torch.equal(masked[0].table, before[0].table)
    assert torch.equal(masked[1].value, before[1].value)
    assert not masked[1].mask[:, -3:].any()


def test_it_wraps_what_has_tables_of_its_own(graph: KnowledgeGraph) -> None:
    batch = scored(Queries(40).of(graph, seed=0)[0])
    for inner in (StructureAware(9, walks=9, on_disk=False), NSCaching(9, cache_size=5, filtered=True)):
        candidates, _ = Typed(inner, outside="redrawn")(batch)
        for relation, row in zip(batch.relation.tolist(), candidates.table.tolist(), strict=True):
            assert set(row) <= range_of(graph, relation)


def test_another_graph_has_other_ranges(graph: KnowledgeGraph) -> None:
    sampler = Typed(Uniform(200, "query"), outside="redrawn")
    turned = KnowledgeGraph(graph.facts.flip(1) * torch.tensor([1, 0, 1]), NUM_ENTITIES, 2)
    for each in (graph, turned, graph):
        fact = each.facts[0].tolist()
        assert set(sampler(asked(each, *fact))[0].table[0].tolist()) <= range_of(each, fact[1])


def test_states_and_epochs_reach_the_wrapped_sampler(graph: KnowledgeGraph) -> None:
    inner = NSCaching(5, cache_size=3, lazy=2)
    objective = Objective(Typed(inner), {"plain": Ranking(CrossEntropy())})
    inner(scored(Queries(5).of(graph, seed=0)[0]))
    assert torch.equal(objective.state_dict()["sampler.sampler._extra_state"]["cache"], inner.cache)
    objective.before_epoch(1)
    assert not inner.refreshes
    Typed(Uniform(5)).before_epoch(1)


def test_yaml_names_the_wrapped_sampler() -> None:
    inner = {"class_path": "NSCaching", "init_args": {"lazy": 2}}
    found = expand({"class_path": "Typed", "init_args": {"sampler": inner, "outside": "redrawn"}}, Sampler, "sampler")
    assert found["class_path"] == "gnnkg.samplers.Typed"
    assert found["init_args"]["sampler"] == {"class_path": "gnnkg.samplers.NSCaching", "init_args": {"lazy": 2}}
