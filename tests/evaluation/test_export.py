from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pyarrow.parquet
import pytest
import torch

from gnnkg.core import Model
from gnnkg.encoders import Table
from gnnkg.evaluation.export import embeddings, export
from gnnkg.scorers import ComplEx, DistMult
from tests.evaluation.toys import PerQuery, given


@pytest.fixture
def labelled(dataset):
    labels = ("São Tomé", "twin", "twin", "", *(f"entity {i}" for i in range(4, 13)))
    return replace(dataset, entity_labels=labels)


@pytest.fixture
def model(dataset):
    scorer = DistMult(dim=4)
    return Model(Table(dataset.graph, scorer.space, entity_dropout=0.5), scorer)


def test_vectors_are_those_of_the_encoder(model, dataset):
    entity, relation = embeddings(model, dataset.graph)
    assert torch.equal(entity, model.encoder.entity)
    assert torch.equal(relation, model.encoder.relation)
    assert model.encoder.entity_dropout.training


def test_a_tied_inverse_is_exported_as_it_is_read(dataset):
    scorer = ComplEx(dim=2)
    model = Model(Table(dataset.graph, scorer.space, inverse="tied"), scorer)
    _, relation = embeddings(model, dataset.graph)
    assert relation.shape == (6, 4)
    assert torch.equal(relation[3:], scorer.space.inverse(relation[:3]))


def test_an_encoder_without_entity_vectors_is_refused(dataset):
    with pytest.raises(ValueError, match="PerQuery gives entities other vectors in each query"):
        embeddings(given(torch.randn(13, 6, 13), PerQuery), dataset.graph)


def test_parquet(model, labelled, tmp_path):
    entities, relations = export(model, labelled, tmp_path / "new" / "folder")
    table = pyarrow.parquet.read_table(entities)
    assert table.column_names == ["id", "identifier", "label", "vector"]
    assert table["label"].to_pylist() == list(labelled.entity_labels)
    assert table["identifier"].to_pylist() == list(labelled.entities)
    assert torch.equal(torch.tensor(table["vector"].to_pylist()), model.encoder.entity)
    table = pyarrow.parquet.read_table(relations)
    assert table["identifier"].to_pylist() == ["r0", "r1", "r2", *(f"(inverse of) r{i}" for i in range(3))]
    assert torch.equal(torch.tensor(table["vector"].to_pylist()), model.encoder.relation)


def test_npy(model, labelled, tmp_path):
    paths = export(model, labelled, tmp_path, "npy")
    assert [path.name for path in paths] == ["entities.npy", "entities.tsv", "relations.npy", "relations.tsv"]
    assert torch.equal(torch.from_numpy(np.load(paths[0], allow_pickle=False)), model.encoder.entity)
    with paths[1].open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    assert rows[:2] == [["id", "identifier", "label"], ["0", "e0", "São Tomé"]]
    assert len(rows) == 14


def test_word2vec(model, labelled, tmp_path):
    entities, relations = export(model, labelled, tmp_path, "word2vec")
    head, *lines = entities.read_text(encoding="utf-8").splitlines()
    assert head == "13 4"
    words, numbers = zip(*(line.split(" ", 1) for line in lines), strict=True)
    assert words[:5] == ("São_Tomé", "twin|e1", "twin|e2", "|e3", "entity_4")
    assert len(set(words)) == 13
    vectors = torch.tensor([[float(x) for x in line.split()] for line in numbers])
    assert torch.equal(vectors, model.encoder.entity)  # every digit that a float32 has
    assert relations.read_text(encoding="utf-8").startswith("6 4\n")


def test_word2vec_tells_apart_what_differs_by_its_white_space(dataset, tmp_path):
    names = ("a b", "a_b", *(f"e{i}" for i in range(11)))
    alike = replace(dataset, entities=names, entity_labels=names, graph=dataset.graph.named(None))
    scorer = DistMult(dim=4)
    entities, _ = export(Model(Table(alike.graph, scorer.space), scorer), alike, tmp_path, "word2vec")
    words = [line.split(" ", 1)[0] for line in entities.read_text(encoding="utf-8").splitlines()[1:]]
    assert words[:3] == ["a_b|a_b|0", "a_b|a_b|1", "e0"]


def test_an_unknown_format_is_refused(model, labelled, tmp_path):
    with pytest.raises(ValueError, match="parquet, npy, word2vec, not 'xls'"):
        export(model, labelled, tmp_path, "xls")
