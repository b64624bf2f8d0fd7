"""Beam search and closed form against facts, against exhaustive search, and against link prediction."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import pytest
import torch
from torch import Tensor

from gnnkg import Model, encoders
from gnnkg.core import Scorer
from gnnkg.data.dataset import Dataset
from gnnkg.data.multihop import STRUCTURES, Anchor, Hop, Intersection, Query, Union, answers, sample_queries
from gnnkg.data.multihop.query import anchors, mapped, relations
from gnnkg.evaluation.multihop import Beam, Chain, Links, Perturbed, QueryBatch
from gnnkg.scorers import MLP, DistMult, HousE, RotatE, TransE
from gnnkg.scorers.householder import apply, undone, unit
from tests.contracts import discovered
from tests.evaluation.toys import PerQuery, given
from tests.random_data import random_dataset

every_structure = pytest.mark.parametrize("structure", STRUCTURES)
every_logic = pytest.mark.parametrize("logic", ["product", "min"])
every_scale = pytest.mark.parametrize("scale", ["softmax", "sigmoid", "minmax"])


def links_of(model: Model, dataset: Dataset, anchored: Callable | None = None, memory: int | None = None) -> Links:
    lookup = model.encoder(dataset.graph)
    return Links(model.scorer, lookup, dataset.graph.num_entities, memory=memory, anchored=anchored)


def random_queries(structure: str, count: int, dataset: Dataset, seed: int = 0) -> list[Query]:
    draw = torch.Generator().manual_seed(seed)
    n, r = dataset.graph.num_entities, dataset.graph.num_relations

    def some(limit: int) -> Callable[[int], int]:
        return lambda _: int(torch.randint(limit, (), generator=draw))

    return [mapped(STRUCTURES[structure], some(n), some(2 * r)) for _ in range(count)]


def perfect(dataset: Dataset, encoder: type = PerQuery) -> Model:
    """Scores are the facts: 12 or -12."""
    n, r = dataset.graph.num_entities, dataset.graph.num_relations
    everyone = torch.arange(n)
    holds = dataset.known().holds(everyone.view(-1, 1, 1), torch.arange(2 * r).view(1, -1, 1), everyone.view(1, 1, -1))
    return given(holds.float() * 24 - 12, encoder)


@every_structure
@every_logic
@pytest.mark.parametrize("scale", ["sigmoid", "minmax"])
def test_a_perfect_model_answers_as_the_facts_do(structure, logic, scale, dataset):
    queries = [*sample_queries(dataset, [structure], 8)[structure].queries, *random_queries(structure, 8, dataset)]
    with torch.no_grad():
        found = Beam(scale, logic)(links_of(perfect(dataset), dataset), QueryBatch.of(queries)).degree
    for query, degree in zip(queries, found.exp(), strict=True):
        if scale == "minmax" and not all(len(answers(part, dataset.known())) for part in hops(query)):
            continue  # where a hop has no answer at all, the best of nothing counts as 1
        assert (degree > 0.5).nonzero().flatten().tolist() == answers(query, dataset.known()).tolist()


def hops(query: Query) -> list[Query]:
    """Single hops from each entity that a query may pass."""
    if isinstance(query, Anchor):
        return []
    if isinstance(query, Hop):
        return [*hops(query.source), *(Hop(Anchor(entity), query.relation) for entity in range(13))]
    return [each for part in query.parts for each in hops(part)]


def exhaustive(query: Query, link: Tensor, logic: str) -> Tensor:
    """The degree of each entity by the definition, no beam; ``link`` (N, 2R, N) in [0, 1]. Unions at the top or in an only hop."""
    t_norm = torch.mul if logic == "product" else torch.minimum
    co_norm = (lambda a, b: a + b - a * b) if logic == "product" else torch.maximum
    if isinstance(query, Hop):
        if isinstance(query.source, Union):  # disjunctive normal form
            parts = [exhaustive(Hop(part, query.relation), link, logic) for part in query.source.parts]
            return reduce(co_norm, parts)
        if isinstance(query.source, Anchor):
            return link[query.source.entity, query.relation]
        source = exhaustive(query.source, link, logic)
        return t_norm(source.unsqueeze(1), link[:, query.relation]).amax(0)
    assert isinstance(query, Intersection | Union)
    parts = [exhaustive(part, link, logic) for part in query.parts]
    return reduce(t_norm if isinstance(query, Intersection) else co_norm, parts)


@every_structure
@every_logic
@every_scale
def test_a_beam_of_all_entities_is_the_exhaustive_search(structure, logic, scale, dataset):
    n, r = dataset.graph.num_entities, dataset.graph.num_relations
    scores = 3 * torch.randn(n, 2 * r, n)
    low, high = scores.amin(2, keepdim=True), scores.amax(2, keepdim=True)
    link = {"softmax": scores.softmax(2), "sigmoid": scores.sigmoid(), "minmax": (scores - low) / (high - low)}[scale]
    queries = random_queries(structure, 6, dataset)
    found = Beam(scale, logic, size=n)(links_of(given(scores), dataset), QueryBatch.of(queries)).degree
    expected = torch.stack([exhaustive(query, link, logic) for query in queries])
    assert torch.allclose(found.exp().float(), expected, atol=1e-5)


@every_structure
def test_neither_company_nor_memory_changes_a_degree(structure):
    dataset = random_dataset(num_entities=40)
    torch.manual_seed(1)
    model = Model(encoders.Table(dataset.graph, (scorer := DistMult(dim=8)).space), scorer)
    queries = random_queries(structure, 7, dataset)
    for executor in (Beam(size=16), Beam(size=3)):
        with torch.no_grad():
            together = executor(links_of(model, dataset), QueryBatch.of(queries)).degree
            tight = executor(links_of(model, dataset, memory=1), QueryBatch.of(queries)).degree
            alone = [executor(links_of(model, dataset), QueryBatch.of([query])).degree for query in queries]
        assert torch.equal(together, tight)
        assert torch.equal(together, torch.cat(alone))


def test_a_narrow_beam_keeps_the_best_and_says_through_whom():
    """0 -> 1 (0.9) -> 3 (0.5), 0 -> 2 (0.6) -> 3 (0.9): of all ways the second is the best, of a beam of one the first is left."""
    scores = torch.full((4, 2, 4), -20.0)
    for head, tail, degree in ((0, 1, 0.9), (0, 2, 0.6), (1, 3, 0.5), (2, 3, 0.9)):
        scores[head, 0, tail] = torch.tensor(degree).logit()
    dataset = random_dataset(num_entities=4, num_relations=1, num_facts=8)
    batch = QueryBatch.of([Hop(Hop(Anchor(0), 0), 0)])
    for size, degree, through in ((4, 0.54, 2), (1, 0.45, 1)):
        found = Beam("sigmoid", size=size)(links_of(given(scores), dataset), batch)
        assert found.degree[0, 3].exp().item() == pytest.approx(degree, abs=1e-5)
        assert found.through is not None
        assert found.through[0, 3] == through


SHALLOW = [
    TransE(dim=6),
    TransE(dim=6, p=2),
    RotatE(dim=3),
    HousE(dim=6, house_dim=3),
    DistMult(dim=6),
    MLP(dim=6, hidden_dim=4),
]


@pytest.mark.parametrize("scorer", SHALLOW, ids=lambda scorer: type(scorer).__name__)
@pytest.mark.parametrize("inverse", ["tied", "learned"])
@every_scale
def test_both_executors_rank_a_single_hop_as_link_prediction_does(scorer, inverse, scale, dataset):
    if inverse == "tied" and scorer.space.inverse is None:
        pytest.skip("its inverses are learned")
    model = Model(encoders.Table(dataset.graph, scorer.space, inverse), scorer)
    queries = random_queries("1p", 16, dataset)
    head = torch.tensor([anchors(query)[0] for query in queries])
    relation = torch.tensor([relations(query)[0] for query in queries])
    with torch.no_grad():
        scores = model(dataset.graph, head, relation)
        executors = [Beam(scale), *([Chain(scale)] if scorer.chains else [])]
        for executor in executors:
            degree = executor(links_of(model, dataset), QueryBatch.of(queries)).degree
            above = (scores.unsqueeze(1) > scores.unsqueeze(2)).sum(2)  # how many are above each
            equal = (scores.unsqueeze(1) == scores.unsqueeze(2)).sum(2)
            assert torch.equal((degree.unsqueeze(1) > degree.unsqueeze(2)).sum(2), above)
            assert torch.equal((degree.unsqueeze(1) == degree.unsqueeze(2)).sum(2), equal)


@pytest.mark.parametrize("make", discovered.scorers)
def test_a_scorer_that_chains_walks_there_and_back(make):
    """Its place is an entity's that matches best, and the inverse relation leads from there to the head again."""
    scorer: Scorer = make()
    torch.manual_seed(0)
    head, relation = torch.randn(5, scorer.space.entity_dim), torch.randn(5, scorer.space.relation_dim)
    query = scorer.query(head, relation)
    if not scorer.chains:
        with pytest.raises(ValueError, match=type(scorer).__name__):
            scorer.place(query)
        return
    there = scorer.place(query)
    assert there.shape == head.shape
    assert scorer.match(query, there.unsqueeze(0)).argmax(1).tolist() == list(range(5))
    around = there.unsqueeze(1) + 0.1 * torch.randn(5, 20, there.shape[1])
    assert (scorer.match(query, around) < scorer.match(query, there.unsqueeze(1))).all()
    if scorer.space.inverse is not None:
        back = scorer.place(scorer.query(there, scorer.space.inverse(relation)))
        assert torch.allclose(back, head, atol=1e-3)


