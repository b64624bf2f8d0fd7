from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.testing import assert_close

from gnnkg.core import EVERY_ENTITY, Batch, Labels, Model
from gnnkg.data.queries import Queries
from gnnkg.encoders import Table
from gnnkg.graph import KnowledgeGraph
from gnnkg.losses import CrossEntropy
from gnnkg.samplers import AllEntities
from gnnkg.scorers import DistMult
from gnnkg.transforms import EMU


def known_tails(batch: Batch) -> torch.Tensor:
    """(B, N) by a plain loop over the facts."""
    graph = batch.graph
    known = torch.zeros(len(batch.head), graph.num_entities, dtype=torch.bool)
    for b, (head, relation) in enumerate(zip(batch.head.tolist(), batch.relation.tolist(), strict=True)):
        for h, r, t in graph.facts.tolist():
            if (h, r) == (head, relation):
                known[b, t] = True
            if (t, r + graph.num_relations) == (head, relation):
                known[b, h] = True
    return known


def sampled(graph: KnowledgeGraph, **arguments: Any) -> tuple[Batch, Labels]:
    batch = Queries(20).of(graph, seed=0)[0]
    candidates, labels = AllEntities(**arguments)(batch)
    assert candidates == EVERY_ENTITY
    assert torch.equal(labels.truth, batch.tail)
    return batch, labels


def test_one_vs_all(graph: KnowledgeGraph) -> None:
    batch, labels = sampled(graph)
    assert labels.mask is None
    assert torch.equal(labels.value, torch.nn.functional.one_hot(batch.tail, graph.num_entities).float())


def test_one_vs_all_filtered(graph: KnowledgeGraph) -> None:
    """Other known tails do not take part."""
    batch, labels = sampled(graph, filtered=True)
    own = torch.nn.functional.one_hot(batch.tail, graph.num_entities).bool()
    assert torch.equal(labels.mask, ~known_tails(batch) | own)
    assert torch.equal(labels.value, own.float())


def test_k_vs_all(graph: KnowledgeGraph) -> None:
    batch, labels = sampled(graph, true="all")
    assert labels.mask is None
    assert torch.equal(labels.value, known_tails(batch).float())


@pytest.mark.parametrize(("term", "added"), [("standard", 0.1 / 13), ("code", 1 / 13)])
@pytest.mark.parametrize("true", ["own", "all"])
def test_smoothing(graph: KnowledgeGraph, true: Any, term: Any, added: float) -> None:
    _, plain = sampled(graph, true=true)
    _, smooth = sampled(graph, true=true, smoothing=0.1, smoothing_term=term)
    assert_close(smooth.value, 0.9 * plain.value + added)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"true": "all", "filtered": True}, "nothing left to filter"),
        ({"smoothing": 1.0}, "not 1.0"),
        ({"smoothing": -0.1}, "not -0.1"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AllEntities(**arguments)


@pytest.mark.parametrize("arguments", [{}, {"filtered": True}, {"true": "all"}, {"smoothing": 0.1}])
def test_the_own_tail_apart(graph: KnowledgeGraph, arguments: dict[str, Any]) -> None:
    """The same labels, with the own tail in front and no longer among the others; the loss is the same."""
    batch, plain = sampled(graph, **arguments)
    candidates, labels = AllEntities(**arguments, apart=True)(batch)
    assert candidates.table is None
    assert torch.equal(candidates.own, batch.tail)
    row = torch.arange(len(batch.tail))
    assert torch.equal(labels.value[:, 0], plain.value[row, batch.tail])
    assert torch.equal(labels.value[:, 1:], plain.value.index_put((row, batch.tail), torch.tensor(0.0)))
    assert labels.mask is not None
    before = torch.ones_like(plain.value, dtype=torch.bool) if plain.mask is None else plain.mask.clone()
    before[row, batch.tail] = False
    assert labels.mask[:, 0].all()
    assert torch.equal(labels.mask[:, 1:], before)
    scores = torch.randn(len(row), graph.num_entities)
    apart = torch.cat([scores[row, batch.tail].unsqueeze(1), scores], 1)
    assert_close(CrossEntropy()(apart, labels), CrossEntropy()(scores, plain))


def test_emu_for_one_vs_all(graph: KnowledgeGraph) -> None:
    """Every other entity is mutated towards the own tail: what one shared table of all entities gives."""
    scorer = DistMult(6)
    model = Model(Table(graph, scorer.space), scorer)
    batch = Queries(20).of(graph, seed=0)[0]
    candidates, labels = AllEntities(apart=True)(batch)
    vectors = model.encoder(graph)(batch.head, batch.relation, candidates)
    vectors, labels = EMU(keep=0.5, label=0.1)(scorer, vectors, labels)
    assert vectors.mix is not None
    keep, entity = vectors.mix.keep, model.encoder.entity
    mutated = keep[:, None] * entity + (1 - keep[:, None]) * entity[batch.tail][:, None]
    expected = torch.einsum("bd,bnd->bn", scorer.query(vectors.head, vectors.relation), mutated)
    assert_close(scorer(vectors)[:, 1:], expected)
    assert labels.mask is not None
    assert not labels.mask[torch.arange(20), 1 + batch.tail].any()
