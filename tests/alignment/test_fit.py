"""Training on CLDR in two languages: it learns, it goes on where it stopped, it reads no test link."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from gnnkg.alignment.encoder import AlignmentEncoder, cosine_space
from gnnkg.alignment.fit import FittedAlignment, evaluate_encoder, fit_alignment
from gnnkg.alignment.losses import AlignmentObjective
from gnnkg.alignment.pseudo_labels import Probation
from gnnkg.core import Encoder
from gnnkg.data.alignment import AlignmentData, cldr_in_two_languages
from gnnkg.encoders import SNAG, DiagonalGAT, GaussModalityNoise
from gnnkg.features import RelationBag

NOISE = GaussModalityNoise(structure_scale=0.5, before_messages=True)


@pytest.fixture(scope="module")
def data() -> AlignmentData:
    return cldr_in_two_languages(languages=20)


def snag(data: AlignmentData) -> Encoder:
    space = cosine_space(data.graph.num_entities, 32)
    bag = RelationBag("log", directed=False)
    return SNAG(data.graph, space, {"relations": bag}, DiagonalGAT, NOISE, num_heads=1, hidden_dim=40, tanh=False)


def train(data: AlignmentData, epochs: int = 6, **settings: Any) -> tuple[AlignmentEncoder, FittedAlignment]:
    torch.manual_seed(0)
    encoder = AlignmentEncoder(snag(data))
    given = {"optimizer": partial(torch.optim.AdamW, lr=0.01), "batch_size": 100, "validate_every": 3} | settings
    return encoder, fit_alignment(encoder, AlignmentObjective(encoder.names), data, epochs=epochs, **given)


def test_it_learns(data):
    encoder, fitted = train(data, epochs=30, validate_every=10)
    first, last = fitted.history[0], fitted.history[-1]
    assert all(last[f"loss/{name}"] < first[f"loss/{name}"] for name in ("gmi", "ecia", "iir"))
    torch.manual_seed(0)
    before = evaluate_encoder(AlignmentEncoder(snag(data)), data).metrics("both")["mrr"]
    after = evaluate_encoder(encoder, data).metrics("both")["mrr"]
    assert after > before + 0.1
    assert fitted.best_metrics["valid/mrr"] == max(row["valid/mrr"] for row in fitted.history)


def test_structure_alone_learns(data):
    encoder = AlignmentEncoder(DiagonalGAT(data.graph, cosine_space(data.graph.num_entities, 32)))
    settings = {"optimizer": partial(torch.optim.AdamW, lr=0.01), "batch_size": 400, "validate_every": 10}
    fitted = fit_alignment(encoder, AlignmentObjective(encoder.names), data, epochs=20, **settings)
    assert fitted.history[-1].keys() >= {"loss/gmi", "loss/ecia"}
    assert "loss/iir" not in fitted.history[-1]
    assert fitted.best_metrics["valid/mrr"] > 0.1, "by chance it would be 0.006"


def weights(encoder: AlignmentEncoder) -> list[torch.Tensor]:
    return [value.detach().clone() for value in encoder.state_dict().values()]


def test_a_stopped_run_goes_on_as_if_it_had_not(data, tmp_path: Path):
    """Also within an epoch's noise, whose spread is that of the table when the epoch began."""
    pseudo = Probation(begin=2, every=1, renew=2, promote=2, nearest="csls")
    reference, never_stopped = train(data, 6, pseudo_labels=pseudo, validate_every=1)
    assert len(never_stopped.pseudo_labels)
    file = tmp_path / "checkpoint.safetensors"

    class Stopped(Exception):
        pass

    def stop(row: dict[str, float]) -> None:
        if row["epoch"] == 4:
            raise Stopped

    settings = {"validate_every": 1, "checkpoint": file, "checkpoint_seconds": 0.0, "pseudo_labels": pseudo}
    with pytest.raises(Stopped):
        train(data, 6, report=stop, **settings)
    again, resumed = train(data, 6, **settings)
    assert torch.equal(resumed.pseudo_labels, never_stopped.pseudo_labels)
    assert all(torch.equal(a, b) for a, b in zip(weights(again), weights(reference), strict=True))


