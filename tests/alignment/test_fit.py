"""Training on CLDR in two languages: it learns, it goes on where it stopped, it reads no test link."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from gnnkg.alignment.encoder import Modalities, structure_space
from gnnkg.alignment.features import relation_bag
from gnnkg.alignment.fit import FittedAlignment, evaluate_encoder, fit_alignment
from gnnkg.alignment.losses import AlignmentObjective
from gnnkg.alignment.pseudo_labels import PseudoLabels
from gnnkg.data.alignment import AlignmentData, cldr_in_two_languages
from gnnkg.encoders import DiagonalGAT


@pytest.fixture(scope="module")
def data() -> AlignmentData:
    return cldr_in_two_languages(languages=20)


def train(data: AlignmentData, epochs: int = 6, **settings: Any) -> tuple[Modalities, FittedAlignment]:
    torch.manual_seed(0)
    graph = data.graph
    structure = DiagonalGAT(graph, structure_space(graph.num_entities, 32))
    encoder = Modalities(structure, {"relations": relation_bag(graph, 60)}, 32)
    given = {"optimizer": partial(torch.optim.AdamW, lr=0.01), "batch_size": 100, "validate_every": 3} | settings
    return encoder, fit_alignment(encoder, AlignmentObjective(encoder.names), data, epochs=epochs, **given)


def test_it_learns(data):
    encoder, fitted = train(data, epochs=30, validate_every=10)
    first, last = fitted.history[0], fitted.history[-1]
    assert last["loss/gmi"] < first["loss/gmi"]
    untrained = Modalities(None, {"relations": relation_bag(data.graph, 60)}, 32)
    before = evaluate_encoder(untrained, data).metrics("both")["mrr"]
    after = evaluate_encoder(encoder, data).metrics("both")["mrr"]
    assert after > before + 0.1
    assert fitted.best_metrics["valid/mrr"] == max(row["valid/mrr"] for row in fitted.history)


def weights(encoder: Modalities) -> list[torch.Tensor]:
    return [value.detach().clone() for value in encoder.state_dict().values()]


def test_a_stopped_run_goes_on_as_if_it_had_not(data, tmp_path: Path):
    pseudo = {"every": 1, "renew": 2, "promote": 2}
    reference, never_stopped = train(data, 6, pseudo_labels=PseudoLabels(**pseudo), pseudo_from=2, validate_every=1)
    assert len(never_stopped.pseudo_labels)
    file = tmp_path / "checkpoint.safetensors"

    class Stopped(Exception):
        pass

    def stop(row: dict[str, float]) -> None:
        if row["epoch"] == 4:
            raise Stopped

    settings = {"validate_every": 1, "checkpoint": file, "checkpoint_seconds": 0.0}
    with pytest.raises(Stopped):
        train(data, 6, pseudo_labels=PseudoLabels(**pseudo), pseudo_from=2, report=stop, **settings)
    again, resumed = train(data, 6, pseudo_labels=PseudoLabels(**pseudo), pseudo_from=2, **settings)
    assert torch.equal(resumed.pseudo_labels, never_stopped.pseudo_labels)
    assert all(torch.equal(a, b) for a, b in zip(weights(again), weights(reference), strict=True))


def test_test_links_are_not_read(data):
    shuffled = replace(data, test=data.test[:1])
    settings = {"pseudo_labels": PseudoLabels(1, 2, 2)}
    first, _ = train(data, 3, **settings)
    second, _ = train(shuffled, 3, pseudo_labels=PseudoLabels(1, 2, 2))
    assert all(torch.equal(a, b) for a, b in zip(weights(first), weights(second), strict=True))


def test_what_is_needed_is_said(data):
    with pytest.raises(ValueError, match="both are needed"):
        train(replace(data, valid=data.valid[:0]))
    with pytest.raises(ValueError, match="neither is given"):
        Modalities(None, {})
