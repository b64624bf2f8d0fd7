"""Attacks: exact where the smallest perturbation is known, silent where there is none, and never wrong about a success."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from gnnkg.core import Vectors
from gnnkg.evaluation.attacks import by_gradient, by_random_directions, worst
from gnnkg.evaluation.events import InTop, Scores, Smoothed, scores_of
from gnnkg.scorers import MLP, DistMult, RotatE
from tests.contracts.test_scorers import random_vectors

QUERIES, CANDIDATES, WIDTH = 12, 6, 5


def linear(seed: int = 0) -> tuple[Scores, Tensor, Tensor, Tensor]:
    """Scores W_q h of each query, heads, and the rows W of truths and of the other candidates."""
    draw = torch.Generator().manual_seed(seed)
    weights = torch.randn(QUERIES, CANDIDATES, WIDTH, generator=draw, dtype=torch.float64)
    head = torch.randn(QUERIES, WIDTH, generator=draw, dtype=torch.float64)

    def scores(points: Tensor, query: Tensor) -> Tensor:
        return torch.einsum("xd,xnd->xn", points, weights[query])

    truth = scores(head, torch.arange(QUERIES)).argmax(1)
    return scores, head, weights, truth


def exact(head: Tensor, weights: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """min_j (w_t - w_j) h / ||w_t - w_j||"""
    own = weights[torch.arange(QUERIES), truth].unsqueeze(1)
    away = own - weights
    length = away.norm(dim=2)
    distance = torch.einsum("xnd,xd->xn", away, head) / length.clamp(min=1e-12)
    return distance.masked_fill(known.scatter(1, truth.unsqueeze(1), True), torch.inf).min(1).values


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_gradient_finds_the_smallest_perturbation_of_a_linear_model(dtype):
    scores, head, weights, truth = linear()
    known = torch.zeros(QUERIES, CANDIDATES, dtype=torch.bool)
    known[:, 0] = truth != 0
    expected = exact(head, weights, truth, known)
    event = InTop(lambda points, query: scores(points.double(), query).to(dtype), truth, known)
    found = by_gradient(event, head.to(dtype), radius=4.0, restarts=2 * CANDIDATES)
    within = expected < 4.0
    assert within.sum() >= QUERIES // 2
    assert torch.equal(found.succeeded, within)
    assert_close(found.distance[within], expected[within].to(dtype), rtol=2e-3, atol=0)
    assert (found.distance[within] >= expected[within] * (1 - 1e-5)).all()


@pytest.mark.parametrize("attack", [by_gradient, by_random_directions, worst])
def test_a_ball_that_holds_no_change_holds_no_success(attack):
    scores, head, weights, truth = linear()
    known = torch.zeros(QUERIES, CANDIDATES, dtype=torch.bool)
    radius = exact(head, weights, truth, known) * 0.999
    found = attack(InTop(scores, truth, known), head, radius)
    assert found.held.all()
    assert not found.succeeded.any()
    assert found.distance.isinf().all()
    assert not found.perturbation.any()


@pytest.mark.parametrize("make", [lambda: RotatE(3), lambda: MLP(6, 8), lambda: DistMult(6)])
@pytest.mark.parametrize("attack", [by_gradient, by_random_directions, worst])
@pytest.mark.parametrize("k", [1, 3])
def test_every_success_is_one(make, attack, k):
    fewer = {by_gradient: {"steps": 8}, by_random_directions: {"directions": 20}, worst: {"steps": 8, "directions": 20}}
    attack = partial(attack, **fewer[attack])
    scorer = make()
    vectors = random_vectors(scorer, 1, dtype=torch.float32, queries=20, candidates=15)
    vectors = vectors.replace(head=vectors.head / 2)
    query = torch.arange(20)
    scores = scores_of(scorer, vectors)
    truth = scores(vectors.head, query).detach().topk(2, 1).indices[:, 1]
    known = torch.zeros(20, 15, dtype=torch.bool)
    known[::2] = known[::2].scatter(1, scores(vectors.head, query)[::2].argmax(1, keepdim=True), True)
    event = InTop(scores, truth, known, k)
    radius = torch.linspace(0.05, 1.0, 20)
    found = attack(event, vectors.head, radius, generator=torch.Generator().manual_seed(0))
    assert found.succeeded.any()
    after = scorer(vectors.replace(head=vectors.head + found.perturbation)).detach()
    own = after.gather(1, truth.unsqueeze(1))
    rivals = ((after >= own) & ~known).sum(1) - 1  # the truth is level with itself
    assert (rivals[found.succeeded] >= k).all()
    assert (found.perturbation.norm(dim=1) <= radius).all()
    assert_close(found.perturbation.norm(dim=1)[found.succeeded], found.distance[found.succeeded])
    before = scores(vectors.head, query).detach()
    above = ((before >= before.gather(1, truth.unsqueeze(1))) & ~known).sum(1) - 1
    assert torch.equal(found.held, above < k)
    assert (found.distance[~found.held] == 0).all()


def test_the_worst_of_both_is_the_nearer_one():
    scorer = MLP(6, 8)
    vectors = random_vectors(scorer, 1, dtype=torch.float32, queries=10, candidates=15)
    scores, query = scores_of(scorer, vectors), torch.arange(10)
    event = InTop(scores, scores(vectors.head, query).argmax(1), torch.zeros(10, 15, dtype=torch.bool))
    one, two = (attack(event, vectors.head, 2.0) for attack in (by_gradient, by_random_directions))
    both = one.or_worse(two)
    assert torch.equal(both.distance, torch.minimum(one.distance, two.distance))
    found = both.succeeded
    assert_close(both.perturbation.norm(dim=1)[found], both.distance[found])


def test_ties_nan_and_too_few_rivals():
    scores = torch.tensor([[1.0, 1.0, 0.0], [torch.nan, 0.0, 0.0], [2.0, 1.0, 0.0]])
    known = torch.zeros(3, 3, dtype=torch.bool)
    heads, query, truth = torch.zeros(3, 1), torch.arange(3), torch.zeros(3, dtype=torch.long)
    top1, top2, top3 = (InTop(lambda _, row: scores[row], truth, known, k) for k in (1, 2, 3))
    assert top1.holds(heads, query).tolist() == [False, False, True]
    assert top2.holds(heads, query).tolist() == [True, False, True]
    assert top3.holds(heads, query)[[0, 2]].tolist() == [True, True]  # two others are no three
    assert not top1.slope(heads, query).any()
    assert InTop(lambda _, row: scores[row], truth, known).rivals(heads, query, 4)[2].tolist() == [1, 2, -1, -1]


def test_a_smoothed_linear_model_turns_where_the_model_does():
    """With two candidates and noise that is symmetric, the majority of the draws follows the sign of the margin."""
    weights = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    head = torch.tensor([[0.5, 0.0], [1.5, 3.0]], dtype=torch.float64)
    truth, known = torch.zeros(2, dtype=torch.long), torch.zeros(2, 2, dtype=torch.bool)
    noise = torch.randn(40, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noise = torch.cat([noise, -noise])
    event = Smoothed(InTop(lambda points, _: points @ weights.T, truth, known), noise, at_once=150)
    assert event.holds(head, torch.arange(2)).all()
    share = ((head[:1] + noise) @ weights.T).diff(dim=1).lt(0).double().mean()
    assert event.share(head, torch.arange(2))[0] == share
    found = by_gradient(event, head, radius=1.0, restarts=1)
    assert found.succeeded.tolist() == [True, False]
    nearest = noise[:, 0].abs().min()  # half of the draws win until the first of them turns
    assert found.distance[0].item() == pytest.approx(0.5, abs=2 * nearest.item() + 1e-3)
    assert event.share(head + found.perturbation, torch.arange(2))[0] <= 0.5


def test_the_slope_of_a_smoothed_event_is_the_mean_of_its_draws():
    scorer = RotatE(2).double()
    vectors = random_vectors(scorer, 1, queries=3, candidates=4)
    query, noise = torch.arange(3), 0.3 * torch.randn(5, 4, dtype=torch.float64)
    event = InTop(scores_of(scorer, vectors), torch.tensor([0, 1, 2]), torch.zeros(3, 4, dtype=torch.bool))
    leaf = vectors.head.clone().requires_grad_()
    margin = torch.stack([event.margin(leaf + draw, query) for draw in noise])
    temperature = margin.detach().std(0, correction=0)
    (expected,) = torch.autograd.grad(torch.sigmoid(margin / temperature).mean(0).sum(), leaf)
    assert_close(Smoothed(event, noise).slope(vectors.head, query), expected)


def test_candidates_of_their_own_are_followed():
    scorer = DistMult(4)
    vectors = random_vectors(scorer, 6, dtype=torch.float32)
    rows = torch.tensor([4, 0, 4])
    assert_close(scores_of(scorer, vectors)(vectors.head[rows], rows), scorer(vectors)[rows])
    shared = Vectors(vectors.head, vectors.relation, vectors.tail[:3])
    with pytest.raises(ValueError, match="not 3 tables"):
        scores_of(scorer, shared)


@pytest.mark.parametrize("radius", [0.0, -1.0, torch.inf])
def test_a_radius_must_be_positive_and_finite(radius):
    scores, head, _, truth = linear()
    with pytest.raises(ValueError, match="above 0, and finite"):
        by_gradient(InTop(scores, truth, torch.zeros(QUERIES, CANDIDATES, dtype=torch.bool)), head, radius)
    with pytest.raises(ValueError, match="k must be at least 1"):
        InTop(scores, truth, torch.zeros(QUERIES, CANDIDATES, dtype=torch.bool), 0)