def test_a_training_that_ran_out_of_time_may_be_continued(data, tmp_path: Path):
    settings = {"validate_every": 1, "checkpoint": tmp_path / "checkpoint.safetensors"}
    _, late = train(data, 3, stop_after=0.0, **settings)
    assert [row["epoch"] for row in late.history] == [1]
    continued, fitted = train(data, 3, **settings)
    assert [row["epoch"] for row in fitted.history] == [1, 2, 3]
    whole, _ = train(data, 3, validate_every=1)
    assert all(torch.equal(a, b) for a, b in zip(weights(continued), weights(whole), strict=True))


def test_where_a_training_ran_out_of_time_does_not_decide_which_weights_are_best(data, tmp_path: Path):
    """The look at those weights, between two validations, is for what is given back at once."""
    whole, reference = train(data, 4, validate_every=2, patience=1)
    settings = {"validate_every": 2, "patience": 1, "checkpoint": tmp_path / "checkpoint.safetensors"}
    _, late = train(data, 4, stop_after=0.0, **settings)
    assert [row["epoch"] for row in late.history] == [1]
    assert late.best_metrics
    continued, fitted = train(data, 4, **settings)
    assert [row["epoch"] for row in fitted.history] == [row["epoch"] for row in reference.history]
    assert fitted.best_metrics == reference.best_metrics
    assert all(torch.equal(a, b) for a, b in zip(weights(continued), weights(whole), strict=True))


def test_test_links_are_not_read(data):
    settings = {"pseudo_labels": Probation(0, 1, 2, 2)}
    first, fitted = train(data, 3, **settings)
    second, _ = train(replace(data, test=data.test[:1]), 3, **settings)
    assert len(fitted.pseudo_labels)
    assert all(torch.equal(a, b) for a, b in zip(weights(first), weights(second), strict=True))
    assert not set(fitted.pseudo_labels[:, 0].tolist()) & set(data.train[:, 0].tolist()), "no seed is proposed"


def test_uncertainties_learn_faster_and_vectors_do_not_decay(data):
    made: list[torch.optim.Optimizer] = []

    def optimizer(groups: Any) -> torch.optim.Optimizer:
        made.append(torch.optim.AdamW(groups, lr=0.01, weight_decay=0.1))
        return made[0]

    encoder, _ = train(data, 1, optimizer=optimizer)
    groups = made[0].param_groups
    decays = {id(weight): group["weight_decay"] for group in groups for weight in group["params"]}
    assert all(decays[id(weight)] == (0.1 if weight.dim() > 1 else 0.0) for weight in encoder.parameters())
    assert [group["initial_lr"] for group in groups] == [0.01, 0.01, 0.05]
    assert len(groups[2]["params"]) == 1


def test_what_is_needed_is_said(data):
    with pytest.raises(ValueError, match="both are needed"):
        train(replace(data, valid=data.valid[:0]))


@pytest.mark.parametrize("accelerator", ["abacus", *([] if torch.cuda.is_available() else ["cuda"])])
def test_an_accelerator_that_is_not_or_not_here_is_refused(data, accelerator: str):
    with pytest.raises(ValueError, match=r"cuda|cpu"):
        train(data, 1, accelerator=accelerator)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_it_learns_on_a_gpu(data):
    encoder, fitted = train(data, epochs=30, validate_every=10, accelerator="cuda", pseudo_labels=Probation(0, 1, 2, 2))
    assert encoder.weight.is_cuda
    assert fitted.best_metrics["valid/mrr"] > fitted.history[0]["valid/mrr"]
    assert evaluate_encoder(encoder, data).metrics("both")["mrr"] > 0.1, "by chance it would be 0.006"
