from __future__ import annotations

import torch
from torch.testing import assert_close

from gnnkg.core import Model, Objective
from gnnkg.data.queries import Queries
from gnnkg.encoders import Table
from gnnkg.losses import CrossEntropy
from gnnkg.noise import spread, unit_noise
from gnnkg.samplers import AllEntities
from gnnkg.scorers import DistMult
from gnnkg.strength import Annealed, ByFrequency, HoldWins
from gnnkg.terms import Ranking
from gnnkg.transforms import Noise
from tests.random_data import random_graph


def test_the_loss_is_that_of_noisy_heads():
    """Through an objective, which shows the entities and the facts; 1-vs-all."""
    graph = random_graph()
    scorer = DistMult(4)
    model = Model(Table(graph, scorer.space), scorer)
    batch = Queries(6).of(graph, 0)[0]
    transform = Noise(ByFrequency(0.7), noise="uniform")
    objective = Objective(AllEntities(), {"noisy": Ranking(CrossEntropy(), transform=transform)})
    torch.manual_seed(3)
    loss = objective(model, batch)["noisy"]
    torch.manual_seed(3)
    noise = unit_noise((6, 4), "uniform")
    vectors = model.encoder(graph)(batch.head, batch.relation)
    scale = ByFrequency(0.7)(batch).unsqueeze(1) * spread(model.encoder.entity)
    scores = scorer(vectors.replace(head=vectors.head + scale * noise))
    assert_close(loss, Ranking(CrossEntropy()).of_scores(scores, AllEntities()(batch)[1]))


def test_epochs_reach_its_schedule_and_its_state_is_saved():
    graph = random_graph()
    scorer = DistMult(4)
    model = Model(Table(graph, scorer.space), scorer)
    annealed, holding = Noise(Annealed(epochs=4)), Noise(HoldWins(every=1))
    terms = {"a": Ranking(CrossEntropy(), transform=annealed), "b": Ranking(CrossEntropy(), transform=holding)}
    objective = Objective(AllEntities(), terms)
    objective.before_epoch(1)
    assert annealed.strength.alpha.epoch == 1
    objective(model, Queries(6).of(graph, 0)[0])
    assert holding.strength.alpha.steps == 1
    holding.strength.alpha.alpha.fill_(0.25)
    again = Objective(AllEntities(), {"a": Ranking(CrossEntropy(), transform=Noise()), "b": Ranking(CrossEntropy())})
    again.terms["b"].transform = Noise(HoldWins())
    again.load_state_dict(objective.state_dict())
    assert torch.equal(again.terms["a"].transform.strength.sigma, annealed.strength.sigma)
    assert again.terms["b"].transform.strength.alpha.alpha == 0.25
    assert again.terms["b"].transform.strength.alpha.steps == 1
