from __future__ import annotations

import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnkg.graph import KnowledgeGraph, KnownTails, both_directions

N, R = 6, 3
fact = st.tuples(st.integers(0, N - 1), st.integers(0, R - 1), st.integers(0, N - 1))
query = st.tuples(st.integers(0, N - 1), st.integers(0, 2 * R - 1), st.integers(0, N - 1))
entities = st.lists(st.integers(0, N - 1), max_size=N)


def tensor(rows: list[tuple[int, int, int]]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.int64).reshape(-1, 3)


def graph_of(rows: list[tuple[int, int, int]]) -> KnowledgeGraph:
    return KnowledgeGraph(tensor(rows), N, R)


def rows_of(graph: KnowledgeGraph) -> list[tuple[int, int, int]]:
    return [(h, r, t) for h, r, t in graph.facts.tolist()]


def as_stated(head: int, relation: int, tail: int) -> tuple[int, int, int]:
    return (tail, relation - R, head) if relation >= R else (head, relation, tail)


@given(st.lists(fact, max_size=20))
def test_edges_hold_every_fact_in_both_directions(rows):
    head, relation, tail = graph_of(rows).edges
    edges = list(zip(head.tolist(), relation.tolist(), tail.tolist(), strict=True))
    assert edges == rows + [(t, r + R, h) for h, r, t in rows]


@given(st.lists(fact, max_size=20), st.lists(query, min_size=1, max_size=10))
def test_known_tails_equal_a_dictionary(rows, queries):
    known = KnownTails(tensor(rows), N, R)
    expected: dict[tuple[int, int], set[int]] = {}
    for h, r, t in rows:
        expected.setdefault((h, r), set()).add(t)
        expected.setdefault((t, r + R), set()).add(h)
    head, relation, tail = tensor(queries).unbind(1)
    starts, tails = known.of(head, relation)
    found = [tails[starts[b] : starts[b + 1]].tolist() for b in range(len(queries))]
    assert found == [sorted(expected.get((h, r), ())) for h, r, _ in queries]
    assert len(tails) == starts[-1]
    assert known.count(head, relation).tolist() == [len(expected.get((h, r), ())) for h, r, _ in queries]
    held = [t in expected.get((h, r), ()) for h, r, t in queries]
    assert known.holds(head, relation, tail).tolist() == held
    assert known.among(head, relation, tail.unsqueeze(1)).squeeze(1).tolist() == held
    every = [[t in expected.get((h, r), ()) for t in range(N)] for h, r, _ in queries]
    assert known.among(head, relation, torch.arange(N).unsqueeze(0)).tolist() == every


def test_known_tails_broadcast_over_candidates():
    known = KnownTails(tensor([(0, 1, 2), (0, 1, 4)]), N, R)
    head, relation = torch.tensor([[0], [4]]), torch.tensor([[1], [1 + R]])
    assert known.holds(head, relation, torch.arange(N).expand(2, N)).int().tolist() == [
        [0, 0, 1, 0, 1, 0],
        [1, 0, 0, 0, 0, 0],
    ]


def test_known_tails_take_ids_of_any_integers_and_know_nothing_of_others():
    graph_size, relations = 14_541, 237  # whose keys need more than 32 bits
    head, relation = torch.randint(graph_size, (500,)), torch.randint(relations, (500,))
    known = KnownTails(torch.stack([head, relation, head], 1), graph_size, relations)
    assert (known.count(head.int(), relation.int()) > 0).all()
    assert known.among(head.int(), relation.int(), head.int().unsqueeze(1)).all()
    strange = torch.tensor([-1, graph_size, 10**7, -(10**7)])
    assert not known.count(strange, torch.zeros_like(strange)).any()
    assert not len(known.of(strange, torch.zeros_like(strange)).tails)


@given(st.lists(fact, max_size=20), st.lists(query, max_size=6))
def test_without_equals_a_graph_rebuilt_without_them(rows, gone):
    head, relation, tail = tensor(gone).unbind(1)
    left = graph_of(rows).without(head, relation, tail)
    removed = {as_stated(*row) for row in gone}
    assert rows_of(left) == [row for row in rows if row not in removed]
    assert (left.num_entities, left.num_relations) == (N, R)


