"""Free vectors: which rows are read, and how many numbers are learned."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch.optim import Adagrad
from torch.testing import assert_close

from gnnkg import samplers
from gnnkg.core import Candidates, Model, Objective, Scorer, Space
from gnnkg.data import Dataset
from gnnkg.data.queries import Queries
from gnnkg.encoders import SNAG, Normal, Table, Uniform, XavierNormal
from gnnkg.features import RelationBag
from gnnkg.graph import KnowledgeGraph
from gnnkg.losses import CrossEntropy
from gnnkg.ops.matching import Gathered
from gnnkg.scorers import HAKE, RESCAL, ComplEx, DistMult, RotatE, TransE
from gnnkg.terms import N3, Ranking
from gnnkg.train import fit

NO_FACTS = torch.empty(0, 3, dtype=torch.int64)


@pytest.mark.parametrize(
    ("make_scorer", "inverse", "expected"),
    [
        (lambda: TransE(1000), "tied", 14_778_000),
        (lambda: RotatE(1000), "tied", 29_319_000),
        (lambda: HAKE(1000), "tied", 29_793_002),
        (lambda: DistMult(100), "learned", 1_501_500),
        (lambda: ComplEx(100), "learned", 2 * 1_501_500),
        (lambda: RESCAL(100), "tied", 14_541 * 100 + 237 * 10_000),
    ],
    ids=["TransE", "RotatE", "HAKE", "DistMult", "ComplEx", "RESCAL"],
)
def test_parameter_counts_on_fb15k_237(make_scorer: Any, inverse: Any, expected: int) -> None:
    graph = KnowledgeGraph(NO_FACTS, num_entities=14_541, num_relations=237)
    with torch.device("meta"):
        scorer: Scorer = make_scorer()
        table = Table(graph, scorer.space, inverse)
    assert sum(p.numel() for module in (table, scorer) for p in module.parameters()) == expected


def test_rows(graph: KnowledgeGraph) -> None:
    """Ids are rows: of the head, of the relation and of the candidates, table by table."""
    table = Table(graph, DistMult(4).space)
    head, relation = torch.tensor([3, 0, 3, 12]), torch.tensor([0, 5, 1, 2])
    candidates = Candidates(torch.tensor([[1, 2, 3], [4, 4, 0]]), torch.tensor([7, 8, 9, 10]))
    vectors = table(graph)(head, relation, candidates)
    assert torch.equal(vectors.head, table.entity[head])
    assert torch.equal(vectors.relation, table.relation[relation])
    assert torch.equal(vectors.tail[1, 2], table.entity[0])
    assert torch.equal(vectors.tail[0, 1], table.entity[2])
    assert torch.equal(vectors.own[3], table.entity[10])


def test_candidates_of_each_query_are_not_read_before_they_are_asked_for(graph: KnowledgeGraph) -> None:
    head, relation = torch.tensor([3, 0]), torch.tensor([0, 5])
    candidates = Candidates(torch.randint(9, (2, graph.num_entities)), torch.tensor([7, 8]))
    table = Table(graph, DistMult(4).space)
    vectors = table(graph)(head, relation, candidates)
    assert isinstance(vectors.candidates, Gathered)
    assert vectors.own_row is candidates.own
    assert torch.equal(vectors.tail, table.entity[candidates.table])
    assert torch.equal(vectors.own, table.entity[candidates.own])
    sparse, dropping = Table(graph, DistMult(4).space, sparse=True), Table(graph, DistMult(4).space, entity_dropout=0.5)
    for other in (sparse, dropping):
        assert not isinstance(other(graph)(head, relation, candidates).candidates, Gathered)
    assert isinstance(dropping.eval()(graph)(head, relation, candidates).candidates, Gathered)


@pytest.mark.parametrize(
    "scorer", [TransE(4), ComplEx(4), RotatE(4), HAKE(4), RESCAL(4)], ids=lambda s: type(s).__name__
)
def test_tied_inverses_are_computed(scorer: Scorer, graph: KnowledgeGraph) -> None:
    """r + R reads the row of r through the scorer's inverse: R rows."""
    assert scorer.space.inverse is not None
    table = Table(graph, scorer.space, "tied")
    assert len(table.relation) == graph.num_relations
    base = torch.arange(graph.num_relations)
    both = table(graph)(base.repeat(2), torch.cat([base, base + graph.num_relations])).relation
    assert torch.equal(both[: len(base)], table.relation)
    assert torch.equal(both[len(base) :], scorer.space.inverse(table.relation))


