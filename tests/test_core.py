"""The types that pass between the parts, and the model and objective that join them."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from gnnkg.core import Batch, Candidates, Labels, Lookup, Model, Objective, Scorer, Vectors
from gnnkg.data.queries import Queries
from gnnkg.encoders import Table
from gnnkg.graph import KnowledgeGraph
from gnnkg.losses import CrossEntropy
from gnnkg.ops.matching import Gathered, Mix
from gnnkg.samplers import AllEntities, Uniform
from gnnkg.scorers import ComplEx, DistMult
from gnnkg.terms import L2, N3, Ranking
from gnnkg.transforms import EMU


def labels(truth: Tensor, columns: int) -> Labels:
    value = torch.nn.functional.one_hot(truth, columns).float()
    return Labels(value, None, truth, torch.ones(len(truth)))


def distmult(graph: KnowledgeGraph) -> Model:
    scorer = DistMult(4)
    return Model(Table(graph, scorer.space), scorer)


def test_truth_is_read_from_the_table_that_serves_the_query() -> None:
    vectors = Vectors(torch.zeros(6, 2), torch.zeros(6, 2), torch.arange(24.0).view(3, 4, 2))
    truth = torch.tensor([0, 1, 2, 3, 0, 3])
    assert vectors.truth(labels(truth, 4))[:, 0].tolist() == [0, 2, 12, 14, 16, 22]


def test_truth_is_the_own_tail_where_there_is_one() -> None:
    own = torch.randn(6, 2)
    vectors = Vectors(torch.zeros(6, 2), torch.zeros(6, 2), torch.zeros(3, 4, 2), own)
    assert vectors.truth(labels(torch.zeros(6, dtype=torch.int64), 5)) is own


def test_replace_leaves_the_rest() -> None:
    vectors = Vectors(torch.zeros(6, 2), torch.zeros(6, 2), torch.zeros(3, 4, 2))
    changed = vectors.replace(head=torch.ones(6, 2))
    assert changed.head.sum() == 12
    assert changed.tail is vectors.tail
    assert vectors.head.sum() == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: Vectors(torch.zeros(6, 2), torch.zeros(5, 2), torch.zeros(3, 4, 2)),
        lambda: Vectors(torch.zeros(6, 2), torch.zeros(6, 2), torch.zeros(3, 4, 3)),
        lambda: Labels(torch.zeros(6, 2), torch.zeros(6, 3).bool(), torch.zeros(6).long(), torch.zeros(6)),
        lambda: Labels(torch.zeros(6, 2), torch.zeros(6, 2), torch.zeros(6).long(), torch.zeros(6)),
        lambda: DistMult(2).query(torch.zeros(6, 2), torch.zeros(5, 2)),
        lambda: DistMult(2)(Vectors(torch.zeros(6, 2), torch.zeros(6, 2), torch.zeros(3, 4, 2).long())),
    ],
)
def test_shapes_and_types_are_executed(make) -> None:
    """The suite runs under jaxtyping: a shape that a signature forbids is refused where it enters."""
    with pytest.raises(TypeError, match="Type-check error"):
        make()


def test_model_scores_every_entity(graph: KnowledgeGraph) -> None:
    model = distmult(graph)
    head, relation = torch.tensor([3, 0]), torch.tensor([5, 1])
    expected = (model.encoder.entity[head] * model.encoder.relation[relation]) @ model.encoder.entity.T
    assert_close(model(graph, head, relation), expected)
    chosen = Candidates(torch.tensor([[4, 2, 2]]), own=torch.tensor([9, 1]))
    expected = torch.stack([expected[0, [9, 4, 2, 2]], expected[1, [1, 4, 2, 2]]])
    assert_close(model(graph, head, relation, chosen), expected)


def test_models_can_be_copied_and_restored(graph: KnowledgeGraph) -> None:
    model, other = distmult(graph), distmult(graph)
    head, relation = torch.tensor([3, 0]), torch.tensor([5, 1])
    scores = model(graph, head, relation)
    assert not torch.equal(other(graph, head, relation), scores)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(graph, head, relation), scores)
    assert torch.equal(copy.deepcopy(model)(graph, head, relation), scores)


class Counted(Uniform):
    draws = 0

    def __call__(self, batch: Batch) -> tuple[Candidates, Labels]:
        self.draws += 1
        return super().__call__(batch)


@pytest.mark.parametrize(("redraw", "draws"), [(False, 1), (True, 3)])
def test_terms_share_one_draw_or_see_one_each(graph: KnowledgeGraph, redraw: bool, draws: int) -> None:
    sampler, seen = Counted(5), []

    def term(scorer: Scorer, vectors: Vectors, labels: Labels) -> Tensor:
        seen.append(vectors)
        return scorer(vectors).sum()

    losses = Objective(sampler, {"a": term, "b": term, "c": term}, redraw)(distmult(graph), Queries(6).of(graph, 0)[0])
    assert list(losses) == ["a", "b", "c"]
    assert sampler.draws == draws
    assert (seen[0] is seen[1]) != redraw
    assert torch.equal(losses["a"], losses["b"]) != redraw


def test_terms_of_one_draw_are_scored_in_one_pass(graph: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain term beside a mutated one: the losses of both as if each had scored by itself."""
    model, batch = distmult(graph), Queries(6).of(graph, 0)[0]
    plain, emu = Ranking(CrossEntropy()), Ranking(CrossEntropy(), transform=EMU(num_masks=2))
    calls = []
    both = DistMult.match_both
    monkeypatch.setattr(DistMult, "match_both", lambda self, *given: calls.append(1) or both(self, *given))

    def losses(*terms: Ranking) -> list[Tensor]:
        torch.manual_seed(0)
        return list(
            Objective(Uniform(5), {str(number): term for number, term in enumerate(terms)})(model, batch).values()
        )

    together = losses(plain, emu, plain)
    assert len(calls) == 1
    assert_close(together, [*losses(plain), *losses(emu), *losses(plain)])
    assert len(calls) == 1


