from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.core import Model
from gnnkg.data.hidden import hide_facts
from gnnkg.encoders import Table
from gnnkg.graph import Facts, KnowledgeGraph
from gnnkg.lab.suspects import figures, suspects_found
from gnnkg.ops.matching import Mix
from gnnkg.scorers import DistMult
from gnnkg.transforms import DeMix
from tests.random_data import random_dataset

DATASET = hide_facts(random_dataset(15, 3, 200), 0.2)


class Lookup(DistMult):
    """Scores from a table (N, 2R, N): vectors are ids."""

    def __init__(self, scores: Float[Tensor, "N P N"]) -> None:
        super().__init__(1)
        self.scores = scores

    def query(self, head: Float[Tensor, "B D"], relation: Float[Tensor, "B W"]) -> Float[Tensor, "B Q"]:
        return torch.cat([head, relation], 1)

    def match(
        self, query: Float[Tensor, "B Q"], tail: Float[Tensor, "S K D"], mix: Mix | None = None
    ) -> Float[Tensor, "B K"]:
        head, relation = query.long().unbind(1)
        candidates = tail[..., 0].long().repeat_interleave(len(query) // len(tail), 0)
        return self.scores[head[:, None], relation[:, None], candidates]


def oracle(found: Facts) -> Model:
    """Scores 1 for the facts that training knows, 2 for those that are ``found``, and 0 for others."""
    scores = torch.zeros(15, 6, 15)
    for facts, value in ((DATASET.graph.facts, 1.0), (found, 2.0)):
        for head, relation, tail in facts.tolist():
            scores[head, relation, tail] = scores[tail, relation + 3, head] = value
    scorer = Lookup(scores)
    table = Table(DATASET.graph, scorer.space)
    with torch.no_grad():
        table.entity[:, 0], table.relation[:, 0] = torch.arange(15), torch.arange(6)
    return Model(table, scorer)


def test_figures_by_hand():
    flagged = torch.tensor([[True, True, False, False, True]])
    hidden = torch.tensor([[True, False, False, True, False]])
    negative = torch.tensor([[True, True, True, True, False]])
    scores = torch.tensor([[3.0, 1.0, 5.0, 4.0, 9.0]])
    found = {
        name.removeprefix("suspects/"): value for name, value in figures(flagged, hidden, negative, scores).items()
    }
    assert found == {
        "precision": 1 / 2,
        "recall": 1 / 2,
        "flagged": 2 / 4,
        "hidden": 2 / 4,
        "threshold_precision": 1 / 2,  # the highest two are columns 2 and 3
        "threshold_recall": 1 / 2,
    }
    nothing = figures(torch.zeros_like(flagged), hidden, negative, scores)
    assert math.isnan(nothing["suspects/precision"])
    assert nothing["suspects/recall"] == 0


def test_a_model_that_knows_the_hidden_facts_is_found_to_suspect_them_all():
    everything = suspects_found(oracle(DATASET.hidden), DATASET, DeMix(delta="additive", mu=0.5), num_negatives=30)
    assert everything["suspects/precision"] == everything["suspects/recall"] == 1
    assert everything["suspects/threshold_precision"] == everything["suspects/threshold_recall"] == 1
    assert 0 < everything["suspects/hidden"] < 0.3
    assert everything["suspects/flagged"] == everything["suspects/hidden"]


def test_a_model_that_knows_nothing_of_them_suspects_none():
    found = suspects_found(oracle(DATASET.hidden[:0]), DATASET, DeMix(delta="additive", mu=0.5))
    assert found["suspects/recall"] == found["suspects/flagged"] == 0


def test_flagging_everything_is_as_good_as_chance():
    found = suspects_found(oracle(DATASET.hidden), DATASET, DeMix(split="all"))
    assert found["suspects/recall"] == found["suspects/flagged"] == 1
    assert found["suspects/precision"] == found["suspects/hidden"] == found["suspects/threshold_precision"]


def test_it_is_repeatable_and_leaves_the_random_numbers_and_the_mode_alone():
    scorer = DistMult(4)
    model = Model(Table(DATASET.graph, scorer.space, entity_dropout=0.5), scorer).train()
    state = torch.get_rng_state()
    first, second = (suspects_found(model, DATASET, DeMix()) for _ in range(2))
    assert first == second
    assert torch.equal(torch.get_rng_state(), state)
    assert model.encoder.training


def test_without_a_query_there_is_no_figure():
    model = oracle(DATASET.hidden)
    assert suspects_found(model, random_dataset(15, 3, 200), DeMix()) == {}
    bare = replace(DATASET, graph=KnowledgeGraph(DATASET.graph.facts[:0], 15, 3))
    assert suspects_found(model, bare, DeMix()) == {}, "no hidden fact's query has a known tail to compare with"