def test_projected_parts_of_a_chain_are_zero():
    """A share of 1 takes away what it cannot bring back; any other comes back."""
    units = unit(torch.randn(3, 2, 2, 4))
    x, shares = torch.randn(3, 2, 4), torch.tensor([1.0, -0.7]).expand(3, 2, 2)
    there = apply(x, units, shares)
    again = apply(undone(there, units, shares), units, shares)
    assert torch.allclose(again, there, atol=1e-5)
    shares = torch.tensor([0.6, -0.7]).expand(3, 2, 2)
    assert torch.allclose(undone(apply(x, units, shares), units, shares), x, atol=1e-5)


def test_a_chain_of_translations_and_one_of_rotations_by_hand(dataset):
    query, batch = Hop(Hop(Anchor(1), 2), 3), None
    for scorer in (TransE(dim=4), RotatE(dim=2)):
        table = encoders.Table(dataset.graph, scorer.space)
        batch = QueryBatch.of([query])
        with torch.no_grad():
            found = Chain("sigmoid")(links_of(Model(table, scorer), dataset), batch).degree[0]
            if isinstance(scorer, TransE):
                target = table.entity[1] + table.relation[2] + table.relation[3]
                expected = scorer.gamma - (target - table.entity).abs().sum(1)
            else:
                turn = torch.polar(torch.ones(2), (table.relation[2] + table.relation[3]) * scorer.radians)
                start, everyone = torch.complex(*table.entity[1].chunk(2)), torch.complex(*table.entity.chunk(2, dim=1))
                expected = scorer.gamma - (start * turn - everyone).abs().sum(1)
        assert torch.allclose(found.exp().float(), expected.sigmoid(), atol=1e-5)


