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
    steps: list[None] = []
    trial = attack(model, dataset, certificate, most=5, fresh_draws=2000, step=lambda: steps.append(None))
    assert trial.tried == 5 == len(steps)
    assert trial.turned == 0
    assert trial.held_turned <= trial.held <= trial.tried


class Inflated(Certificate):
    """A wrong certificate, whose radii are too large."""

    def radii(self, together: bool = False) -> np.ndarray:
        return 30 * super().radii(together)


def test_attacks_find_a_wrong_certificate(dataset):
    model, certificate = certified(dataset, DistMult(4))
    values = {name: getattr(certificate, name) for name in Certificate.__dataclass_fields__}
    trial = attack(model, dataset, Inflated(**values), fresh_draws=2000, most=4)
    assert trial.tried <= 4
    assert trial.suspected >= trial.turned >= 1
    assert trial.held_turned >= 1
    assert "turned in" in str(trial)


def test_nothing_certified_is_nothing_to_attack(dataset):
    model, certificate = certified(dataset, DistMult(4))
    nothing = replace(certificate, rows=tuple(replace(row, successes=0) for row in certificate.rows))
    with pytest.raises(ValueError, match="nothing to attack"):
        attack(model, dataset, nothing)