def mixed_vectors() -> list[Vectors]:
    """Drawn, and mutated."""
    plain = Vectors(torch.randn(6, 4), torch.randn(6, 4), torch.randn(1, 5, 4), torch.randn(6, 4))
    assert plain.own is not None
    return [plain, plain.replace(mix=Mix(plain.own, torch.randint(2, (2, 4)).float()))]


class Shifted(DistMult):
    def match(self, query: Tensor, tail: Tensor, mix: Mix | None = None) -> Tensor:
        return super().match(query, tail, mix) + 3


class Doubled(DistMult):
    def forward(self, vectors: Vectors) -> Tensor:
        return 2 * super().forward(vectors)


class Halving:
    """A part that scorers are mixed from."""

    def match(self, query: Tensor, tail: Tensor, mix: Mix | None = None) -> Tensor:
        return super().match(query, tail, mix) / 2  # type: ignore[misc]


class Halved(Halving, DistMult):
    pass


class Both(DistMult):
    def match_both(self, query: Tensor, tail: Tensor, mix: Mix) -> tuple[Tensor, Tensor]:
        return (query.unsqueeze(1) * tail).sum(2), self.match(query, tail, mix)


OWN = [Shifted, Doubled, Halved, Both, DistMult]


@pytest.mark.parametrize("make", OWN)
@pytest.mark.parametrize("hooked", [False, True])
def test_scorers_of_ones_own_score_both_as_they_score_each(make: type[DistMult], hooked: bool) -> None:
    scorer, versions = make(4), mixed_vectors()
    if hooked:
        scorer.register_forward_hook(lambda _module, _given, scores: scores / 2)
    assert_close(scorer.each(versions), [scorer(version) for version in versions])


@pytest.mark.parametrize("make", OWN)
def test_scorers_of_ones_own_score_rows_as_they_score_candidates(make: type[DistMult]) -> None:
    vectors = Vectors(torch.randn(6, 4), torch.randn(6, 4), Gathered(torch.randn(9, 4), torch.randint(9, (6, 3))))
    assert_close(make(4)(vectors), make(4)(vectors.replace(candidates=vectors.tail)))


