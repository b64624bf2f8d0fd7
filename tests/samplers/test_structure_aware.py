from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import chisquare

from gnnkg.core import Batch
from gnnkg.data.queries import Queries
from gnnkg.graph import KnowledgeGraph
from gnnkg.ops import cpu
from gnnkg.samplers import StructureAware, structure_aware
from gnnkg.samplers.structure_aware import Visited, walked
from tests.random_data import random_graph

CHAIN = KnowledgeGraph(torch.tensor([[i, 0, i + 1] for i in range(7)]), 10, 1)
"""0 - 1 - ... - 7, and 8 and 9 alone"""


def visited(graph: KnowledgeGraph, hops: int, walks: int = 200, limit: int = 1000, seed: int = 0) -> Visited:
    return walked(*structure_aware._neighbours(graph), hops, walks, limit, seed)


def of(found: Visited, entity: int) -> list[int]:
    return sorted(found.entities[found.starts[entity] : found.starts[entity + 1]].tolist())


def asked(graph: KnowledgeGraph, head: int, num_queries: int = 1) -> Batch:
    head, zero = torch.full((num_queries,), head), torch.zeros(num_queries, dtype=torch.int64)
    return Batch(graph, head, zero, zero, torch.ones(num_queries))


def test_walks_go_both_ways_and_no_further_than_their_hops() -> None:
    one, two, three = (visited(CHAIN, hops) for hops in (1, 2, 3))
    assert of(one, 3) == [2, 4]
    assert of(two, 3) == [1, 2, 3, 4, 5]
    assert of(three, 3) == [0, 1, 2, 3, 4, 5, 6]
    assert of(one, 0) == [1]
    assert of(three, 8) == []
    assert one.entities.dtype == torch.int32


def test_few_walks_visit_few() -> None:
    found = visited(random_graph(50, 2, 400), hops=3, walks=2)
    assert (found.starts.diff() <= 6).all()
    for entity in range(50):
        assert len(of(found, entity)) == len(set(of(found, entity)))


def test_the_number_of_threads_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, before = random_graph(50, 2, 200), torch.get_num_threads()
    found = []
    monkeypatch.setattr(cpu, "WORK_PER_THREAD", 1)
    for threads in (1, 3):
        monkeypatch.setattr(cpu, "MOST_THREADS", threads)
        torch.set_num_threads(threads)
        found.append(visited(graph, hops=3, walks=5, limit=7))
    torch.set_num_threads(before)
    assert torch.equal(found[0].entities, found[1].entities)
    assert torch.equal(found[0].starts, found[1].starts)
    assert not torch.equal(found[0].entities, visited(graph, hops=3, walks=5, limit=7, seed=1).entities)


def test_steps_are_uniform_over_edges() -> None:
    """One walk of one step from the middle of a star; two facts make an edge twice as likely."""
    graph = KnowledgeGraph(torch.tensor([[0, 0, 1], [1, 1, 0], [2, 0, 0], [0, 0, 3]]), 4, 2)
    ends = torch.tensor([of(visited(graph, 1, walks=1, seed=seed), 0) for seed in range(2000)]).flatten()
    assert chisquare(torch.bincount(ends, minlength=4)[1:].numpy(), [1000, 500, 500]).pvalue > 1e-3


def test_what_is_kept_is_a_uniform_sample() -> None:
    star = KnowledgeGraph(torch.tensor([[0, 0, i] for i in range(1, 21)]), 21, 1)
    kept = [of(visited(star, 1, walks=300, limit=5, seed=seed), 0) for seed in range(300)]
    assert {len(each) for each in kept} == {5}
    counts = torch.bincount(torch.tensor(kept).flatten(), minlength=21)
    assert chisquare(counts[1:].numpy()).pvalue > 1e-3


def test_draws_are_uniform_over_the_visited() -> None:
    """However often each was visited: from 2, a walk is at 1 or 3 more often than at 4 or 5."""
    sampler = StructureAware(2000, hops=3, filtered=False, on_disk=False)
    table = sampler(asked(CHAIN, 2, 3))[0].table
    assert table is not None
    assert table.shape == (3, 2000)
    assert chisquare(torch.bincount(table.flatten(), minlength=10)[:6].numpy()).pvalue > 1e-3
    assert table.max() == 5


@pytest.mark.parametrize("filtered", [False, True])
def test_an_entity_without_edges_is_near_to_all(filtered: bool) -> None:
    table = StructureAware(4000, filtered=filtered, on_disk=False)(asked(CHAIN, 9))[0].table
    assert chisquare(torch.bincount(table[0], minlength=10).numpy()).pvalue > 1e-3


def test_known_tails_are_drawn_anew() -> None:
    """The star's middle is near to itself and to six others, of which five are known."""
    facts = torch.tensor([[0, 0, i] for i in range(1, 6)] + [[0, 1, 6]])
    batch = asked(KnowledgeGraph(facts, 30, 2), 0)
    plain, redrawn = (StructureAware(300, hops=2, filtered=f, on_disk=False)(batch) for f in (False, True))
    assert plain[0].table.max() <= 6
    assert redrawn[0].table.max() <= 6
    assert (plain[0].table % 6 == 0).float().mean() < 0.45
    active = redrawn[1].mask[:, 1:]
    assert active.float().mean() > 0.7
    assert (redrawn[0].table[active] % 6 == 0).all()
    assert (redrawn[0].table[~active] % 6 != 0).all()


def test_where_all_that_is_near_is_known_all_entities_are_drawn_from() -> None:
    graph = KnowledgeGraph(torch.tensor([[0, 0, 1], [0, 0, 2]]), 30, 1)
    candidates, labels = StructureAware(500, hops=1, on_disk=False)(asked(graph, 0, 2))
    assert set(candidates.table.unique().tolist()) == set(range(30))
    assert torch.equal(labels.mask[:, 1:], (candidates.table != 1) & (candidates.table != 2))


def test_another_graph_has_other_walks() -> None:
    sampler = StructureAware(50, hops=1, filtered=False, on_disk=False)
    back = KnowledgeGraph(torch.tensor([[0, 0, 9]]), 10, 1)
    for graph, near in ((CHAIN, 1), (back, 9), (CHAIN, 1)):
        assert (sampler(asked(graph, 0))[0].table == near).all()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GNNKG_CACHE", str(tmp_path))
    return tmp_path / "walks"


def drawn(graph: KnowledgeGraph, **arguments: Any) -> torch.Tensor:
    torch.manual_seed(1)
    table = StructureAware(5, walks=20, **arguments)(Queries(20).of(graph, seed=0)[0])[0].table
    assert table is not None
    return table


def test_walks_are_kept_on_disk(folder: Path, graph: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = drawn(graph)
    assert torch.equal(fresh, drawn(graph, on_disk=False))
    assert len(list(folder.iterdir())) == 1
    monkeypatch.setattr(structure_aware, "walked", None)
    assert torch.equal(drawn(graph), fresh)
    shuffled = KnowledgeGraph(graph.facts.flip(0), graph.num_entities, graph.num_relations)
    StructureAware(5, walks=20)(Queries(20).of(shuffled, seed=0)[0])


@pytest.mark.parametrize("change", [{"hops": 2}, {"limit": 3}, {"seed": 1}])
def test_other_arguments_are_other_walks(folder: Path, graph: KnowledgeGraph, change: dict[str, int]) -> None:
    drawn(graph)
    drawn(graph, **change)
    drawn(random_graph(seed=1), **change)
    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize("argument", ["num_negatives", "hops", "walks", "limit"])
def test_wrong_arguments(argument: str) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        StructureAware(**{argument: 0})
