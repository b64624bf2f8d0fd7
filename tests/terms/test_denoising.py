"""Denoising: its sign and scale on energies that are known, what it refuses, and that a continued run goes on as it was."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.optim import Adagrad
from torch.testing import assert_close

from gnnkg.core import Batch, Labels, Model, Objective, Scorer, Vectors
from gnnkg.data.queries import Queries
from gnnkg.encoders import NBFNet, Table
from gnnkg.losses import CrossEntropy
from gnnkg.noise import spread
from gnnkg.run import RunDirectory
from gnnkg.samplers import Uniform
from gnnkg.scorers import HAKE, MLP, ComplEx, DistMult, RotatE, TransE
from gnnkg.scorers.spaces import uniform
from gnnkg.strength import Annealed, ByFrequency, HoldWins
from gnnkg.terms import Denoising, Ranking
from gnnkg.terms.slope import slopes
from gnnkg.train import fit
from tests.random_data import random_dataset, random_graph


class Gaussian(Scorer):
    """f = - |h - t|^2 / (2 v), with a learned v."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.space = DistMult(dim).space
        self.variance = nn.Parameter(torch.ones((), dtype=torch.float64))

    def query(self, head: Tensor, relation: Tensor) -> Tensor:
        return head

    def match(self, query: Tensor, tail: Tensor, mix: None = None) -> Tensor:
        return -(query.unsqueeze(1) - tail).square().sum(-1) / (2 * self.variance)


