"""DiagonalGAT and GCN against dense matrices, and the pairs that they read."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from gnnkg.encoders import GCN, DiagonalGAT
from gnnkg.encoders.neighbours import neighbours
from gnnkg.graph import KnowledgeGraph
from gnnkg.scorers import DistMult
from tests.random_data import random_graph


def dense(graph: KnowledgeGraph) -> torch.Tensor:
    """1 where two entities are related, or are one."""
    matrix = torch.eye(graph.num_entities, dtype=torch.float64)
    for head, _, tail in graph.facts.tolist():
        matrix[head, tail] = matrix[tail, head] = 1
    return matrix


def test_pairs_stand_once_and_everyone_is_next_to_itself():
    graph = KnowledgeGraph(torch.tensor([[0, 0, 1], [0, 1, 1], [1, 0, 0], [2, 0, 2]]), 4, 2)
    edges, weight = neighbours(graph.messages)
    assert weight is None
    pairs = list(zip(edges.source.tolist(), edges.target.tolist(), strict=True))
    assert pairs == [(0, 0), (1, 0), (0, 1), (1, 1), (2, 2), (3, 3)]
    assert neighbours(graph.messages).edges is edges, "sorted once"


def test_a_pair_is_gone_with_its_last_fact_only():
    graph = KnowledgeGraph(torch.tensor([[0, 0, 1], [0, 1, 1], [2, 0, 2]]), 3, 2)
    one = torch.tensor([0])
    for gone, expected in (([0], [1, 1, 1, 1, 1]), ([0, 1], [1, 0, 0, 1, 1])):
        relation = torch.tensor(gone)
        less = graph.without(one.expand(len(gone)), relation, one.expand(len(gone)) + 1)
        assert neighbours(less.messages).weight.tolist() == expected  # (0, 0) (1, 0) (0, 1) (1, 1) (2, 2)
    itself = graph.without(one + 2, one, one + 2)
    assert neighbours(itself.messages).weight.tolist() == [1, 1, 1, 1, 1], "an entity stays next to itself"


def dense_gat(encoder: DiagonalGAT, graph: KnowledgeGraph, state: torch.Tensor) -> torch.Tensor:
    near = dense(graph)
    for number, heads in enumerate(encoder.heads):
        outs = []
        for head in heads:
            moved = state * head.weight
            both = torch.cat(
                [moved.unsqueeze(1).expand(-1, len(moved), -1), moved.unsqueeze(0).expand(len(moved), -1, -1)], 2
            )
            logit = both @ head.attention.flatten()
            share = (-functional.leaky_relu(logit, head.slope)).exp() * near
            outs.append(share / share.sum(1, keepdim=True) @ moved)
        state = torch.stack(outs).mean(0)
        state = functional.elu(state) if number + 1 < len(encoder.heads) else state
    return state


def dense_gcn(encoder: GCN, graph: KnowledgeGraph, state: torch.Tensor) -> torch.Tensor:
    near = dense(graph)
    root = near.sum(1).rsqrt().diag()
    for number, weight in enumerate(encoder.weights):
        state = root @ near @ root @ state @ (weight.diag() if weight.dim() == 1 else weight)
        state = torch.relu(state) if number + 1 < len(encoder.weights) else state
    return state


@pytest.mark.parametrize(
    ("make", "formula"),
    [
        (lambda graph, space: DiagonalGAT(graph, space, num_heads=3), dense_gat),
        (GCN, dense_gcn),
        (lambda graph, space: GCN(graph, space, 3, diagonal=True), dense_gcn),
    ],
    ids=["gat", "gcn", "gcn-diagonal"],
)
def test_values_and_gradients_equal_those_of_dense_matrices(make, formula):
    graph = random_graph(num_facts=25)
    encoder = make(graph, DistMult(6).space).double()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter)  # away from weights of 1
    asked = torch.arange(6)
    found, expected = encoder(graph)(asked, asked).tail[0], formula(encoder, graph, encoder.table.entity)
    assert_close(found, expected)
    learned = [parameter for name, parameter in encoder.named_parameters() if name != "table.relation"]
    pull = torch.randn_like(found)
    ours = torch.autograd.grad((found * pull).sum(), learned)
    assert_close(list(ours), list(torch.autograd.grad((expected * pull).sum(), learned)))


def test_the_gat_survives_large_logits():
    graph = random_graph(num_facts=25)
    encoder = DiagonalGAT(graph, DistMult(6).space)
    with torch.no_grad():
        encoder.table.entity.mul_(1e5)
        for heads in encoder.heads:
            for head in heads:
                head.attention.fill_(1.0)
    asked = torch.arange(6)
    vectors = encoder(graph)(asked, asked).tail
    vectors.sum().backward()
    assert vectors.isfinite().all()
    assert encoder.table.entity.grad.isfinite().all()


@pytest.mark.parametrize("encoder", [GCN, DiagonalGAT])
def test_no_layer_is_refused(encoder):
    with pytest.raises(ValueError, match="at least 1"):
        encoder(random_graph(), DistMult(6).space, num_layers=0)
