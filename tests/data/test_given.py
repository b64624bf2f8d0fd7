from __future__ import annotations

import gzip

import pytest
import torch
import yaml

from gnnkg import experiment as experiments
from gnnkg import load
from gnnkg.data import DataError
from gnnkg.data.given import with_features, with_texts
from gnnkg.features import Numbers, TextNgrams


@pytest.fixture
def folder(tmp_path):
    facts = "a\tr\tb\nb\tr\tc\nc\ts\ta\nb\ts\td\n"
    path = tmp_path / "own"
    path.mkdir()
    (path / "train.txt").write_text(facts)
    return path


@pytest.fixture
def files(tmp_path):
    numbers, texts = tmp_path / "numbers.tsv.gz", tmp_path / "about.txt"
    numbers.write_bytes(gzip.compress(b"a\tarea\t2\na\tarea\t4\nb\tborn\t1960-07-01\nz\tarea\t7\n"))
    texts.write_text("b\tthe second one\nz\tof nobody\nc\t\na\ta first one\nd\tlast\n")
    return numbers, texts


def by_entity(rows, dataset):
    return dict(zip(dataset.entities, rows, strict=True))


def test_numbers_and_texts_of_ones_own(folder, files):
    numbers, texts = files
    dataset = load(str(folder), features={"numeric": numbers}, texts={"about": texts})
    feature = dataset.features["numeric"]
    assert feature.names == ("area", "born")
    values = by_entity(feature.values.tolist(), dataset)
    assert values["a"] == [3.0, 0.0]
    assert values["b"] == [0.0, pytest.approx(1960.5)]
    assert by_entity(feature.present.tolist(), dataset) == {
        "a": [True, False],
        "b": [False, True],
        "c": [False, False],
        "d": [False, False],
    }
    assert by_entity(dataset.texts["about"], dataset) == {
        "a": "a first one",
        "b": "the second one",
        "c": None,
        "d": "last",
    }
    assert f"features.numeric: 2 of 4 entities, from {numbers}, which has 1 unknown to own" in dataset.report.notes
    assert f"texts.about: 3 of 4 entities, from {texts}, which has 1 unknown to own" in dataset.report.notes
    assert torch.equal(Numbers()(dataset.graph)(dataset.graph).has, feature.has)
    read = TextNgrams(text="about", dim=2, no_text="absent")(dataset.graph)(dataset.graph)
    assert by_entity(read.has.tolist(), dataset) == {"a": True, "b": True, "c": False, "d": True}


def test_an_experiment_names_them_by_paths_that_hold_anywhere(folder, files, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    numbers, texts = files
    options = {"features": {"numeric": numbers.name}, "texts": {"about": texts.name}}
    given = yaml.safe_load("""
        scorer: {class_path: DistMult, init_args: {dim: 4}}
        sampler: {class_path: Uniform, init_args: {num_negatives: 4}}
        terms: {plain: {class_path: Ranking, init_args: {loss: CrossEntropy}}}
        optimizer: {class_path: Adagrad, init_args: {lr: 0.1}}
        steps: 1
    """)
    experiment = experiments.from_config({**given, "dataset": str(folder), "dataset_options": options})
    assert experiment.config["dataset_options"] == {
        "features": {"numeric": str(numbers)},
        "texts": {"about": str(texts)},
    }
    monkeypatch.chdir("/")
    dataset = experiments.load_dataset(experiments.from_config(experiment.config))
    assert dataset.features.keys() == {"numeric"}
    assert dataset.texts.keys() == {"about"}


def test_what_cannot_be_read_is_told(folder, files, tmp_path):
    numbers, texts = files
    dataset = load(str(folder), features={"numeric": numbers}, texts={"about": texts})
    for call, given, message in (
        (with_features, {"numeric": numbers}, "own has a feature numeric itself"),
        (with_texts, {"about": texts}, "own has a text about itself"),
        (with_features, {"x": tmp_path / "none.tsv"}, "there is no file"),
        (with_texts, {"x": tmp_path / "none.tsv"}, "there is no file"),
        (with_features, {"x": tmp_path / "x.csv"}, "x.csv: a feature is vectors"),
        (with_features, {"x": texts}, "about.txt, line 1: expected an identifier, an attribute and a finite number"),
    ):
        with pytest.raises(DataError, match=message):
            call(dataset, given)
    other = tmp_path / "other.tsv"
    other.write_text("x\theight\t1\ny\theight\t2\n")
    with pytest.raises(DataError, match=r"tells of 2 entities \(x, y, ...\), and of none of own's \(a, b, c, ...\)"):
        with_features(dataset, {"x": other})
    with pytest.raises(DataError, match=r"tells of 2 entities \(x, y, ...\), and of none of own's"):
        with_texts(dataset, {"x": other})
    other.write_bytes("a\tcaf\u00e9\n".encode("latin1"))
    with pytest.raises(DataError, match=r"other.tsv, line 1: expected UTF-8 text, found .*caf.xe9"):
        with_texts(dataset, {"x": other})
    other.write_bytes(b"")
    with pytest.raises(DataError, match="it is empty"):
        with_features(dataset, {"x": other})
    for number in ("nan", "inf", "1e39"):
        other.write_text(f"a\theight\t1\nb\theight\t{number}\n")
        with pytest.raises(DataError, match=r"other.tsv, line 2: expected .* a finite number"):
            with_features(dataset, {"x": other})


def test_attributes_that_would_get_one_label_stay_apart(folder, tmp_path):
    numbers = tmp_path / "numbers.tsv"
    numbers.write_text("a\thttp://x/ontology/area\t1\na\thttp://x/property/area\t9\na\thttp://x/ontology/mass\t2\n")
    feature = load(str(folder), features={"numeric": numbers}).features["numeric"]
    assert feature.names == ("http://x/ontology/area", "http://x/property/area", "mass")