@given(st.lists(fact, max_size=20), st.lists(query, max_size=6))
def test_without_relation_removes_all_between_a_pair(rows, gone):
    head, _, tail = tensor(gone).unbind(1)
    pairs = {frozenset((h, t)) for h, _, t in gone}
    assert rows_of(graph_of(rows).without(head, None, tail)) == [(h, r, t) for h, r, t in rows if {h, t} not in pairs]


@given(st.lists(fact, max_size=20), entities)
def test_subgraph_keeps_the_facts_inside(rows, chosen):
    part, old = graph_of(rows).subgraph(torch.tensor(chosen, dtype=torch.int64))
    assert old.tolist() == sorted(set(chosen))
    back = [(int(old[h]), r, int(old[t])) for h, r, t in part.facts.tolist()]
    assert back == [(h, r, t) for h, r, t in rows if h in chosen and t in chosen]
    assert (part.num_entities, part.num_relations) == (len(old), R)


@given(st.lists(fact, max_size=20))
def test_seen_marks_heads_and_tails(rows):
    assert graph_of(rows).seen.tolist() == [any(e in (h, t) for h, _, t in rows) for e in range(N)]


@settings(deadline=None)  # the first example imports DGL
@given(st.lists(fact, max_size=20), st.booleans())
def test_dgl_round_trip(rows, inverse):
    graph = graph_of(rows)
    there = graph.to_dgl(inverse)
    assert there.num_nodes("entity") == N
    assert there.etypes == [str(r) for r in range(2 * R if inverse else R)]
    back, names, relations = KnowledgeGraph.from_dgl(there)
    expected = rows + [(t, r + R, h) for h, r, t in rows] if inverse else rows
    assert rows_of(back) == sorted(expected, key=lambda row: row[1])
    assert (back.num_entities, back.num_relations) == (N, len(relations))
    assert names == [str(e) for e in range(N)]
    assert relations == there.etypes


def test_relations_keep_their_ids_beyond_nine():
    graph = KnowledgeGraph(torch.tensor([[0, 11, 1], [1, 2, 0]]), 2, 12)
    back, _, relations = KnowledgeGraph.from_dgl(graph.to_dgl())
    assert rows_of(back) == [(1, 2, 0), (0, 11, 1)]
    assert relations == [str(r) for r in range(12)]


def test_a_type_of_edges_has_the_number_of_its_relation_for_dgl_too():
    from gnnkg import dgl

    graph = KnowledgeGraph(torch.tensor([[0, 11, 1], [1, 2, 0], [1, 10, 1]]), 2, 12)
    flat = dgl.to_homogeneous(graph.to_dgl(inverse=True))
    head, tail = flat.edges()
    facts = torch.stack([head, flat.edata[dgl.ETYPE], tail], 1)
    back = [(1, 14, 0), (1, 22, 1), (1, 23, 0)]
    assert sorted(map(tuple, facts.tolist())) == sorted([(1, 2, 0), (1, 10, 1), (0, 11, 1), (0, 14, 1), *back[1:]])
    again, _, relations = KnowledgeGraph.from_dgl(flat)
    assert sorted(rows_of(again)) == sorted(map(tuple, facts.tolist()))
    assert relations == [str(r) for r in range(24)]


def test_heterograph_is_built_once_and_holds_training_facts():
    graph = graph_of([(0, 1, 2)])
    assert graph.heterograph is graph.heterograph
    assert graph.heterograph.num_edges() == 1


def test_from_dgl_with_several_node_types():
    from gnnkg._dgl import dgl

    there = dgl.heterograph(
        {
            ("drug", "treats", "disease"): (torch.tensor([0, 1]), torch.tensor([2, 0])),
            ("drug", "like", "drug"): (torch.tensor([1]), torch.tensor([0])),
            ("disease", "like", "disease"): (torch.tensor([0]), torch.tensor([1])),
        }
    )
    graph, names, relations = KnowledgeGraph.from_dgl(there)
    assert names == ["disease/0", "disease/1", "disease/2", "drug/0", "drug/1"]
    stated = {(names[h], relations[r], names[t]) for h, r, t in rows_of(graph)}
    assert stated == {
        ("drug/0", "treats", "disease/2"),
        ("drug/1", "treats", "disease/0"),
        ("drug/1", "drug:like:drug", "drug/0"),
        ("disease/0", "disease:like:disease", "disease/1"),
    }


