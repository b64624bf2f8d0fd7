from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnkg.evaluation import paths
from gnnkg.evaluation.paths import heaviest_paths
from gnnkg.graph import KnowledgeGraph
from gnnkg.ops.message import Adjacency
from tests.random_data import random_graph

Step = tuple[int, int, int]


def every_path(
    edges: Adjacency, weight: torch.Tensor, head: int, answer: int, present: list[bool]
) -> Iterator[tuple[float, tuple[Step, ...]]]:
    """(sum, steps) of every simple path of at most T edges, its edges placed on the layers as well as can be."""
    triples = list(zip(edges.source.tolist(), edges.relation.tolist(), edges.target.tolist(), strict=True))

    def onwards(taken: tuple[int, ...], been: tuple[int, ...]):
        if been[-1] == answer:
            placed = itertools.combinations(range(len(weight)), len(taken))
            best = max(sum(weight[t, e].item() for t, e in zip(layers, taken, strict=True)) for layers in placed)
            yield best, tuple(triples[e] for e in taken)
        elif len(taken) < len(weight):
            for e, (source, _, target) in enumerate(triples):
                if present[e] and source == been[-1] and target not in been:
                    yield from onwards((*taken, e), (*been, target))

    if head != answer:
        yield from onwards((), (head,))


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 4), st.booleans(), st.booleans())
def test_a_wide_beam_finds_what_enumeration_finds(seed, num_layers, mean, masked):
    graph = random_graph(num_entities=6, num_relations=2, num_facts=9, seed=seed)
    if masked:
        graph = graph.without(*graph.facts[:3].unbind(1))
    edges, there = graph.messages
    present = None if there is None else there != 0
    draw = torch.Generator().manual_seed(seed)
    weight = torch.randn(num_layers, len(edges), generator=draw)
    listed = [True] * len(edges) if present is None else present.tolist()
    for head, answer in ((0, 1), (2, 5), (3, 3)):
        expected = sorted(
            (
                (total / len(steps) if mean else total, steps)
                for total, steps in every_path(edges, weight, head, answer, listed)
            ),
            reverse=True,
        )
        for count in (1, 3, 10_000):
            found = heaviest_paths(edges, weight, head, answer, count, 10_000, mean, present)
            assert [path.steps for path in found] == [steps for _, steps in expected[:count]]
            assert [path.weight for path in found] == pytest.approx([total for total, _ in expected[:count]], abs=1e-5)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.booleans())
def test_up_to_three_layers_a_beam_of_the_count_is_enough(seed, mean):
    graph = random_graph(num_entities=7, num_relations=2, num_facts=16, seed=seed)
    edges = graph.messages.edges
    weight = torch.randn(3, len(edges), generator=torch.Generator().manual_seed(seed))
    wide = heaviest_paths(edges, weight, 0, 1, 4, 10_000, mean)
    assert heaviest_paths(edges, weight, 0, 1, 4, 4, mean) == wide


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 3))
def test_a_narrow_beam_gives_paths_and_their_weights(seed, beam):
    graph = random_graph(num_entities=7, num_relations=2, num_facts=16, seed=seed)
    edges = graph.messages.edges
    weight = torch.randn(5, len(edges), generator=torch.Generator().manual_seed(seed))
    everything = {steps: total for total, steps in every_path(edges, weight, 0, 1, [True] * len(edges))}
    found = heaviest_paths(edges, weight, 0, 1, 6, beam)
    assert [path.weight for path in found] == sorted((path.weight for path in found), reverse=True)
    assert len({path.steps for path in found}) == len(found)
    for path in found:
        assert path.weight == pytest.approx(everything[path.steps], abs=1e-5)
    assert bool(found) == bool(everything)


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 4), st.booleans(), st.booleans())
def test_walks_left_out_early_would_have_been_dropped(seed, num_layers, beam, mean, ties):
    """The same paths as where every walk takes every edge, and is dropped only then."""
    graph = random_graph(num_entities=8, num_relations=2, num_facts=25, seed=seed)
    edges = graph.messages.edges
    weight = torch.randn(num_layers, len(edges), generator=torch.Generator().manual_seed(seed))
    weight = weight.round() if ties else weight
    found = heaviest_paths(edges, weight, 0, 1, 3, beam, mean)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "_floor", lambda weight, group, keep, num: torch.full((num,), -torch.inf))
        assert heaviest_paths(edges, weight, 0, 1, 3, beam, mean) == found


def test_walks_of_a_full_entity_are_left_out_before_they_are_made(monkeypatch):
    """On a hub: one of the hundred ways to it is kept, and no more are made."""
    facts = (
        [(0, 0, middle) for middle in range(1, 101)] + [(middle, 0, 101) for middle in range(1, 101)] + [(101, 0, 102)]
    )
    edges = KnowledgeGraph(torch.tensor(facts), 103, 1).messages.edges
    weight = torch.randn(3, len(edges), generator=torch.Generator().manual_seed(1))
    made, distinct = [], paths._distinct
    monkeypatch.setattr(paths, "_distinct", lambda walks: made.append(len(walks.key)) or distinct(walks))
    assert heaviest_paths(edges, weight, 0, 102, 1, 1)
    assert made == [100, 1, 1]


def chain(*facts: Step) -> Adjacency:
    return KnowledgeGraph(torch.tensor(facts), 5, 2).messages.edges


def test_of_equal_paths_the_shorter_comes_first_and_a_repeated_fact_is_one_path():
    edges = chain((0, 0, 1), (1, 0, 2), (0, 1, 2), (0, 1, 2))
    found = heaviest_paths(edges, torch.zeros(3, len(edges)), 0, 2, 5, 5)
    assert [path.steps for path in found] == [((0, 1, 2),), ((0, 0, 1), (1, 0, 2))]


def test_the_edges_of_a_path_take_layers_in_their_order_and_the_best_there_are():
    edges = chain((0, 0, 1), (1, 0, 2))
    weight = torch.zeros(3, len(edges))
    first, second = (((edges.source == s) & (edges.target == s + 1)).nonzero().item() for s in (0, 1))
    weight[:, first], weight[:, second] = torch.tensor([1.0, 10, 100]), torch.tensor([1000.0, 5, 7])
    assert [path.weight for path in heaviest_paths(edges, weight, 0, 1, 5, 5)] == [100]
    assert [path.weight for path in heaviest_paths(edges, weight, 0, 2, 5, 5)] == [17]
    assert [path.weight for path in heaviest_paths(edges, weight, 0, 2, 5, 5, mean=True)] == [8.5]


def test_no_path():
    edges = chain((0, 0, 1), (1, 0, 2), (3, 0, 4))
    for head, answer in ((0, 3), (0, 0), (4, 1)):
        assert heaviest_paths(edges, torch.zeros(3, len(edges)), head, answer, 5, 5) == []
    assert heaviest_paths(edges, torch.zeros(1, len(edges)), 0, 2, 5, 5) == []
    nothing = KnowledgeGraph(torch.empty(0, 3, dtype=torch.int64), 3, 1).messages.edges
    assert heaviest_paths(nothing, torch.zeros(2, 0), 0, 1, 5, 5) == []
