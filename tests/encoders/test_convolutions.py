"""R-GCN and CompGCN against their formulas, edge by edge."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from gnnkg.encoders import RGCN, CompGCN
from gnnkg.encoders.compgcn import compose
from gnnkg.graph import KnowledgeGraph
from gnnkg.scorers import DistMult
from tests.random_data import random_graph


def edges_of(graph: KnowledgeGraph) -> list[tuple[int, int, int]]:
    return list(zip(*(column.tolist() for column in graph.edges), strict=True))


@pytest.mark.parametrize("decomposition", ["basis", "block"])
def test_rgcn(decomposition: str) -> None:
    graph = random_graph(num_facts=25)
    encoder = RGCN(graph, DistMult(6).space, 2, decomposition, num_bases=3, block_size=3).double().eval()
    edges = edges_of(graph)
    state = encoder.table.entity
    for number, layer in enumerate(encoder.layers):
        matrices = []  # y = W x, of each relation
        for r in range(6):
            if decomposition == "basis":
                matrices.append(torch.einsum("b,bde->ed", layer.share[r], layer.basis))
            else:
                matrix = torch.zeros(6, 6, dtype=torch.float64)
                for i in range(6):
                    for s in range(3):
                        matrix[i, i // 3 * 3 + (i + s) % 3] = layer.diagonal[r, s, i]
                matrices.append(matrix)
        rows = []
        for v in range(graph.num_entities):
            row = layer.loop(state[v])
            for u, r, target in edges:
                if target == v:
                    row = row + matrices[r] @ state[u] / sum(e[1:] == (r, v) for e in edges)
            rows.append(row if number else torch.relu(row))
        state = torch.stack(rows)
    asked = torch.arange(6)
    assert_close(encoder(graph)(asked, asked).tail[0], state)


@pytest.mark.parametrize("composition", ["sub", "mult", "corr"])
def test_compgcn(composition: str) -> None:
    graph = random_graph(num_facts=25)
    encoder = CompGCN(graph, DistMult(6).space, composition=composition, dim=5).double().eval()
    edges, (layer,) = edges_of(graph), encoder.layers
    entity, relation = encoder.table.entity, encoder.table.relation
    ways = [[e for e in edges if e[1] < 3], [e for e in edges if e[1] >= 3]]
    rows = []
    for v in range(graph.num_entities):
        row = layer.loop(compose(composition, entity[v : v + 1], layer.loop_relation))[0]
        for linear, way in zip(layer.ways, ways, strict=True):
            for u, r, target in way:
                if target == v:
                    norm = math.sqrt(sum(e[0] == u for e in way) * sum(e[2] == v for e in way))
                    row = row + linear(compose(composition, entity[u : u + 1], relation[r : r + 1]))[0] / norm
        rows.append(torch.tanh(layer.norm((row / 3).unsqueeze(0)))[0])
    asked = torch.arange(6)
    vectors = encoder(graph)(asked, asked)
    assert_close(vectors.tail[0], torch.stack(rows))
    assert_close(vectors.relation, encoder.relations[0](relation[asked]))


@pytest.mark.parametrize("width", [5, 6])
def test_circular_correlation(width: int) -> None:
    entity, relation = torch.randn(2, 3, width, dtype=torch.float64)
    by_hand = [[sum(h[i] * z[(i + k) % width] for i in range(width)) for k in range(width)] for h, z in
               zip(entity.tolist(), relation.tolist(), strict=True)]  # fmt: skip
    assert_close(compose("corr", entity, relation), torch.tensor(by_hand, dtype=torch.float64))


def test_edges_are_grouped_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For every layer and step, also of graphs that lack some facts."""
    graph, found, unique = random_graph(), [], torch.unique
    monkeypatch.setattr(torch, "unique", lambda *given, **how: found.append(given) or unique(*given, **how))
    encoder = RGCN(graph, DistMult(10).space, num_layers=3)
    for _ in range(2):
        encoder(graph)
    assert len(found) == 1
    less = graph.without(*graph.facts[:3].unbind(1))
    found.clear()
    encoder(less)
    assert not found


def test_edge_dropout_drops_edges_in_training_only() -> None:
    graph, asked = random_graph(), torch.arange(6)
    encoder = RGCN(graph, DistMult(6).space, edge_dropout=0.5)
    assert not torch.equal(encoder(graph)(asked, asked).tail, encoder(graph)(asked, asked).tail)
    encoder.eval()
    assert torch.equal(encoder(graph)(asked, asked).tail, encoder(graph)(asked, asked).tail)


def test_what_cannot_be_built() -> None:
    graph, space = random_graph(), DistMult(6).space
    with pytest.raises(ValueError, match="block_size must divide"):
        RGCN(graph, space, decomposition="block", block_size=4)
    with pytest.raises(ValueError, match="num_bases"):
        RGCN(graph, space, num_bases=0)
    for make in (RGCN, CompGCN):
        with pytest.raises(ValueError, match="num_layers"):
            make(graph, space, num_layers=0)