@every_logic
def test_closed_form_combines_parts_by_logic_and_goes_on_from_their_mean(logic, dataset):
    scorer = TransE(dim=4)
    table = encoders.Table(dataset.graph, scorer.space)
    entity, relation = table.entity.detach(), table.relation.detach()
    links = links_of(Model(table, scorer), dataset)
    one, other = entity[1] + relation[2], entity[4] + relation[3]

    def degree(target: Tensor) -> Tensor:
        return (scorer.gamma - (target - entity).abs().sum(1)).sigmoid()

    def chained(structure: str) -> Tensor:
        names = [1, 4], [2, 3, 5]
        query = mapped(STRUCTURES[structure], names[0].__getitem__, names[1].__getitem__)
        with torch.no_grad():
            return Chain("sigmoid", logic)(links, QueryBatch.of([query])).degree[0].exp().float()

    a, b = degree(one), degree(other)
    assert torch.allclose(chained("2i"), a * b if logic == "product" else torch.minimum(a, b), atol=1e-5)
    assert torch.allclose(chained("2u"), a + b - a * b if logic == "product" else torch.maximum(a, b), atol=1e-5)
    assert torch.allclose(chained("ip"), degree((one + other) / 2 + relation[5]), atol=1e-5)
    c, d = degree(one + relation[5]), degree(other + relation[5])
    assert torch.allclose(chained("up"), c + d - c * d if logic == "product" else torch.maximum(c, d), atol=1e-5)