def fact(scorer: Scorer, rows: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    widths = (scorer.space.entity_dim, scorer.space.relation_dim, scorer.space.entity_dim)
    head, relation, tail = (torch.randn(rows, width, generator=draw, dtype=torch.float64) for width in widths)
    return head, relation, tail


@pytest.mark.parametrize(("sign", "found"), [("back", True), ("forward", False)])
def test_the_variance_of_a_gaussian_energy_is_that_of_the_noise(sign, found):
    """L = (s^2 - v)^2 |u|^2 / (v^2 s^2) ...: with the target -u it is least at v = s^2; with +u it falls without end."""
    scorer, s = Gaussian(4), 0.7
    term = Denoising(1.0, sigma=s, sign=sign)
    center = torch.randn(2000, 4, dtype=torch.float64)
    variances = torch.tensor([0.1, 0.3, 0.49, 0.7, 2.0, 50.0])
    losses = []
    for variance in variances:
        scorer.variance.data.fill_(variance)
        torch.manual_seed(1)
        losses.append(term.of_facts(scorer, center, center, center).mean())
    least = int(torch.stack(losses).argmin())
    assert (least == 2) is found
    assert (least == len(variances) - 1) is not found
    if found:
        assert losses[2].item() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("sign", ["back", "forward"])
def test_distmult_s_mean_loss_is_a_penalty_on_its_gradient(sign):
    """The closed form by hand, (s^2/D) ||r * t||^2 + 1, within the error of the mean over draws."""
    scorer = DistMult(5)
    row = fact(scorer, 1)
    head, relation, tail = (x.expand(40_000, -1) for x in row)
    s = 0.6
    each = Denoising(1.0, alpha=2.0, sigma=s / 2, sign=sign).of_facts(scorer, head, relation, tail)
    expected = s**2 / 5 * (row[1] * row[2]).square().sum().item() + 1
    assert each.mean().item() == pytest.approx(expected, abs=4 * each.std().item() / 200)
    assert Denoising(1.0, sigma=s, closed=True).of_facts(scorer, *row).item() == pytest.approx(expected)


@pytest.mark.parametrize("scale", ["unit", "raw"])
@pytest.mark.parametrize("reduce", ["mean", "sum"])
@pytest.mark.parametrize("part", ["head", "tail", "alternate"])
@pytest.mark.parametrize("noise", ["gaussian", "laplacian", "uniform"])
def test_the_closed_form_is_the_mean_over_noise_where_scores_are_affine(scale, reduce, part, noise):
    scorer = ComplEx(3)
    head, relation, tail = (x.expand(20_000, -1) for x in fact(scorer, 1))
    settings = {"scale": scale, "reduce": reduce, "part": part, "sigma": 0.8}
    each = Denoising(1.0, noise=noise, **settings).of_facts(scorer, head, relation, tail)
    closed = Denoising(1.0, closed=True, **settings).of_facts(scorer, head, relation, tail)
    assert each.mean().item() == pytest.approx(closed.mean().item(), rel=0.05)


@pytest.mark.parametrize("make", [lambda: RotatE(3), lambda: HAKE(3), lambda: TransE(4, p=2), lambda: MLP(4, 6)])
@pytest.mark.parametrize("part", ["head", "tail"])
def test_the_gradient_of_the_slope_against_finite_differences(make, part):
    scorer = make().double()
    points = tuple(x.requires_grad_() for x in fact(scorer, 2))

    def loss(*leaves: Tensor) -> Tensor:
        (slope,) = slopes(scorer, leaves[0] * 1, leaves[1], leaves[2] * 1, (part,))
        return (0.3 * slope + 0.5).square().sum(1)

    assert gradcheck(loss, points)


@pytest.mark.parametrize("make", [lambda: RotatE(3), lambda: HAKE(3), lambda: TransE(4, p=2)])
def test_it_is_finite_where_the_query_meets_its_answer(make):
    scorer = make()
    zeros = [torch.zeros(2, n, requires_grad=True) for n in (scorer.space.entity_dim, scorer.space.relation_dim)]
    loss = Denoising(1.0, alpha=0.0, sigma=1.0, scale="raw").of_facts(scorer, zeros[0], zeros[1], zeros[0]).sum()
    gradients = torch.autograd.grad(loss, zeros, allow_unused=True, materialize_grads=True)
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_denoising_transe_with_absolute_values_trains_nothing_and_is_refused():
    scorer = TransE(4, p=1)
    points = [x.requires_grad_() for x in fact(scorer, 6)]
    term = Denoising(1.0, sigma=0.5)
    loss = term.of_facts(scorer, *points).sum()
    gradients = torch.autograd.grad(loss, points, allow_unused=True, materialize_grads=True)
    assert all((gradient == 0).all() for gradient in gradients)
    labels = Labels(torch.ones(6, 1), None, torch.zeros(6, dtype=torch.long), torch.ones(6))
    with pytest.raises(ValueError, match=r"TransE's score by the head is constant almost everywhere.*p=2"):
        term(scorer, Vectors(points[0], points[1], points[2].unsqueeze(1)), labels)


def test_a_part_that_the_scorer_does_not_read_is_refused_and_the_other_is_trained():
    graph = random_graph()
    scorer = MLP(4, 5, reads_head=False)
    model = Model(NBFNet(graph, scorer.space, num_layers=2), scorer)
    batch = Queries(6).of(graph, 0)[0]
    with pytest.raises(ValueError, match=r"MLP does not read the head.*part='tail'"):
        Objective(Uniform(5), {"denoising": Denoising(1.0)})(model, batch)
    Objective(Uniform(5), {"denoising": Denoising(1.0, part="tail")})(model, batch)["denoising"].backward()
    assert all(p.grad is not None and p.grad.any() for p in (scorer.of_tail.weight, scorer.out.weight))
    model.scorer = TransE(4, p=2)
    Objective(Uniform(5), {"denoising": Denoising(1.0)})(model, batch)["denoising"].backward()
    assert any(p.grad is not None and p.grad.any() for p in model.encoder.parameters())


def test_a_fact_s_loss_does_not_depend_on_the_rest_of_its_batch(monkeypatch):
    class Normed(MLP):
        """Its batch norm would join the rows in training mode."""

        def __init__(self) -> None:
            super().__init__(4, 6)
            self.norm = nn.BatchNorm1d(6)

        def query(self, head: Tensor, relation: Tensor) -> Tensor:
            return self.norm(super().query(head, relation))

    noise = torch.randn(6, 4, dtype=torch.float64)
    monkeypatch.setattr("gnnkg.terms.denoising.unit_noise", lambda size, *_, **__: noise[: size[0]])
    scorer = Normed().double()
    points = fact(scorer, 6)
    assert scorer.norm.training
    term = Denoising(1.0, sigma=0.5)
    together, alone = (term.of_facts(scorer, *(x[:rows] for x in points)) for rows in (6, 1))
    assert_close(together[:1], alone)
    assert scorer.norm.training
    assert not scorer.norm.running_mean.any()
    joined = Denoising(1.0, sigma=0.5, mode="train").of_facts(scorer, *points)
    assert not torch.allclose(joined, together)


def losses_of(term: Denoising | None, batch: Batch, model: Model) -> dict[str, Tensor]:
    terms = {"first": term, "plain": Ranking(CrossEntropy())} if term else {"plain": Ranking(CrossEntropy())}
    torch.manual_seed(0)
    return Objective(Uniform(5), terms, redraw=True)(model, batch)


def test_weight_0_leaves_a_training_what_it_is_bitwise():
    """The term stands first and draws nothing, so that the sampler's second draw is the same; TransE with p=1 may stay."""
    graph = random_graph()
    scorer = TransE(4, p=1)
    model = Model(Table(graph, scorer.space), scorer)
    batch = Queries(6).of(graph, 0)[0]
    torch.manual_seed(0)
    Uniform(5)(batch)  # the draw that the first term sees
    state = torch.get_rng_state()
    losses = losses_of(Denoising(0.0), batch, model)
    assert losses["first"].item() == 0
    torch.set_rng_state(state)
    expected = Objective(Uniform(5), {"plain": Ranking(CrossEntropy())})(model, batch)["plain"]
    assert torch.equal(losses["plain"], expected)
    (gradient,) = torch.autograd.grad(sum(losses.values()), model.encoder.entity)
    (plain,) = torch.autograd.grad(expected, model.encoder.entity)
    assert torch.equal(gradient, plain)


def test_detach_keeps_the_gradient_from_the_head():
    scorer = TransE(4, p=2)
    for detach in (False, True):
        points = [x.requires_grad_() for x in fact(scorer, 3)]
        loss = Denoising(1.0, sigma=0.5, detach=detach).of_facts(scorer, *points).sum()
        gradients = torch.autograd.grad(loss, points, allow_unused=True, materialize_grads=True)
        assert [bool(gradient.any()) for gradient in gradients] == [not detach, True, True]


def test_facts_count_by_their_weight():
    scorer = DistMult(3)
    head, relation, tail = fact(scorer, 4)
    weight = torch.tensor([1.0, 2.0, 0.0, 0.5], dtype=torch.float64)
    labels = Labels(torch.ones(4, 1, dtype=torch.float64), None, torch.zeros(4, dtype=torch.long), weight)
    term = Denoising(0.3, sigma=0.5, closed=True)
    each = term.of_facts(scorer, head, relation, tail)
    expected = 0.3 * (weight * each).sum() / 3.5
    assert_close(term(scorer, Vectors(head, relation, tail.unsqueeze(1)), labels), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": -1.0}, "weight must be at least 0"),
        ({"weight": 1.0, "alpha": -1.0}, "alpha must be at least 0"),
        ({"weight": math.nan}, "weight must be at least 0"),
        ({"weight": 1.0, "divisor": 0.0}, "divisor must be a number above 0"),
        ({"weight": 1.0, "sigma": 0.0}, "above 0"),
        ({"weight": 1.0, "refresh": 0}, "refresh must be at least 1"),
        ({"weight": 1.0, "alpha": HoldWins(), "part": "tail"}, "HoldWins"),
    ],
)
def test_settings_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Denoising(**arguments)


