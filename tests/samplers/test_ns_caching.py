from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor
from torch.optim import Adagrad

from gnnkg.core import Batch, Candidates, Model, Objective
from gnnkg.data import Dataset
from gnnkg.data.queries import Queries
from gnnkg.encoders import Table
from gnnkg.graph import KnowledgeGraph
from gnnkg.losses import CrossEntropy
from gnnkg.run import RunDirectory
from gnnkg.samplers import NSCaching, Typed
from gnnkg.scorers import DistMult
from gnnkg.terms import Ranking
from gnnkg.train import fit
from tests.contracts.test_samplers import facts_both_ways, scored
from tests.random_data import random_dataset, random_graph


def large_ids_score_more(candidates: Candidates) -> Tensor:
    """So much more that chance decides nothing."""
    assert candidates.table is not None
    return 1000.0 * candidates.table


def batch_of(graph: KnowledgeGraph, size: int = 20, score: Callable[[Candidates], Tensor] | None = None) -> Batch:
    batch = Queries(size).of(graph, seed=0)[0]
    return scored(batch) if score is None else replace(batch, score=score)


def asked(graph: KnowledgeGraph, head: int, relation: int, num_queries: int) -> Batch:
    zero = torch.zeros(num_queries, dtype=torch.int64)
    return Batch(graph, zero + head, zero + relation, zero, torch.ones(num_queries), score=large_ids_score_more)


def cached(sampler: NSCaching, batch: Batch) -> Tensor:
    """The cache of each query of the batch (B, N1)."""
    assert sampler.patterns is not None
    assert sampler.cache is not None
    keys = batch.head * 2 * batch.graph.num_relations + batch.relation
    place = (sampler.patterns == keys[:, None]).long().argmax(1)
    assert torch.equal(sampler.patterns[place], keys)
    return sampler.cache[place]


def test_negatives_come_from_the_cache_before_it_is_refreshed() -> None:
    graph = random_graph(100, 2, 60)
    sampler, batch = NSCaching(200, cache_size=4), batch_of(random_graph(100, 2, 60), 20)
    batch = replace(batch, graph=graph)
    sampler(batch)
    before = cached(sampler, batch)
    table = sampler(batch)[0].table
    assert table is not None
    assert sampler.cache is not None
    assert sampler.cache.dtype == torch.int32
    for row, entities in zip(table, before, strict=True):
        assert set(row.tolist()) == set(entities.tolist())
    assert not torch.equal(cached(sampler, batch), before)


def test_draws_from_a_cache_are_uniform() -> None:
    graph = random_graph(100, 2, 60)
    sampler, batch = NSCaching(2000, cache_size=5), batch_of(graph, 1)
    sampler(batch)
    entities, times = cached(sampler, batch)[0].unique(return_counts=True)
    drawn = torch.bincount(sampler(batch)[0].table[0], minlength=100)[entities.long()]
    assert chisquare(drawn.numpy(), (2000 * times / 5).numpy()).pvalue > 1e-3


def test_the_best_of_the_union_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each entity once, however often it was cached or drawn."""
    sampler, batch = NSCaching(3, cache_size=4), asked(random_graph(), 0, 0, 1)
    monkeypatch.setattr(NSCaching, "_from_all", lambda *_: torch.tensor([[2, 5, 9, 9, 11, 5]]))
    kept = sampler._refreshed(batch, torch.tensor([[11, 11, 3, 1]]))
    assert sorted(kept[0].tolist()) == [3, 5, 9, 11]


def test_the_next_cache_is_drawn_by_softmax(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of four without replacement: p(i, j) = p_i p_j / (1 - p_i)."""
    share = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    batch = replace(asked(random_graph(4, 1, 8), 0, 0, 20_000), score=lambda candidates: share.log()[candidates.table])
    monkeypatch.setattr(NSCaching, "_from_all", lambda *_: torch.arange(4).expand(20_000, 4))
    first, second = NSCaching(3, cache_size=2)._refreshed(batch, torch.zeros(20_000, 2, dtype=torch.int64)).unbind(1)
    pairs = torch.bincount(4 * first + second, minlength=16)
    expected = share[:, None] * share / (1 - share[:, None])
    other = ~torch.eye(4, dtype=torch.bool).flatten()
    assert pairs.sum() == pairs[other].sum()
    assert chisquare(pairs[other].numpy(), (20_000 * expected.flatten()[other]).numpy()).pvalue > 1e-3


def test_caches_become_hard() -> None:
    graph = random_graph(1000, 2, 60)
    sampler, batch = NSCaching(5, cache_size=10), batch_of(graph, 20, large_ids_score_more)
    for _ in range(60):
        sampler(batch)
    assert cached(sampler, batch).float().mean() > 980
    others = torch.ones(len(sampler.cache), dtype=torch.bool)
    others[torch.isin(sampler.patterns, batch.head * 4 + batch.relation)] = False
    assert sampler.cache[others].float().mean() < 600


def test_a_pattern_met_twice_is_refreshed_by_its_first_row() -> None:
    graph = KnowledgeGraph(torch.tensor([[0, 0, 1], [1, 0, 2]]), 500, 1)

    def by_row(candidates: Candidates) -> Tensor:
        sign = torch.tensor([1.0, 1.0, -1.0, -1.0])[:, None]
        return 1000.0 * sign * candidates.table

    batch = replace(asked(graph, 0, 0, 4), head=torch.tensor([0, 1, 0, 1]), score=by_row)
    sampler = NSCaching(5, cache_size=4)
    for _ in range(40):
        sampler(batch)
    assert (cached(sampler, batch) > 400).all()