def test_from_homogeneous_dgl():
    from gnnkg._dgl import dgl

    there = dgl.graph((torch.tensor([0, 1]), torch.tensor([1, 2])), num_nodes=4)
    graph, _, _ = KnowledgeGraph.from_dgl(there)
    assert (rows_of(graph), graph.num_entities, graph.num_relations) == ([(0, 0, 1), (1, 0, 2)], 4, 1)
    there.edata["etype"] = torch.tensor([1, 0])
    graph, _, _ = KnowledgeGraph.from_dgl(there)
    assert (rows_of(graph), graph.num_relations) == ([(0, 1, 1), (1, 0, 2)], 2)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # PyTorch Geometric's own, while it is imported
@settings(deadline=None)
@given(st.lists(fact, max_size=20), st.booleans())
def test_pyg_data(rows, inverse):
    graph = graph_of(rows)
    data = graph.to_pyg(inverse)
    expected = graph.edges if inverse else both_directions(graph.facts, R)
    count = len(rows) * (2 if inverse else 1)
    assert data.num_nodes == N
    assert torch.equal(data.edge_index, torch.stack([expected.head[:count], expected.tail[:count]]))
    assert torch.equal(data.edge_type, expected.relation[:count])


def test_pyg_missing_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_geometric.data", None)
    with pytest.raises(ImportError, match="pip install torch_geometric"):
        graph_of([]).to_pyg()


@pytest.mark.parametrize(("num_entities", "num_relations"), [(0, 0), (0, 2), (3, 0), (3, 2)])
def test_empty_graph(num_entities, num_relations):
    graph = KnowledgeGraph(torch.empty(0, 3, dtype=torch.int64), num_entities, num_relations)
    none = torch.empty(0, dtype=torch.int64)
    assert len(graph.edges.head) == 0
    assert graph.known.of(none, none).starts.tolist() == [0]
    assert not graph.seen.any()
    assert len(graph.without(none, none, none).facts) == 0
    assert graph.subgraph(none)[0].num_entities == 0
    assert graph.to_pyg().num_nodes == num_entities
    if not num_relations:
        with pytest.raises(ValueError, match="this graph has no relation"):
            graph.to_dgl()
        return
    back, names, relations = KnowledgeGraph.from_dgl(graph.to_dgl())
    assert (back.num_entities, back.num_relations, len(back.facts)) == (num_entities, num_relations, 0)
    assert (len(names), len(relations)) == (num_entities, num_relations)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((N, 0, 0), r"head ids must lie in \[0, 6\), but there is 6"),
        ((0, -1, 0), r"relation ids must lie in \[0, 3\), but there is -1"),
        ((0, 0, N + 3), r"tail ids must lie in \[0, 6\), but there is 9"),
    ],
)
def test_facts_outside_the_vocabulary_are_refused(row, message):
    with pytest.raises(ValueError, match=message):
        graph_of([(0, 0, 0), row])


def test_a_graph_too_large_for_its_keys_is_refused():
    with pytest.raises(ValueError, match="64-bit"):
        KnowledgeGraph(torch.empty(0, 3, dtype=torch.int64), 100_000_000, 500)


def test_a_graph_stays_where_it_is():
    graph = graph_of([(0, 0, 1)])
    assert graph.to("cpu") is graph


def weighted_edges(graph: KnowledgeGraph, weight: torch.Tensor) -> dict[tuple[int, int, int], list[float]]:
    """The edges of ``messages`` and their weights, those of weight 0 left out; of a graph without duplicates."""
    edges = graph.messages.edges
    triples = zip(edges.source.tolist(), edges.relation.tolist(), edges.target.tolist(), strict=True)
    weights = torch.atleast_2d(weight).T.tolist()
    return {triple: w for triple, w in zip(triples, weights, strict=True) if any(w)}