def test_only_the_first_hop_from_an_anchor_reads_a_moved_vector(dataset):
    scorer = TransE(dim=4)
    table = encoders.Table(dataset.graph, scorer.space)
    model = Model(table, scorer)
    lookup = model.encoder(dataset.graph)
    moved = Perturbed(scorer, lookup, alpha=2.0, seed=7)
    batch = QueryBatch.of([Hop(Hop(Anchor(1), 2), 3)])
    n = dataset.graph.num_entities
    with torch.no_grad():
        found = Beam("sigmoid", size=n)(links_of(model, dataset, moved), batch).degree[0].exp().float()
        entity, relation = table.entity, table.relation
        first = scorer.match((entity[1] + moved.shift[1] + relation[2]).unsqueeze(0), entity.unsqueeze(0))[0].sigmoid()
        links = scorer.match(entity + relation[3], entity.unsqueeze(0)).sigmoid()
        assert torch.allclose(found, (first.unsqueeze(1) * links).amax(0), atol=1e-5)
        chained = Chain("sigmoid")(links_of(model, dataset, moved), batch).degree[0].exp().float()
        target = entity[1] + moved.shift[1] + relation[2] + relation[3]
        assert torch.allclose(chained, scorer.match(target.unsqueeze(0), entity.unsqueeze(0))[0].sigmoid(), atol=1e-5)


def test_noise_has_its_size_and_its_seed(dataset):
    scorer = TransE(dim=64)
    lookup = encoders.Table(dataset.graph, scorer.space)(dataset.graph)
    moved = Perturbed(scorer, lookup, alpha=2.0, seed=1)
    assert moved.shift.std().item() == pytest.approx(2 * moved.sigma, rel=0.1)
    assert torch.equal(moved.shift, Perturbed(scorer, lookup, alpha=2.0, seed=1).shift)
    assert not torch.equal(moved.shift, Perturbed(scorer, lookup, alpha=2.0, seed=2).shift)
    nothing = MLP(dim=4, reads_head=False)
    with pytest.raises(ValueError, match="MLP does not read the vector of a query's entity"):
        Perturbed(nothing, lookup, alpha=1.0)


def test_what_cannot_be_answered_is_said(dataset):
    scorer = DistMult(dim=4)
    links = links_of(Model(encoders.Table(dataset.graph, scorer.space), scorer), dataset)
    batch = QueryBatch.of([Hop(Anchor(0), 0)])
    with pytest.raises(ValueError, match="relations of DistMult are no maps between entity vectors"):
        Chain()(links, batch)
    with pytest.raises(ValueError, match="a query asks for a hop at least"):
        Beam()(links, QueryBatch(Anchor(0), torch.tensor([[0]]), torch.empty(1, 0, dtype=torch.long)))
    with pytest.raises(ValueError, match="a beam keeps at least 1 entity, not 0"):
        Beam(size=0)
    with pytest.raises(ValueError, match="queries of different structures"):
        QueryBatch.of([Hop(Anchor(0), 0), Hop(Hop(Anchor(0), 0), 1)])
    with pytest.raises(ValueError, match="needs a query"):
        QueryBatch.of([])
    conditioned = TransE(dim=4)
    network = Model(encoders.NBFNet(dataset.graph, conditioned.space, num_layers=2), conditioned)
    with torch.no_grad(), pytest.raises(ValueError, match="other entity vectors for each query"):
        Chain()(links_of(network, dataset), batch)
    with torch.no_grad():
        assert Beam()(links_of(network, dataset), batch).degree.shape == (1, 13)