def test_filtered_caches_hold_nothing_that_is_known() -> None:
    graph = random_graph(40, 1, 400)
    known = facts_both_ways(graph)
    sampler, batch = NSCaching(5, cache_size=6, filtered=True), batch_of(graph, 30)
    sampler(batch)
    for head, relation, entities in zip(
        batch.head.tolist(), batch.relation.tolist(), cached(sampler, batch).tolist(), strict=True
    ):
        assert all((head, relation, entity) not in known for entity in entities)


def test_lazy_caches_wait_for_their_epoch(graph: KnowledgeGraph) -> None:
    sampler, batch = NSCaching(5, cache_size=3, lazy=2), batch_of(graph)
    for epoch, refreshed in enumerate([True, False, True, False]):
        sampler.before_epoch(epoch)
        before = None if sampler.cache is None else sampler.cache.clone()
        sampler(batch)
        assert before is None or torch.equal(before, sampler.cache) is not refreshed


def test_without_scores(graph: KnowledgeGraph) -> None:
    with pytest.raises(ValueError, match="call it through an Objective"):
        NSCaching(5)(Queries(5).of(graph, seed=0)[0])


def test_the_same_patterns_keep_their_caches_and_others_do_not(graph: KnowledgeGraph) -> None:
    sampler, batch = NSCaching(5, cache_size=3), batch_of(graph)
    sampler(batch)
    sampler.before_epoch(1)
    sampler.refreshes = False
    before = sampler.cache
    again = KnowledgeGraph(graph.facts.flip(0), graph.num_entities, graph.num_relations)
    sampler(replace(batch, graph=again))
    assert sampler.cache is before
    for other in (random_graph(seed=5), KnowledgeGraph(graph.facts, 20, graph.num_relations)):
        sampler(batch_of(other))
        assert not torch.equal(sampler.cache, before)
        assert len(sampler.cache) == len(sampler.patterns)
        assert sampler.cache.max() < other.num_entities


def test_a_pattern_that_the_graph_does_not_know() -> None:
    graph = KnowledgeGraph(torch.tensor([[0, 0, 1]]), 50, 2)
    sampler = NSCaching(40, cache_size=30)
    sampler(asked(graph, 0, 0, 2))
    before = sampler.cache.clone()
    table = sampler(asked(graph, 7, 1, 2))[0].table
    assert len(table.unique()) > 10
    assert torch.equal(sampler.cache, before)
    empty = KnowledgeGraph(torch.zeros(0, 3, dtype=torch.int64), 50, 2)
    assert sampler(asked(empty, 7, 1, 2))[0].table.shape == (2, 40)


def test_states_are_saved_and_do_not_stay_shared(graph: KnowledgeGraph) -> None:
    one, other = NSCaching(5, cache_size=3), NSCaching(5, cache_size=3)
    other.load_state_dict(one.state_dict())
    batch = batch_of(graph)
    one(batch)
    other.load_state_dict(one.state_dict())
    saved = one.cache.clone()
    assert torch.equal(other.cache, saved)
    one(batch)
    assert torch.equal(other.cache, saved)
    with pytest.raises(ValueError, match=r"cache_size=3.*has 4"):
        NSCaching(5, cache_size=4).load_state_dict(one.state_dict())


@pytest.mark.parametrize("wrap", [False, True])
def test_a_killed_run_continues_bitwise(wrap: bool, tmp_path: Path) -> None:
    dataset = random_dataset(num_entities=30, num_facts=160)

    def parts(seed: int) -> tuple[Model, Objective]:
        torch.manual_seed(seed)
        scorer = DistMult(8)
        sampler: Any = NSCaching(6, cache_size=4, num_candidates=3, lazy=2)
        if wrap:
            sampler = Typed(sampler, outside="redrawn")
        return Model(Table(dataset.graph, scorer.space), scorer), Objective(sampler, {"x": Ranking(CrossEntropy())})

    whole, broken = (RunDirectory.create(tmp_path / name, {}, dataset) for name in ("whole", "broken"))
    train(*parts(0), dataset, whole)
    for attempt in range(2):
        model, objective = parts(7 * attempt)
        count = 0

        def stop(*_: object) -> None:
            nonlocal count
            count += 1
            if count == 9:
                raise KeyboardInterrupt

        objective.register_forward_pre_hook(stop)
        with pytest.raises(KeyboardInterrupt):
            train(model, objective, dataset, broken)
    train(*parts(8), dataset, broken)
    one, two = whole.load_checkpoint(), broken.load_checkpoint()
    assert one is not None
    assert two is not None
    name = "sampler.sampler._extra_state" if wrap else "sampler._extra_state"
    for key in ("patterns", "cache"):
        assert torch.equal(one["objective"][name][key], two["objective"][name][key])
    for key, value in one["model"].items():
        assert torch.equal(value, two["model"][key])


def train(model: Model, objective: Objective, dataset: Dataset, run: RunDirectory) -> None:
    settings = {"steps": 24, "validate_every": 12, "checkpoint_seconds": 0.0, "progress": False, "accelerator": "cpu"}
    fit(
        model,
        objective,
        dataset,
        run=run,
        optimizer=partial(Adagrad, lr=0.1),
        queries=Queries(batch_size=40),
        **settings,
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("argument", ["num_negatives", "cache_size", "num_candidates", "lazy"])
def test_wrong_arguments(argument: str) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        NSCaching(**{argument: 0})