@given(st.lists(fact, max_size=20, unique=True), st.lists(query, max_size=6))
def test_weights_and_what_is_taken_away_commute(rows, gone):
    graph = graph_of(rows)
    weight = torch.rand(2, 2 * len(rows)) + 0.5
    given_weights = weighted_edges(graph, weight)
    missing = tensor(gone).unbind(1)
    removed = {as_stated(*row) for row in gone}
    expected = {edge: w for edge, w in given_weights.items() if as_stated(*edge) not in removed}
    for left in (graph.weighted(weight).without(*missing), graph.without(*missing).weighted(weight)):
        assert left.messages.weight is not None
        assert weighted_edges(left, left.messages.weight) == expected
        assert left.messages.edges is graph.messages.edges
        assert rows_of(left) == rows_of(graph.without(*missing))


@given(st.lists(fact, max_size=20, unique=True), st.lists(query, max_size=3))
def test_weights_by_direction_are_the_same_weights(rows, gone):
    graph = graph_of(rows).weighted(torch.rand(2, 2 * len(rows)) + 0.5).without(*tensor(gone).unbind(1))
    found = {}
    for way, (edges, weight) in enumerate(graph.messages_by_direction):
        assert weight is not None
        for i, row in enumerate(
            zip(edges.source.tolist(), edges.relation.tolist(), edges.target.tolist(), strict=True)
        ):
            found[row[0], row[1] + way * R, row[2]] = weight[:, i].tolist()
    assert graph.messages.weight is not None
    assert {edge: w for edge, w in found.items() if any(w)} == weighted_edges(graph, graph.messages.weight)


def test_degrees_are_counted_once_and_by_layer_where_weights_are():
    graph = graph_of([(0, 0, 1), (1, 2, 3), (0, 1, 3)])
    assert graph.degrees_by_direction(0) is graph.degrees_by_direction(1)
    assert graph.degrees_by_direction()[0].leave[:2].tolist() == [2, 1]
    weighted = graph.weighted(torch.tensor([[1.0] * 6, [0.0] * 6]))
    first, second = (weighted.degrees_by_direction(layer)[0] for layer in (0, 1))
    assert first.leave[:2].tolist() == [2, 1]
    assert not second.leave.any()


def test_weights_are_the_tensor_that_was_given_and_the_last_counts():
    graph = graph_of([(0, 0, 1), (1, 2, 3)])
    weight = torch.rand(3, 4, requires_grad=True)
    assert graph.weighted(torch.rand(4)).weighted(weight).messages.weight is weight
    assert graph.messages.weight is None
    taken = torch.autograd.grad(
        graph.weighted(weight).without(*tensor([(0, 0, 1)]).unbind(1)).messages.weight.sum(), weight
    )
    assert taken[0].sum() == 3 * 2
    assert torch.equal(graph.weighted(weight).to("cpu").messages.weight, weight)


@pytest.mark.gpu
def test_weights_go_with_their_edges_to_another_device():
    graph = graph_of([(0, 0, 1), (1, 2, 3), (4, 1, 1)])
    left = graph.without(*tensor([(1, 2, 3)]).unbind(1)).weighted(torch.arange(6.0) + 1)
    moved = left.to("cuda")
    assert weighted_edges(moved, moved.messages.weight) == weighted_edges(left, left.messages.weight)


@pytest.mark.parametrize("shape", [(3,), (4, 2)])
def test_weights_of_another_shape_are_refused(shape):
    graph = graph_of([(0, 0, 1), (1, 2, 3)])
    with pytest.raises(ValueError, match=r"a weight of each edge, of shape \(4,\)"):
        graph.weighted(torch.ones(shape))
    with pytest.raises(ValueError, match=r"are on meta and the graph on cpu"):
        graph.weighted(torch.ones(4, device="meta"))


def test_a_part_knows_where_it_comes_from_on_every_device() -> None:
    graph = KnowledgeGraph(torch.empty(0, 3, dtype=torch.int64), 13, 3)  # the meta device has no ids to check
    part = graph.part(torch.tensor([1, 4, 7]), torch.tensor([], dtype=torch.int64)).to("meta")
    assert part.part_of is not None
    assert part.part_of.num_entities == graph.num_entities
    assert part.part_of.entities.device.type == part.part_of.graph.device.type == "meta"