def test_learned_inverses_have_rows_of_their_own(graph: KnowledgeGraph) -> None:
    table = Table(graph, TransE(4).space, "learned")
    assert len(table.relation) == 2 * graph.num_relations
    relation = torch.arange(2 * graph.num_relations)
    assert torch.equal(table(graph)(relation, relation).relation, table.relation)


def test_a_scorer_without_an_inverse_must_learn_it(graph: KnowledgeGraph) -> None:
    space = Space(4, 4, init=Normal())
    with pytest.raises(ValueError, match="inverse='learned'"):
        Table(graph, space, "tied")
    assert len(Table(graph, space, "learned").relation) == 2 * graph.num_relations


def test_tables_of_other_sizes_are_refused(graph: KnowledgeGraph) -> None:
    table = Table(graph, DistMult(4).space)
    with pytest.raises(ValueError, match=r"(?s)13 entities.*14 and 3"):
        table(KnowledgeGraph(graph.facts, 14, graph.num_relations))
    with pytest.raises(ValueError, match=r"(?s)3 relations.*13 and 4"):
        table(KnowledgeGraph(graph.facts, 13, 4))


def test_dropout_scales_what_it_keeps(graph: KnowledgeGraph) -> None:
    """In training a component is 0 or 1 / (1 - p) of its value, entities and relations by rates of their own."""
    table = Table(graph, DistMult(400).space, entity_dropout=0.25, relation_dropout=0.5)
    ids = torch.arange(2 * graph.num_relations)
    vectors = table(graph)(ids, ids)
    for read, rows, rate in ((vectors.head, table.entity[ids], 0.25), (vectors.relation, table.relation, 0.5)):
        kept = read != 0
        assert_close(read[kept], rows[kept] / (1 - rate))
        assert_close(kept.float().mean().item(), 1 - rate, atol=0.05, rtol=0)


@pytest.mark.parametrize(
    ("init", "std"),
    [(Normal(0.001), 0.001), (Uniform(0.3), 0.3 / 3**0.5), (XavierNormal(), (2 / (2000 + 50)) ** 0.5)],
    ids=lambda x: type(x).__name__,
)
def test_init_replaces_the_convention_of_the_scorer(init: Any, std: float) -> None:
    graph = KnowledgeGraph(NO_FACTS, num_entities=2000, num_relations=1000)
    table = Table(graph, DistMult(50).space, init=init)
    for parameter in (table.entity, table.relation):
        assert_close(parameter.std(), torch.tensor(std), rtol=0.02, atol=0)


@pytest.mark.parametrize("fused", [False, True], ids=["table", "SNAG"])
def test_sparse_updates_learn_what_dense_ones_do(dataset: Dataset, fused: bool) -> None:
    """Adagrad leaves rows without a gradient alone, so which of them it visits makes no difference."""
    found = []
    for sparse in (False, True):
        torch.manual_seed(0)
        scorer = DistMult(4)
        table = partial(Table, sparse=sparse)
        encoder = (
            SNAG(dataset.graph, scorer.space, {"bag": RelationBag()}, table)
            if fused
            else table(dataset.graph, scorer.space)
        )
        model = Model(encoder, scorer)
        objective = Objective(samplers.Uniform(3), {"plain": Ranking(CrossEntropy()), "n3": N3(0.1)})
        fit(
            model,
            objective,
            dataset,
            optimizer=partial(Adagrad, lr=0.1),
            queries=Queries(batch_size=4),
            steps=5,
            accelerator="cpu",
            progress=False,
        )
        found.append(model.state_dict())
    for name, value in found[0].items():
        assert_close(found[1][name], value, msg=name)


def test_sparse_updates_refuse_all_entities(dataset: Dataset) -> None:
    scorer = DistMult(4)
    model = Model(Table(dataset.graph, scorer.space, sparse=True), scorer)
    ids = torch.zeros(1, dtype=torch.int64)
    with torch.no_grad():
        assert model.encoder(dataset.graph)(ids, ids).tail.shape[1] == dataset.graph.num_entities
    with pytest.raises(ValueError, match="a sampler that names its candidates"):
        model.encoder(dataset.graph)(ids, ids)