@pytest.mark.parametrize("make", OWN)
def test_scorers_of_ones_own_score_both_of_rows(make: type[DistMult]) -> None:
    rows = Gathered(torch.randn(9, 4), torch.randint(9, (6, 3)))
    plain = Vectors(torch.randn(6, 4), torch.randn(6, 4), rows, torch.randn(6, 4))
    assert plain.own is not None
    scorer, versions = make(4), [plain, plain.replace(mix=Mix(plain.own, torch.randint(2, (6, 4)).float()))]
    stored = [each.replace(candidates=rows.read()) for each in versions]
    assert_close(scorer.each(versions), [scorer(each) for each in stored])


def test_where_own_tails_stand_is_forgotten_with_them() -> None:
    """What is replaced is no row of the table any more."""
    rows = Gathered(torch.randn(9, 4), torch.randint(9, (6, 3)))
    vectors = Vectors(torch.randn(6, 4), torch.randn(6, 4), rows, torch.randn(6, 4), own_row=torch.arange(6))
    assert vectors.replace(head=vectors.relation).own_row is vectors.own_row
    assert vectors.replace(own=vectors.head).own_row is None
    assert vectors.replace(candidates=vectors.tail).own_row is None
    for each in (vectors, vectors.replace(candidates=vectors.tail)):
        few = each.of_columns(torch.tensor([2, 0]))
        assert few.own_row is each.own_row
        assert torch.equal(few.tail, vectors.tail[:, [2, 0]])


class Dearer(Ranking):
    def forward(self, scorer: Scorer, vectors: Vectors, labels: Labels) -> Tensor:
        return super().forward(scorer, vectors, labels) + 100


@pytest.mark.parametrize("redraw", [False, True])
def test_terms_of_ones_own_are_called(graph: KnowledgeGraph, redraw: bool) -> None:
    torch.manual_seed(0)
    terms = {"plain": Ranking(CrossEntropy()), "dearer": Dearer(CrossEntropy())}
    losses = Objective(Uniform(5), terms, redraw)(distmult(graph), Queries(6).of(graph, 0)[0])
    assert losses["dearer"] > 100 > losses["plain"]
    if not redraw:
        assert_close(losses["dearer"], losses["plain"] + 100)


def test_random_terms_draw_in_the_order_in_which_they_are_named(graph: KnowledgeGraph) -> None:
    def drawn(scorer: Scorer, vectors: Vectors, labels: Labels) -> Tensor:
        return torch.rand(())

    model, batch = distmult(graph), Queries(6).of(graph, 0)[0]
    emu = Ranking(CrossEntropy(), transform=EMU())
    found = []
    for terms in ({"drawn": drawn, "emu": emu}, {"emu": emu, "drawn": drawn}):
        torch.manual_seed(0)
        losses = Objective(Uniform(5), terms)(model, batch)
        assert list(losses) == list(terms)
        found.append(losses["drawn"])
    torch.manual_seed(0)
    Uniform(5)(batch)
    assert found[0] == torch.rand(())
    assert found[0] != found[1]


def test_the_graph_is_encoded_once_a_step(graph: KnowledgeGraph) -> None:
    model, calls = distmult(graph), []
    model.encoder.register_forward_hook(lambda *_: calls.append(1))
    terms = {"a": Ranking(CrossEntropy()), "b": L2(0.1)}
    Objective(Uniform(5), terms, redraw=True)(model, Queries(6).of(graph, 0)[0])
    assert len(calls) == 1


def test_an_objective_without_terms_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one term"):
        Objective(Uniform(5), {})


def test_a_loss_in_the_place_of_a_term_is_told_from_one() -> None:
    for loss in (CrossEntropy(), torch.nn.MSELoss()):
        with pytest.raises(TypeError, match=r"the term 'plain' is .*A loss, .* stands inside of one: Ranking"):
            Objective(AllEntities(), {"plain": loss})  # type: ignore[dict-item]


