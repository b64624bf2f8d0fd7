"""Each measure against its definition, in loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from gnnkg.core import Batch, Labels, Model, Objective
from gnnkg.data.queries import Queries
from gnnkg.encoders import Table
from gnnkg.lab.drawn import KINDS, columns_of, drawn_by
from gnnkg.lab.measures import Spread, false_negatives, gradients, hardness, measure, method_term, picture
from gnnkg.losses import CrossEntropy, SelfAdversarial
from gnnkg.samplers import AllEntities, Uniform, WithPositives
from gnnkg.scorers import HAKE, DistMult, RotatE
from gnnkg.terms import N3, Ranking
from gnnkg.transforms import EMU, DeMix
from tests.random_data import random_dataset

DATASET = random_dataset(15, 3, 120)
SCORERS = pytest.mark.parametrize("scorer", [DistMult(4), RotatE(4), HAKE(4)], ids=lambda scorer: type(scorer).__name__)


def model_of(scorer: DistMult | RotatE | HAKE) -> Model:
    return Model(Table(DATASET.graph, scorer.space), scorer).eval()


def demix() -> Objective:
    sampler = WithPositives(Uniform(6, share="query", filtered=True), 4)
    return Objective(sampler, {"plain": Ranking(SelfAdversarial(temperature=0), transform=DeMix()), "n3": N3(0.1)})


def emu() -> Objective:
    terms = {"plain": Ranking(CrossEntropy()), "mutated": Ranking(CrossEntropy(), per_negative=True, transform=EMU())}
    return Objective(Uniform(6), terms)


OBJECTIVES = pytest.mark.parametrize("make", [demix, emu])


def first_batch() -> Batch:
    return next(iter(Queries(8).of(DATASET.graph, seed=0)))


@SCORERS
@OBJECTIVES
def test_stored_columns_score_as_the_loss_sees_them(scorer, make):
    model, batch = model_of(scorer), first_batch()
    for drawn in drawn_by(model, make(), batch).values():
        query = scorer.query(drawn.vectors.head, drawn.vectors.relation)
        assert_close(scorer.match(query, columns_of(scorer, drawn.vectors)), scorer(drawn.vectors))
        truth = drawn.plain.truth(drawn.labels)
        assert_close(truth, model.encoder(DATASET.graph)(batch.tail, batch.relation).head)


def test_what_is_drawn_is_what_training_draws():
    model, objective = model_of(DistMult(4)), demix()
    torch.manual_seed(3)
    losses = objective(model, first_batch())
    torch.manual_seed(3)
    found = drawn_by(model, objective, first_batch())
    assert found.keys() == {"plain"}, "a penalty ranks nothing"
    drawn = found["plain"]
    assert_close(drawn.term.of_scores(model.scorer(drawn.vectors), drawn.labels), losses["plain"])


def test_entities_are_those_of_the_columns():
    model, batch = model_of(DistMult(4)), first_batch()
    (drawn,) = drawn_by(model, demix(), batch).values()
    entity = model.get_parameter("encoder.entity")
    assert_close(entity[drawn.entities], columns_of(model.scorer, drawn.plain))
    known = DATASET.graph.known.holds(batch.head[:, None], batch.relation[:, None], drawn.entities)
    assert not (known & drawn.negative).any(), "this sampler filters"
    assert false_negatives(drawn, batch, DATASET.graph.known) == 0
    held_out = {tuple(fact) for fact in DATASET.facts("valid", "test").tolist()}
    hits = count = 0
    for b in range(8):
        for c in range(drawn.entities.shape[1]):
            if drawn.negative[b, c]:
                head, relation, tail = int(batch.head[b]), int(batch.relation[b]), int(drawn.entities[b, c])
                fact = (head, relation, tail) if relation < 3 else (tail, relation - 3, head)
                hits, count = hits + (fact in held_out), count + 1
    assert false_negatives(drawn, batch, DATASET.known("valid", "test")) == pytest.approx(hits / count)
    assert 0 < hits < count


def test_one_vs_all_has_every_entity_as_a_column():
    model, batch = model_of(DistMult(4)), first_batch()
    (drawn,) = drawn_by(model, Objective(AllEntities(), {"loss": Ranking(CrossEntropy())}), batch).values()
    assert drawn.entities[3].tolist() == list(range(15))
    assert not drawn.negative.gather(1, batch.tail[:, None]).any()
    assert (drawn.kind == KINDS.index("positive")).nonzero()[:, 1].tolist() == batch.tail.tolist()


def test_kinds_are_those_of_the_transforms():
    model, batch = model_of(DistMult(4)), first_batch()
    found = drawn_by(model, emu(), batch)
    assert found["plain"].kind[:, 1:].unique().tolist() == [KINDS.index("plain")]
    assert found["mutated"].kind[:, 1:].unique().tolist() == [KINDS.index("mutated")]
    objective = demix()
    (drawn,) = drawn_by(model, objective, batch).values()
    transform = drawn.term.transform
    assert isinstance(transform, DeMix)
    pseudo = drawn.labels.value[:, 1:] > 0  # mixed with a known tail, by a share that is not 1
    kind = drawn.kind[:, 1:]
    assert (kind[pseudo] == KINDS.index("pseudo")).all()
    assert (kind == KINDS.index("harder")).any()
    transform.before_epoch(0)
    transform.warm_up = 1
    (drawn,) = drawn_by(model, objective, batch).values()
    assert drawn.kind[:, 1:].unique().tolist() == [KINDS.index("plain")]


def test_hardness_is_the_mean_cosine_of_the_chosen():
    vectors, truth = torch.randn(2, 3, 4), torch.randn(2, 4)
    chosen = torch.tensor([[True, False, True], [False, False, True]])
    each = [
        sum(a * b for a, b in zip(vectors[b, c].tolist(), truth[b].tolist(), strict=True))
        / math.sqrt(float(vectors[b, c].square().sum() * truth[b].square().sum()))
        for b, c in chosen.nonzero().tolist()
    ]
    assert hardness(vectors, truth, chosen) == pytest.approx(sum(each) / 3, abs=1e-6)


@OBJECTIVES
def test_gradients_are_those_of_finite_differences(make):
    model, batch = model_of(DistMult(4)), first_batch()
    for drawn in drawn_by(model, make(), batch).values():
        scores = model.scorer(drawn.vectors).detach().double()
        value, weight = drawn.labels.value.double(), drawn.labels.weight.double()
        labels = Labels(value, drawn.labels.mask, drawn.labels.truth, weight)
        slopes = torch.zeros_like(scores)
        for b, c in torch.ones_like(scores).nonzero().tolist():
            step = torch.zeros_like(scores)
            step[b, c] = 1e-5
            up, down = (drawn.term.of_scores(scores + sign * step, labels) for sign in (1, -1))
            slopes[b, c] = ((up - down) / 2e-5).abs()
        expected = torch.stack([slopes[drawn.kind == kind].sum() for kind in range(len(KINDS))])
        assert_close(gradients(drawn, model), expected, rtol=1e-4, atol=1e-6)


def test_the_spread_is_that_of_the_covariance():
    differences = torch.randn(50, 3) @ torch.tensor([[3.0, 0, 0], [0, 1, 0], [0.5, 0, 0.1]])
    spread = Spread()
    for part in differences.split(20):
        spread.add(part)
    covariance = torch.cov(differences.double().T, correction=0)
    values = torch.linalg.eigvalsh(covariance).flip(0)
    assert_close(spread.spectrum(), values)
    assert spread.participation() == pytest.approx(float(values.sum() ** 2 / (3 * (values**2).sum())))


def test_the_participation_ratio_is_1_on_a_sphere_and_1_over_d_on_a_line():
    sphere, line = Spread(), Spread()
    sphere.add(torch.cat([torch.eye(4), -torch.eye(4)]))
    line.add(torch.outer(torch.randn(9), torch.randn(4)))
    assert sphere.participation() == pytest.approx(1)
    assert line.participation() == pytest.approx(1 / 4, abs=1e-6)


def test_a_picture_keeps_the_distances_in_a_plane():
    flat = torch.randn(6, 2, dtype=torch.float64) @ torch.randn(2, 5, dtype=torch.float64)
    first, second = picture(flat[:2], [flat[2:4], flat[4:]])
    drawn = torch.tensor([first["positive"], second["positive"], *first["negatives"], *second["negatives"]])
    assert_close(torch.cdist(drawn, drawn), torch.cdist(flat, flat), check_dtype=False, rtol=1e-4, atol=1e-5)


@OBJECTIVES
def test_all_measures_together(make):
    model = model_of(DistMult(4))
    objective = make()
    before = torch.get_rng_state()
    found, again = (measure(model, objective, DATASET, Queries(40), seed=1) for _ in range(2))
    assert found == again
    assert torch.equal(torch.get_rng_state(), before), "no random number of a training is used up"
    term = method_term(objective)
    assert found["term"] == term == ("mutated" if make is emu else "plain")
    assert sum(share for kinds in found["gradient"].values() for share in kinds.values()) == pytest.approx(1)
    assert found["hardness"][term] > found["hardness of plain"][term], "mutation and mixing make negatives harder"
    assert found["false negatives"][term].keys() == {"training", "held-out"}
    assert len(found["isotropy"][term]["spectrum"]) == 4
    assert len(found["picture"]) == 3
