from __future__ import annotations

import json
import os
import pickle

import pytest
import torch

from gnnkg.cli import main
from gnnkg.data import load
from gnnkg.data.vectors import read_tokens
from gnnkg.experiment import build, from_config, load_dataset, read
from tests.cli.conftest import EXPERIMENT
from tests.cli.test_missing import SNAG

GIVEN = SNAG.replace(
    "name: {class_path: TextNgrams, init_args: {dim: 8}}", "image: {class_path: Given, init_args: {feature: image}}"
)


def test_vectors_become_a_modality_that_an_experiment_finds_from_any_folder(family, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.save({f"Person {i}": torch.randn(5) for i in range(15)}, "image.pth")
    assert main(["convert", "image.pth", "image.safetensors", "--dataset", str(family)]) == 0
    out = capsys.readouterr().out
    assert "15 of 20 entities have 5 numbers" in out
    option = "dataset_options: {features: {image: image.safetensors}}"
    assert option in out
    (tmp_path / "experiment.yaml").write_text(EXPERIMENT.format(folder=family) + GIVEN + option)
    config = read("experiment.yaml").config
    assert config["dataset_options"] == {"features": {"image": str(tmp_path / "image.safetensors")}}
    monkeypatch.chdir(tmp_path.parent)
    experiment = from_config(config)
    dataset = load_dataset(experiment)
    assert dataset.features["image"].has.sum() == 15
    model, _ = build(experiment, dataset)
    assert torch.equal(model.encoder.modalities[0].values, dataset.features["image"].values)


def test_tokens_become_the_mean_of_their_rows_of_a_codebook(family, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    codebook = torch.randn(6, 4)
    torch.save(codebook, "visual.pth")
    tokens = {"Person 1": [2, 5, 5], "Person 3": [0], "Person 4": []}
    (tmp_path / "tokens.json").write_text(json.dumps(tokens))
    to = ["visual.npz", "--dataset", str(family)]
    assert main(["convert", "tokens.json", *to, "--codebook", "visual.pth"]) == 0
    assert "2 of 20 entities have 4 numbers" in capsys.readouterr().out
    dataset = load(str(family), features={"visual": "visual.npz"})
    place = dataset.entity_labels.index("Person 1")
    assert torch.allclose(dataset.features["visual"].values[place], (codebook[2] + 2 * codebook[5]) / 3)
    for content, message in (
        ({"Person 1": [6]}, "'Person 1' has the token 6, and visual.pth has rows 0 to 5"),
        ({"Person 1": 2}, "tokens are a list of whole numbers"),
        ({"Person 1": [True]}, "tokens are a list of whole numbers"),
        ({"Person 1": []}, "no entity has a token"),
        ([1], "a mapping of entities to lists"),
    ):
        (tmp_path / "bad.json").write_text(json.dumps(content))
        assert main(["convert", "bad.json", *to, "--codebook", "visual.pth"]) == 2
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["convert", "tokens.json", *to])
    assert "--codebook and tokens go together" in capsys.readouterr().err


def test_tokens_of_numbers_are_those_of_names_or_published_ids(tmp_path, capsys):
    torch.save(torch.eye(3), tmp_path / "codes.pth")
    (tmp_path / "tokens.json").write_text('{"0": [1, 1], "7": [0, 2]}')
    vectors = read_tokens(tmp_path / "tokens.json", tmp_path / "codes.pth")
    assert vectors.keys == ("0", "7")
    assert vectors.values.tolist() == [[0, 1, 0], [0.5, 0, 0.5]]
    assert vectors.pooled == 2
    graph = tmp_path / "graph"
    graph.mkdir()
    (graph / "train.txt").write_text("7\tknows\tOrwell\nOrwell\tknows\tSnyder\n")
    (tmp_path / "ids.txt").write_text("Orwell 0\nSnyder 7\n")
    files = [str(tmp_path / name) for name in ("tokens.json", "out.npz")]
    more = ["--dataset", str(graph), "--codebook", str(tmp_path / "codes.pth"), "--ids", str(tmp_path / "ids.txt")]
    assert main(["convert", *files, *more]) == 0
    dataset = load(str(graph), features={"codes": files[1]})
    found = dict(zip(dataset.entities, dataset.features["codes"].values.tolist(), strict=True))
    assert found["7"] == [0.5, 0, 0.5]  # a name comes first
    assert found["Orwell"] == [0, 1, 0]
    assert dataset.features["codes"].has.sum() == 2


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("made",)


def test_a_mistake_gets_one_message_and_runs_nothing(family, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.save(torch.ones(20, 3), "table.pth")
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps({"Person 1": Malicious()}))
    (tmp_path / "missing.json").write_text(json.dumps({"other.pth": [1]}))
    to = ["out.npz", "--dataset", str(family)]
    for arguments, message in (
        (["table.pth", *to], "give --ids FILE, such as entity2id.txt"),
        (["bad.pkl", *to], "bad.pkl is no pickle of built-in values and arrays of numbers"),
        (["table.pth", *to, "--missing", "missing.json"], "lists nothing for 'table.pth'; it has 'other.pth'"),
        (["table.pth", "out.csv", "--dataset", str(family)], "kept as .safetensors or .npz"),
    ):
        assert main(["convert", *arguments]) == 2
        assert message in capsys.readouterr().err
    assert sorted(os.listdir()) == ["bad.pkl", "missing.json", "table.pth"]


def test_ids_of_one_s_own_say_whose_rows_they_are(family, tmp_path, capsys):
    torch.save(torch.arange(20.0).unsqueeze(1).expand(20, 3).clone(), tmp_path / "table.pth")
    (tmp_path / "entity2id.txt").write_text("".join(f"Person {i}\t{19 - i}\n" for i in range(20)))
    arguments = [str(tmp_path / "table.pth"), str(tmp_path / "out.npz"), "--dataset", str(family)]
    assert main(["convert", *arguments, "--ids", str(tmp_path / "entity2id.txt")]) == 0
    from gnnkg.data import load

    dataset = load(str(family), features={"out": tmp_path / "out.npz"})
    for i in range(20):
        row = dataset.features["out"].values[dataset.entity_id(f"Person {i}")]
        assert row.tolist() == pytest.approx([19 - i] * 3)