def test_sigma_is_that_of_the_table_without_dropout():
    graph = random_graph()
    scorer = DistMult(4)
    model = Model(Table(graph, scorer.space, entity_dropout=0.5, init=uniform(1.0)), scorer)
    term = Denoising(1.0)
    with pytest.raises(ValueError, match="has not been measured"):
        term.strength.of(torch.ones(2, 4))
    Objective(Uniform(5), {"denoising": term})(model, Queries(6).of(graph, 0)[0])
    assert_close(term.strength.sigma, spread(model.encoder.entity))
    assert model.encoder.entity_dropout.training


SCHEDULES = {
    "fixed": lambda: 1.0,
    "per entity": lambda: 1.0,
    "annealed": lambda: Annealed(epochs=3),
    "by frequency": ByFrequency,
    "holding wins": lambda: HoldWins(every=2, rate=1.0),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_continued_training_equals_one_that_never_stopped_bitwise(tmp_path, name):
    dataset = random_dataset()
    settings = {"optimizer": partial(Adagrad, lr=0.1), "queries": Queries(16), "validate_every": 6, "progress": False}

    def train(folder: str, steps: int, killed_after: int | None = None) -> tuple[Model, Objective]:
        torch.manual_seed(steps if killed_after is None and steps != 24 else 0)
        scorer = TransE(4, p=2)
        model = Model(Table(dataset.graph, scorer.space, entity_dropout=0.2), scorer)
        terms = {
            "plain": Ranking(CrossEntropy()),
            "denoising": Denoising(0.5, alpha=SCHEDULES[name](), per_entity=name == "per entity"),
        }
        objective = Objective(Uniform(5), terms)
        run = tmp_path / folder
        run = RunDirectory.open(run) if run.exists() else RunDirectory.create(run, {}, dataset)
        if killed_after:
            left = [killed_after]

            def stop(*_: object) -> None:
                left[0] -= 1
                if left[0] < 0:
                    raise KeyboardInterrupt

            objective.register_forward_pre_hook(stop)
        fit(model, objective, dataset, steps=steps, run=run, checkpoint_seconds=0.0, accelerator="cpu", **settings)
        return model, objective

    whole, objective = train("whole", 24)  # 8 steps an epoch
    for steps in (5, 6, 8):
        with pytest.raises(KeyboardInterrupt):
            train("broken", 24, killed_after=steps)
    again, continued = train("broken", 24)
    assert all(torch.equal(x, y) for x, y in zip(whole.parameters(), again.parameters(), strict=True))
    first, second = (x.terms["denoising"].strength for x in (objective, continued))
    assert torch.equal(first.sigma, second.sigma)
    assert first.measured == second.measured == 2
