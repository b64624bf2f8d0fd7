from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from gnnkg.core import Model, Vectors
from gnnkg.encoders import Table
from gnnkg.graph import KnowledgeGraph
from gnnkg.scorers import DistMult, TuckER
from tests.contracts.discovered import settled


def vectors(dim: int = 3, relation_dim: int = 2, queries: int = 4) -> Vectors:
    return Vectors(torch.randn(queries, dim), torch.randn(queries, relation_dim), torch.randn(1, 5, dim))


def test_formula() -> None:
    """f = sum_kij r_k W_kij h_i t_j, in plain Python."""
    scorer, asked = TuckER(3, 2, batch_norm=False).eval(), vectors()
    h, r, tails = asked.head[0].tolist(), asked.relation[0].tolist(), asked.tail[0].tolist()
    core = scorer.core.tolist()
    terms = list(itertools.product(range(2), range(3), range(3)))
    expected = [sum(r[k] * core[k][i][j] * h[i] * t[j] for k, i, j in terms) for t in tails]
    assert scorer(asked)[0].tolist() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_order_of_normalisation() -> None:
    """bn1( bn0(h) W(r) ) E^T, with torch's batch norm on the statistics of the batch."""
    scorer, asked = TuckER(3, 2, 0.0, 0.0, 0.0), vectors(queries=8)
    before, after = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    query = after(torch.einsum("bi,bk,kij->bj", before(asked.head), asked.relation, scorer.core))
    assert_close(scorer(asked), query @ asked.tail[0].t())
    scorer, before, after = scorer.eval(), before.eval(), after.eval()
    query = after(torch.einsum("bi,bk,kij->bj", before(asked.head), asked.relation, scorer.core))
    assert_close(scorer(asked), query @ asked.tail[0].t())


def test_each_dropout_stands_in_its_place() -> None:
    """A rate of 1 leaves the bias of what comes behind it: nothing of the head, of the matrix, of the query."""
    asked = vectors()
    for rates in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)):
        scorer = TuckER(3, 2, *rates)
        nn.init.constant_(scorer.after[0].bias, 2.0)
        left = 0.0 if rates[2] else 2.0
        assert_close(scorer.query(asked.head, asked.relation), torch.full((4, 3), left))
    scorer = TuckER(3, 2, 0.0, 0.5, 0.0, batch_norm=False)
    nn.init.ones_(scorer.core)
    rows = scorer.query(torch.ones(4, 3), torch.ones(4, 2))  # entries of W(r): 0 or 2 / 0.5; a mask a query
    assert set((rows / 4).flatten().tolist()) <= {0.0, 1.0, 2.0, 3.0}
    assert len(rows.unique(dim=0)) > 1


def test_a_superdiagonal_core_is_distmult() -> None:
    scorer, asked = TuckER(3, batch_norm=False).eval(), vectors(relation_dim=3)
    superdiagonal = torch.zeros(3, 3, 3)
    superdiagonal[range(3), range(3), range(3)] = 1
    scorer.core = nn.Parameter(superdiagonal)
    assert_close(scorer(asked), DistMult(3)(asked))


def test_published_number_of_parameters() -> None:
    """FB15k-237 with 474 relations: 14,541 d + 474 d_r + d_r d^2, and two batch norms."""
    scorer = TuckER(200, 200)
    facts = torch.tensor([[0, 0, 14540], [1, 236, 2]])
    model = Model(Table(KnowledgeGraph(facts, 14541, 237), scorer.space), scorer)
    assert sum(p.numel() for p in model.parameters()) == 11_003_800


def test_initial_values() -> None:
    scorer = TuckER(20, 10)
    entity, relation = torch.empty(3000, 20), torch.empty(500, 10)
    scorer.space.init(entity, relation)

    def std(table: Tensor) -> Tensor:
        return torch.tensor((2 / sum(table.shape)) ** 0.5)

    assert_close(entity.std(), std(entity), rtol=0.03, atol=0)
    assert_close(relation.std(), std(relation), rtol=0.05, atol=0)
    assert scorer.core.abs().max() <= 1
    assert_close(scorer.core.std(), torch.tensor(3**-0.5), rtol=0.05, atol=0)


def test_as_it_ranks_it_is_affine_in_the_head() -> None:
    """Its gradient is the same at every head: denoising has a closed form there."""
    scorer, asked = settled(TuckER(3, 2)), vectors()

    def slope(head: Tensor) -> Tensor:
        head = head.requires_grad_()
        return torch.autograd.grad(scorer(asked.replace(head=head)).sum(), head)[0]

    assert_close(slope(torch.randn(4, 3)), slope(torch.randn(4, 3)))
