"""The states that answers depend on, against a search that is plain to see."""

from __future__ import annotations

import pytest
import torch

from gnnkg.graph import KnowledgeGraph
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


@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_every_state_that_is_read_and_no_other(both_ways: bool, everything: bool, seed: int) -> None:
    torch.manual_seed(seed)
    edges = sparse_graph(seed).messages.edges if both_ways else directed(seed)
    head, kind, candidates = torch.randint(40, (5,)), torch.tensor([0, 1, 0, 0, 1]), torch.randint(40, (5, 4))
    cones = Cones(edges, head, kind, 2, None if everything else candidates, MOST)
    degree = torch.randint(6, (40,))
    plan = cones.plan(degree)
    candidates = torch.arange(40).expand(5, -1) if everything else candidates
    ends = [{int(head[b]), *candidates[b].tolist()} for b in range(5)]
    ground = hops(edges, set.union(*ends), backwards=True)
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
    assert cones.num_states == sum(t > 0 for states in own for _, t in states) + 2 * sum(
        t <= MOST - back for back in ground for t in range(1, MOST + 1)
    )

    for step in plan.iterations:
        assert sum(step.runs) == len(step.node)
        ascending = [degree[nodes].unique().tolist() for nodes in step.node.split(step.runs)]
        assert all(len(run) == 1 for run in ascending)
        assert ascending == sorted(ascending)

    assert cones.num_states == sum(len(step.node) for step in plan.iterations)
    assert cones.num_messages == sum(len(step.edges) for step in plan.iterations)

    # Who is whom, from the candidates back to the start: (entity, whose) of each state, where None is the ground of some kind.
    for b in range(5):
        here = {int(state): int(v) for state, v in zip(plan.found[b], candidates[b], strict=True)}
        for t in range(MOST, 0, -1):
            step, earlier = plan.iterations[t - 1], {}
            for state, v in here.items():
                assert int(step.node[state]) == v
                in_edges = slice(int(step.edges.starts[state]), int(step.edges.starts[state + 1]))
                given = slice(int(edges.starts[v]), int(edges.starts[v + 1]))
                assert step.edges.order[in_edges].tolist() == list(range(given.start, given.stop))
                assert step.edges.relation[in_edges].tolist() == (edges.relation[given] * 2 + kind[b]).tolist()
                sources = [*step.edges.source[in_edges].tolist(), int(step.before[state])]
                for source, u in zip(sources, [*edges.source[given].tolist(), v], strict=True):
                    assert earlier.setdefault(source, u) == u
            here = earlier
        # before any iteration, the state of the head is the query's own
        assert all((state == int(plan.first[b])) == (v == int(head[b])) for state, v in here.items())


def test_states_of_two_queries_are_two() -> None:
    """Two queries of one head: different states wherever the head is felt, one state where it is not."""
    edges = sparse_graph(0).messages.edges
    head = edges.source[:1].repeat(2)
    plan = Cones(edges, head, torch.zeros(2, dtype=torch.int64), 1, None, MOST).plan(edges.starts.diff())
    reached = torch.tensor(hops(edges, {int(head[0])}, False)) <= MOST
    assert torch.equal(plan.found[0] != plan.found[1], reached)
    assert 1 < reached.sum() < 40
