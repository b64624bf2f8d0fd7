"""The states that answers depend on, against a search that is plain to see."""

from __future__ import annotations

import pytest
import torch

from gnnkg.graph import KnowledgeGraph
from gnnkg.ops import cpu
from gnnkg.ops.cones import Cones
from gnnkg.ops.message import Adjacency
from tests.random_data import random_graph

MOST = 3


def hops(edges: Adjacency, start: set[int], backwards: bool) -> list[int]:
    """Edges between the start and each node; MOST + 1 for all that are further."""
    pairs = list(zip(edges.source.tolist(), edges.target.tolist(), strict=True))
    found = [MOST + 1] * edges.num_nodes
    for number in range(MOST + 1):
        for node in start:
            found[node] = min(found[node], number)
        start = {u if backwards else v for u, v in pairs if (v if backwards else u) in start}
    return found


def sparse_graph(seed: int) -> KnowledgeGraph:
    return random_graph(num_entities=40, num_facts=34, seed=seed)


def directed(seed: int) -> Adjacency:
    """Edges that do not have one the other way."""
    head, relation, tail = sparse_graph(seed).facts.unbind(1)
    return Adjacency.of(head, relation, tail, 40, 3)


def asked(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Heads, kinds and candidates of five queries."""
    torch.manual_seed(seed)
    return torch.randint(40, (5,)), torch.tensor([0, 1, 0, 0, 1]), torch.randint(40, (5, 4))


@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_what_is_read_is_there_and_a_query_has_no_state_that_it_does_not_need(
    both_ways: bool, everything: bool, seed: int
) -> None:
    edges = sparse_graph(seed).messages.edges if both_ways else directed(seed)
    head, kind, candidates = asked(seed)
    cones = Cones(edges, head, kind, 2, None if everything else candidates, MOST)
    degree = torch.randint(6, (40,))
    plan = cones.plan(degree)
    candidates = torch.arange(40).expand(5, -1) if everything else candidates
    ends = [{int(head[b]), *candidates[b].tolist()} for b in range(5)]
    ground = [hops(edges, set.union(*(ends[b] for b in range(5) if kind[b] == k)), backwards=True) for k in (0, 1)]
    own = [
        {
            (v, t)
            for v, (there, back) in enumerate(
                zip(hops(edges, {int(head[b])}, False), hops(edges, ends[b], True), strict=True)
            )
            for t in range(MOST + 1)
            if there <= t <= MOST - back
        }
        for b in range(5)
    ]
    assert cones.num_states == sum(t > 0 for states in own for _, t in states) + sum(
        t <= MOST - back for each in ground for back in each for t in range(1, MOST + 1)
    )
    assert cones.num_states == sum(len(step.node) for step in plan.iterations)
    assert cones.num_messages == sum(len(step.edges) for step in plan.iterations)
    for step in plan.iterations:
        assert sum(step.runs) == len(step.node)
        ascending = [degree[nodes].unique().tolist() for nodes in step.node.split(step.runs)]
        assert all(len(run) == 1 for run in ascending)
        assert ascending == sorted(ascending)

    # Back from the candidates to the start: which entity each state is of, and which query's, or the ground's of which kind.
    def meant(v: int, t: int, b: int) -> tuple[int, str]:
        return v, f"query {b}" if (v, t) in own[b] else f"ground {kind[b]}"

    of = [{} for _ in range(MOST + 1)]
    for b in range(5):
        reads = [(int(state), int(v)) for state, v in zip(plan.found[b], candidates[b], strict=True)]
        reads.append((int(plan.iterations[-1].head[b]), int(head[b])))
        for t in range(MOST, 0, -1):
            step, earlier = plan.iterations[t - 1], []
            for state, v in set(reads):
                assert of[t].setdefault(state, meant(v, t, b)) == meant(v, t, b)
                assert int(step.node[state]) == v
                in_edges = slice(int(step.edges.starts[state]), int(step.edges.starts[state + 1]))
                given = slice(int(edges.starts[v]), int(edges.starts[v + 1]))
                assert step.edges.order[in_edges].tolist() == list(range(given.start, given.stop))
                assert step.edges.relation[in_edges].tolist() == (edges.relation[given] * 2 + kind[b]).tolist()
                earlier += zip(step.edges.source[in_edges].tolist(), edges.source[given].tolist(), strict=True)
                earlier.append((int(step.before[state]), v))
            reads = earlier
        for state, v in reads:
            assert of[0].setdefault(state, meant(v, 0, b)) == meant(v, 0, b)
        assert of[0][int(plan.first[b])] == (int(head[b]), f"query {b}")
    for t, found in enumerate(of):
        assert sum(whose.startswith("query") for _, whose in found.values()) == sum(
            time == t for each in own for _, time in each
        )


def test_threads_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    edges = sparse_graph(1).messages.edges
    head, kind, candidates = asked(1)

    def plan() -> list[torch.Tensor]:
        made = Cones(edges, head, kind, 2, candidates, MOST).plan(edges.starts.diff())
        tensors = [made.first, made.found]
        for step in made.iterations:
            tensors += [step.node, step.before, step.head, step.edges.source, step.edges.relation]
        return tensors

    alone = plan()
    monkeypatch.setattr(cpu, "WORK_PER_THREAD", 1)
    monkeypatch.setattr(cpu, "MOST_THREADS", 3)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    for one, other in zip(alone, plan(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("wrong", [-1, 40])
@pytest.mark.parametrize("where", ["head", "candidate"])
def test_ids_of_no_entity_are_refused(wrong: int, where: str) -> None:
    head, kind, candidates = asked(0)
    (head if where == "head" else candidates[2])[1] = wrong
    with pytest.raises(IndexError, match=rf"entities lie in \[0, 40\), but there is {wrong}"):
        Cones(sparse_graph(0).messages.edges, head, kind, 2, candidates, MOST)


def test_states_of_two_queries_are_two() -> None:
    """Two queries of one head: different states wherever the head is felt, one state where it is not."""
    edges = sparse_graph(0).messages.edges
    head = edges.source[:1].repeat(2)
    plan = Cones(edges, head, torch.zeros(2, dtype=torch.int64), 1, None, MOST).plan(edges.starts.diff())
    reached = torch.tensor(hops(edges, {int(head[0])}, False)) <= MOST
    assert torch.equal(plan.found[0] != plan.found[1], reached)
    assert 1 < reached.sum() < 40
