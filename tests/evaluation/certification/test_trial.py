from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gnnkg.core import Model
from gnnkg.encoders import Table
from gnnkg.evaluation.certification import Smoothing, attack, certify
from gnnkg.evaluation.certification.certificate import Certificate
from gnnkg.scorers import DistMult, RotatE

SMOOTHING = Smoothing(draws=200, confidence=0.99, alpha=0.2, top=3)


def certified(dataset, scorer, seed: int = 0) -> tuple[Model, Certificate]:
    torch.manual_seed(seed)
    model = Model(Table(dataset.graph, scorer.space), scorer)
    for table in (model.encoder.entity, model.encoder.relation):
        table.data.normal_()
    return model, certify(model, dataset, SMOOTHING, "train", direction="both", num_queries=30)


@pytest.mark.parametrize("scorer", [DistMult(4), RotatE(3)], ids=["DistMult", "RotatE"])
def test_no_attack_turns_a_certified_answer(dataset, scorer):
    model, certificate = certified(dataset, scorer)
    assert (certificate.radii() > 0).sum() >= 5
    steps: list[tuple[int, int]] = []
    report = lambda rows, total: steps.append((len(rows), total))  # noqa: E731
    trial = attack(model, dataset, certificate, most=5, fresh_draws=2000, report=report)
    assert steps == [(number, 5) for number in range(1, 6)]
    assert trial.tried == 5
    assert trial.turned == 0
    assert trial.held_turned <= trial.held <= trial.tried


class Inflated(Certificate):
    """A wrong certificate, whose radii are too large."""

    factor = 30.0

    def radii(self, together: bool = False) -> np.ndarray:
        return self.factor * super().radii(together)


def inflated(certificate: Certificate, factor: float) -> Inflated:
    wrong = Inflated(**{name: getattr(certificate, name) for name in Certificate.__dataclass_fields__})
    object.__setattr__(wrong, "factor", factor)
    return wrong


def test_attacks_find_a_wrong_certificate(dataset):
    model, certificate = certified(dataset, DistMult(4))
    trial = attack(model, dataset, inflated(certificate, 30), fresh_draws=2000, most=4)
    assert trial.tried <= 4
    assert trial.suspected >= trial.turned >= 1
    assert trial.held_turned >= 1
    assert "turned in" in str(trial)


@pytest.mark.parametrize(("factor", "least"), [(1.3, 1), (1.6, 2), (2.0, 4)])
def test_attacks_find_radii_that_are_a_little_too_large(dataset, factor, least):
    model, certificate = certified(dataset, DistMult(4))
    trial = attack(model, dataset, inflated(certificate, factor), fresh_draws=4000, most=8)
    assert trial.turned >= least
    assert all(row.draws >= 250 for row in trial.rows), "every query is judged by fresh draws"


def test_an_attack_that_was_stopped_goes_on_as_if_it_had_not_been(dataset):
    model, certificate = certified(dataset, DistMult(4))
    whole = attack(model, dataset, certificate, fresh_draws=500, most=3)
    again = attack(model, dataset, certificate, fresh_draws=500, most=3, known_rows=whole.rows[:1])
    assert again.rows == whole.rows
    assert len({row.share for row in whole.rows}) > 1


def test_nothing_certified_is_nothing_to_attack(dataset):
    model, certificate = certified(dataset, DistMult(4))
    nothing = replace(certificate, rows=tuple(replace(row, successes=0) for row in certificate.rows))
    with pytest.raises(ValueError, match="nothing to attack"):
        attack(model, dataset, nothing)
