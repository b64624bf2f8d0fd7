"""A training as YAML says it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gnnkg import checkpoint
from gnnkg.alignment.pseudo_labels import Probation
from gnnkg.alignment.training import read_training, train_aligner
from gnnkg.config import ConfigError
from gnnkg.data.alignment import AlignmentData, cldr_in_two_languages
from gnnkg.encoders import SNAG, DiagonalGAT

FILE = """
encoder.structure: {class_path: DiagonalGAT, init_args: {num_layers: 1}}
encoder.noise: {rho: 0.2, epsilon: 0.7, structure_scale: 0.5, before_messages: true}
epochs: 2
dim: 12
pseudo_labels: {begin: 0, every: 1, renew: 2, promote: 2}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(FILE)
    return path


def test_a_file_changes_the_defaults_and_the_command_line_the_file(file):
    training = read_training(
        file, {"pseudo_labels.begin": 1, "iir": False, "encoder.num_heads": 3, "optimizer.lr": 0.5}
    )
    assert training.pseudo_labels == Probation(1, 1, 2, 2)
    assert not training.iir
    assert training.gmi
    assert training.config["encoder"]["init_args"]["num_heads"] == 3
    assert training.config["optimizer"]["init_args"]["lr"] == 0.5
    assert read_training(file, {"encoder.noise": None}).config["encoder"]["init_args"]["noise"] is None
    assert read_training(None, {"epochs": 3}).pseudo_labels is None
    derived = file.with_name("derived.yaml")
    derived.write_text("base: small.yaml\nencoder: DiagonalGAT\n")
    assert read_training(derived, {}).config["dim"] == 12


def test_names_may_stay_clean(file):
    changes = {"encoder.modalities.names": "TextNgrams", "encoder.noise.clean": ["names"]}
    training = read_training(file, changes)
    assert training.config["encoder"]["init_args"]["noise"]["clean"] == ["names"]
    encoder, _ = train_aligner(training, cldr_in_two_languages(languages=10))
    assert isinstance(encoder.encoder, SNAG)
    assert [modality.noise is None for modality in encoder.encoder.modalities] == [False, True]


def test_what_is_read_is_trained(file):
    data = cldr_in_two_languages(languages=10)
    encoder, fitted = train_aligner(read_training(file, {"encoder.modalities.names": "TextNgrams"}), data)
    snag = encoder.encoder
    assert isinstance(snag, SNAG)
    assert isinstance(snag.structure, DiagonalGAT)
    assert snag.structure.num_layers == 1
    assert encoder.names == ("structure", "relations", "names")
    assert fitted.history[-1]["epoch"] == 2
    assert encoder.encoder.fusion.reader.direction is None
    again, _ = train_aligner(read_training(file, {"encoder.modalities.names": "TextNgrams"}), data)
    assert all(torch.equal(a, b) for a, b in zip(encoder.parameters(), again.parameters(), strict=True))
    alone, _ = train_aligner(read_training(file, {"encoder": "DiagonalGAT"}), data)
    assert alone.names == ("structure",)


def test_a_checkpoint_of_another_training_is_refused(file, tmp_path: Path):
    data, kept = cldr_in_two_languages(languages=10), tmp_path / "checkpoint.safetensors"
    train_aligner(read_training(file, {"stop_after": 0.0}), data, checkpoint=kept)

    def refused(said: str, seed: int = 0, links: AlignmentData = data, **changes: object) -> None:
        with pytest.raises(ValueError, match=rf"checkpoint.safetensors is of another training, and differs in {said}"):
            train_aligner(read_training(file, changes), links, seed, kept)

    refused(r"dim \(12 there, 24 here\): delete it", dim=24)
    refused(r"seed \(0 there, 1 here\)", seed=1)
    named = replace(data.left, entity_labels=tuple(f"{label}!" for label in data.left.entity_labels))
    refused(r"the left labels, texts and features: delete it", links=replace(data, left=named))
    refused(r"the seeds: delete it", links=replace(data, train=data.train[1:]))
    refused(
        r"the left graph, the right graph, the left labels, texts and features, the right labels, .* and 1 more: ",
        links=cldr_in_two_languages(languages=10, seed=1),
    )
    elsewhere = read_training(file, {"accelerator": "auto"})
    _, fitted = train_aligner(elsewhere, replace(data, test=data.test[1:]), checkpoint=kept)
    assert fitted.history[-1]["epoch"] == 2, "more time, another place and other test links change no training"

    state = checkpoint.load(kept)
    del state["origin"]
    checkpoint.save(kept, state)
    with pytest.raises(ValueError, match=r"does not say what it was trained on.*delete it"):
        train_aligner(read_training(file, {}), data, checkpoint=kept)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"encoder.modalities.names": "TextNgram"}, "there is no feature 'TextNgram' .did you mean TextNgrams"),
        ({"pseudo_labels.nearest": "euclid"}, "pseudo_labels.nearest: expected"),
        ({"pseudo_label": {}}, "no key 'pseudo_label' .did you mean pseudo_labels"),
        ({"pseudo_labels": {"renew": 1, "promote": 1}}, "must not come right after a replacement"),
        ({"epochs": "many"}, "epochs: expected int, found 'many'"),
        ({"seed": 3}, "accepts no key 'seed'"),
    ],
)
def test_mistakes_are_told_with_their_place(file, changes, said):
    with pytest.raises(ConfigError, match=f"small.yaml: .*{said}"):
        read_training(file, changes)


def test_epochs_must_be_said():
    with pytest.raises(ConfigError, match=r"the training: .*needs epochs"):
        read_training(None, {})