def test_a_lookup_is_what_encoders_give(graph: KnowledgeGraph) -> None:
    assert isinstance(distmult(graph).encoder(graph), Lookup)


def test_ranking_counts_queries_by_their_weight(graph: KnowledgeGraph) -> None:
    model = distmult(graph)
    batch = Queries(6, subsampling=True).of(graph, 0)[0]
    vectors = model.encoder(graph)(batch.head, batch.relation)
    labelled = AllEntities()(batch)[1]
    each = CrossEntropy()(model.scorer(vectors), labelled)
    expected = (each * batch.weight).sum() / batch.weight.sum()
    assert_close(Ranking(CrossEntropy(), weight=0.3)(model.scorer, vectors, labelled), 0.3 * expected)
    share = 0.3 / (graph.num_entities - 1)
    assert_close(Ranking(CrossEntropy(), 0.3, per_negative=True)(model.scorer, vectors, labelled), share * expected)


def test_penalties_against_plain_sums(graph: KnowledgeGraph) -> None:
    """Means over the batch's facts; N3 measures complex moduli; the relation may have a weight of its own."""
    scorer = ComplEx(3)
    head, relation, tail = torch.randn(4, 6), torch.randn(4, 6), torch.randn(1, 5, 6)
    truth = torch.tensor([1, 0, 4, 4])
    own = tail[0, truth]

    def moduli(x: Tensor) -> Tensor:
        return torch.view_as_complex(torch.stack(x.chunk(2, 1), -1).contiguous()).abs()

    given = scorer, Vectors(head, relation, tail), labels(truth, 5)
    cubes = [moduli(x).pow(3).sum() / 4 for x in (head, relation, own)]
    assert_close(N3(0.1)(*given), 0.1 * sum(cubes))
    assert_close(N3(0.1, relation_weight=0.5)(*given), 0.1 * (cubes[0] + cubes[2]) + 0.5 * cubes[1])
    assert_close(N3(0.1, relation_weight=0.0)(*given), 0.1 * (cubes[0] + cubes[2]))
    squares = [x.square().sum() / 4 for x in (head, relation, own)]
    assert_close(L2(0.1)(*given), 0.1 * sum(squares))


class Watching(torch.nn.Module):
    """A sampler that asks the model, keeps a count, and notes the epochs that it is told of; also a transform."""

    def __init__(self) -> None:
        super().__init__()
        self.uniform = Uniform(num_negatives=3)
        self.register_buffer("draws", torch.zeros((), dtype=torch.int64))
        self.epochs: list[int] = []

    def forward(self, batch: Batch) -> tuple[Candidates, Labels]:
        assert batch.score is not None
        candidates, labels = self.uniform(batch)
        self.draws += 1
        self.scores, self.candidates = batch.score(candidates), candidates
        return candidates, labels

    def before_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)


def test_samplers_may_ask_the_model(graph: KnowledgeGraph) -> None:
    model, sampler = distmult(graph), Watching()
    batch = next(iter(Queries(4).of(graph, seed=0)))
    Objective(sampler, {"plain": Ranking(CrossEntropy())})(model, batch)
    assert_close(sampler.scores, model(graph, batch.head, batch.relation, sampler.candidates))
    assert not sampler.scores.requires_grad


def test_a_samplers_state_is_saved_with_the_objective(graph: KnowledgeGraph) -> None:
    objective = Objective(Watching(), {"plain": Ranking(CrossEntropy())})
    objective(distmult(graph), next(iter(Queries(4).of(graph, seed=0))))
    again = Objective(Watching(), {"plain": Ranking(CrossEntropy())})
    again.load_state_dict(objective.state_dict())
    assert again.sampler.draws == 1


def test_epochs_are_told_to_samplers_terms_and_transforms() -> None:
    sampler, transform = Watching(), Watching()
    objective = Objective(sampler, {"plain": Ranking(CrossEntropy(), transform=transform), "n3": N3(0.1)})
    for epoch in (0, 1):
        objective.before_epoch(epoch)
    assert sampler.epochs == transform.epochs == [0, 1]
