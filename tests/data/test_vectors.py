"""Vectors that other programs have saved: read, matched to entities, kept, and read again by ``load``."""

from __future__ import annotations

import gzip
import json
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from gnnkg.data import DataError, load
from gnnkg.data.dataset import Dataset
from gnnkg.data.vectors import (
    matched,
    published_ids,
    read_feature,
    read_links,
    read_missing,
    read_vectors,
    write_feature,
)
from gnnkg.data.vectors.reading import Vectors
from gnnkg.features import Given

TABLE = np.arange(12, dtype=np.float32).reshape(4, 3)
BY_NAME = {name: TABLE[i] for i, name in enumerate("cabd")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four entities with published ids that are not in the order of their names."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.txt").write_text("a\tr\tb\nb\tr\tc\nc\tr\td\n")
    (folder / "entities.dict").write_text("0\tc\n1\ta\n2\tb\n3\td\n")
    return folder


@pytest.fixture
def dataset(folder: Path) -> Dataset:
    return load(str(folder))


def by_name(values: torch.Tensor, dataset: Dataset) -> dict[str, list[float]]:
    return {name: values[i].tolist() for i, name in enumerate(dataset.entities)}


WRITERS = {
    "table.pth": lambda path: torch.save(torch.from_numpy(TABLE), path),
    "half.pt": lambda path: torch.save({"x": torch.from_numpy(TABLE).to(torch.bfloat16)}, path),
    "table.npy": lambda path: np.save(path, TABLE.astype(np.float64)),
    "table.npz": lambda path: np.savez(path, features=TABLE),
    "table.safetensors": lambda path: safetensors.numpy.save_file({"features": TABLE}, path),
    "ids.pkl": lambda path: path.write_bytes(pickle.dumps({i: TABLE[i] for i in (3, 1, 0, 2)})),
    "names.pkl": lambda path: path.write_bytes(pickle.dumps(BY_NAME)),
    "tensors.pkl": lambda path: path.write_bytes(pickle.dumps({i: torch.from_numpy(TABLE[i]) for i in range(4)})),
    "names.pth": lambda path: torch.save({name: torch.from_numpy(row) for name, row in BY_NAME.items()}, path),
    "ids.pkl.gz": lambda path: path.write_bytes(gzip.compress(pickle.dumps({i: TABLE[i] for i in range(4)}))),
    "arrays.pth": lambda path: torch.save(BY_NAME, path),
    "array.pt": lambda path: torch.save(TABLE.astype(np.float64), path, _use_new_zipfile_serialization=False),
    "names.npz": lambda path: np.savez(path, **BY_NAME),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_feature(name, tmp_path, folder, dataset):
    WRITERS[name](tmp_path / name)
    found = matched(read_vectors(tmp_path / name), dataset, "image", ids=published_ids(str(folder), dataset))
    assert by_name(found.feature.values, dataset) == {key: row.tolist() for key, row in BY_NAME.items()}
    assert found.feature.has.all()
    assert found.feature.names == ("image 0", "image 1", "image 2")
    assert found.notes == ("4 of 4 entities have 3 numbers",)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: torch.ones(4, 3).to_sparse(), r"holds a sparse tensor.*: save tensor.to_dense\(\) instead"),
        (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "holds a nested tensor"),
        (lambda: torch.quantize_per_tensor(torch.ones(4, 3), 0.1, 0, torch.qint8), "holds a quantised tensor"),
        (lambda: torch.ones(4, 0), r"holds a table of shape \(4, 0\): there is no number in it"),
        (lambda: {"a": np.ones(0), "b": np.ones(0)}, r"holds a table of shape \(2, 0\)"),
    ],
    ids=["sparse", "nested", "quantised", "no width", "no width by name"],
)
@pytest.mark.filterwarnings("ignore")
def test_tensors_without_numbers_that_lie_there_are_refused(made, said, tmp_path):
    torch.save(made(), tmp_path / "table.pth")
    with pytest.raises(DataError, match=rf"table\.pth {said}"):
        read_vectors(tmp_path / "table.pth")


def test_several_vectors_of_one_name_are_averaged_out_of_hdf5(tmp_path, dataset):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "sentences.h5", "w") as file:
        file["a"] = TABLE[:2]
        file["b"] = TABLE[2]
        file["d"] = np.zeros((0, 3))
        file["AC/DC"] = TABLE
    vectors = read_vectors(tmp_path / "sentences.h5")
    assert set(vectors.keys) == {"a", "b", "AC/DC"}
    found = matched(vectors, dataset, "text")
    assert by_name(found.feature.values, dataset)["a"] == TABLE[:2].mean(0).tolist()
    assert found.feature.has.tolist() == [False, True, True, False]
    assert found.notes[1:] == (
        "2 of them the mean of several vectors",
        "1 rows are of no entity of data: 'AC/DC'",
    )
    (tmp_path / "sentences.h5").write_bytes(b"no")
    with pytest.raises(DataError, match=r"sentences\.h5 is no HDF5 file"):
        read_vectors(tmp_path / "sentences.h5")


def test_without_h5py_the_command_that_mends_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    (tmp_path / "x.h5").write_bytes(b"")
    with pytest.raises(ImportError, match="pip install 'gnnkg"):
        read_vectors(tmp_path / "x.h5")


def test_what_is_missing_is_masked_and_a_zero_row_is_not(tmp_path, folder, dataset):
    table = TABLE.copy()
    table[1] = 0
    (tmp_path / "missing.json").write_text(json.dumps({"D-visual.pth": [0, 3], "D-textual.pth": []}))
    missing = read_missing(tmp_path / "missing.json", "D-visual.pth")
    ids = published_ids(str(folder), dataset)
    found = matched(Vectors(table, None, "D-visual.pth"), dataset, "image", ids=ids, missing=missing)
    assert found.feature.has.tolist() == [False, True, True, False]
    assert not found.feature.values[[0, 3]].any()
    assert found.notes[0] == "2 of 4 entities have 3 numbers"
    assert found.notes[1].startswith("1 rows are zeros and count as present")
    assert read_missing(tmp_path / "missing.json", "D-textual.pth") == []
    with pytest.raises(DataError, match=r"lists nothing for 'x'; it has 'D-visual.pth', 'D-textual.pth'"):
        read_missing(tmp_path / "missing.json", "x")
    with pytest.raises(DataError, match=r"said to be missing is no entity of data: 9"):
        matched(Vectors(table, None, "D-visual.pth"), dataset, "image", ids=ids, missing=[9])
    (tmp_path / "missing.json").write_text("[1.5]")
    with pytest.raises(DataError, match="expected a list of ids or names"):
        read_missing(tmp_path / "missing.json", "x")


def test_links_lead_from_other_names(tmp_path):
    (tmp_path / "d").mkdir()
    identifiers = [f"<http://dbpedia.org/resource/{name}>" for name in ("Ettore_Scola", "AC/DC", "Paris")]
    (tmp_path / "d" / "train.tsv").write_text(
        f"{identifiers[0]}\tr\t{identifiers[1]}\n{identifiers[1]}\tr\t{identifiers[2]}\n"
    )
    dataset = load(str(tmp_path / "d"))
    (tmp_path / "same.txt").write_text(f"/m/01 <SameAs> {identifiers[0]} .\n\n/m/02 <SameAs> {identifiers[1]} .\n")
    (tmp_path / "ent_links.txt").write_text("http://dbpedia.org/resource/Paris\thttp://www.wikidata.org/entity/Q90\n")
    links = read_links(tmp_path / "same.txt") | read_links(tmp_path / "ent_links.txt")
    direct = Vectors(TABLE[:2], ("Ettore_Scola", "AC/DC"), "x")
    assert matched(direct, dataset, "x").feature.has.sum() == 2
    found = matched(Vectors(TABLE[:3], ("/m/01", "/m/02", "Q90"), "x"), dataset, "x", links=links).feature
    assert [found.values[dataset.entities.index(name)].tolist() for name in identifiers] == TABLE[:3].tolist()
    (tmp_path / "same.txt").write_text("one\n")
    with pytest.raises(DataError, match=r"same\.txt, line 1: expected two names of one thing"):
        read_links(tmp_path / "same.txt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((2, 2, 2)), r"x\.npy holds an array of shape \(2, 2, 2\)"),
        (np.array([[0.0, np.nan], [np.inf, 1.0], [0.0, 0.0]]), r"x\.npy: row 0 has a number that is NaN.* 2 of 3 rows"),
        (np.array([["a", "b"]]), "no array of numbers"),
        (np.zeros((2, 2), complex), "no array of numbers"),
    ],
)
def test_a_table_that_is_none_is_told(content, message, tmp_path):
    np.save(tmp_path / "x.npy", content)
    with pytest.raises(DataError, match=message):
        read_vectors(tmp_path / "x.npy")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({1: np.ones(2), 2: np.ones(3)}, r"1 has 2 numbers and 2 3; .*--key"),
        ({}, "holds no vector"),
        ({1.5: np.ones(2)}, "an id or a name, not 1.5"),
        ({1: np.ones((1, 1, 2))}, r"1 has shape \(1, 1, 2\)"),
        ({1: {"image": np.ones(2)}}, r"1 holds 'image' \(2,\) and no vector"),
        ({1: "text"}, "holds str 'text', and no array of numbers"),
        ({1: None}, "no array of numbers"),
        ([[1.0, 2.0], [1.0]], "no array of numbers"),
    ],
)
def test_a_mapping_that_is_none_is_told(content, message, tmp_path):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=message):
        read_vectors(tmp_path / "x.pkl")


def test_files_that_cannot_be_read_are_named(tmp_path):
    for name in ("x.npy", "x.npz", "x.safetensors", "x.pth", "x.pkl"):
        (tmp_path / name).write_bytes(b"\x00nothing")
        with pytest.raises(DataError, match=name.replace(".", r"\.")):
            read_vectors(tmp_path / name)
    np.save(tmp_path / "x.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(DataError, match="no file of plain numpy arrays"):
        read_vectors(tmp_path / "x.npy")
    with pytest.raises(DataError, match="there is no file"):
        read_vectors(tmp_path / "absent.pth")
    with pytest.raises(DataError, match=r"vectors are read from \.pth, .*, not from '\.csv'"):
        read_vectors(tmp_path / "x.csv")
    np.savez(tmp_path / "two.npz", one=TABLE, two=TABLE + 1)
    assert read_vectors(tmp_path / "two.npz", "two").values[0, 0] == 1
    with pytest.raises(DataError, match=r"has no array 'three'; it has 'one' \(4, 3\), 'two' \(4, 3\)"):
        read_vectors(tmp_path / "two.npz", "three")


def test_rows_by_number_need_published_ids(tmp_path, dataset, folder):
    vectors, ids = Vectors(TABLE, None, "t.pth"), published_ids(str(folder), dataset)
    with pytest.raises(DataError, match=r"t\.pth names rows by number, and the ids of data .* give --ids FILE"):
        matched(vectors, dataset, "image")
    for rows in (TABLE[:3], np.concatenate([TABLE, TABLE])):
        with pytest.raises(DataError, match=rf"t\.pth has {len(rows)} rows of 3 numbers, and the ids of data go to 3"):
            matched(Vectors(rows, None, "t.pth"), dataset, "image", ids=ids)
    shared = matched(Vectors(np.concatenate([TABLE, TABLE]), None, "t"), dataset, "x", ids={5: "a", 6: "b"})
    assert shared.feature.has.tolist() == [False, True, True, False], "ids that two graphs share"
    (folder / "entities.dict").unlink()
    assert published_ids(str(folder), load(str(folder))) is None
    (folder / "train.txt").write_text("10\tr\t2\n")
    assert published_ids(str(folder), load(str(folder))) == {10: "10", 2: "2"}


def test_names_that_fit_nothing_or_twice_are_told(dataset):
    with pytest.raises(
        DataError, match=r"none of its 2 rows is of an entity of data. It names 'x', 'y'; the data set has 'c'"
    ):
        matched(Vectors(TABLE[:2], ("x", "y"), "t"), dataset, "image")
    with pytest.raises(DataError, match="'a' and 1 are both 'a'"):
        matched(Vectors(TABLE[:2], ("a", 1), "t"), dataset, "image", ids={1: "a"})


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_what_is_kept_is_read_again_by_identifier(suffix, tmp_path, folder, dataset):
    feature = matched(Vectors(TABLE[:3], ("a", "c", "d"), "t"), dataset, "image").feature
    path = write_feature(tmp_path / "deep" / f"image{suffix}", feature, dataset.entities)
    (folder / "entities.dict").unlink()  # other ids: sorted names
    loaded = load(str(folder), features={"image": path})
    assert loaded.entities != dataset.entities
    expected = {"a": TABLE[0].tolist(), "c": TABLE[1].tolist(), "d": TABLE[2].tolist(), "b": [0.0] * 3}
    assert by_name(loaded.features["image"].values, loaded) == expected
    assert loaded.features["image"].has.tolist() == [True, False, True, True]
    assert f"features.image: 3 of 4 entities, from {path}" in loaded.report.notes
    assert Given("image")(loaded.graph)(loaded.graph) is loaded.features["image"]


def test_words_that_are_numbers_are_published_ids_where_all_are(dataset):
    """Not the names of other entities that look so."""
    ids = {0: "c", 1: "a", 2: "b", 3: "d"}
    labels = tuple({"c": "1", "a": "0"}.get(name, name) for name in dataset.entities)
    found = matched(
        Vectors(TABLE, tuple("0123"), "t"), replace(dataset, entity_labels=labels), "image", ids=ids, missing=["2"]
    ).feature
    expected = {"c": TABLE[0].tolist(), "a": TABLE[1].tolist(), "b": [0.0] * 3, "d": TABLE[3].tolist()}
    assert by_name(found.values, dataset) == expected


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"values": np.full((4, 3), np.nan, np.float32)}, "NaN or infinite, of c, a, b: leave these out of the mask"),
        (
            {"values": np.ones(4, np.float32)},
            r"expected numbers \(entities, numbers\) and a mask \(entities\), not \(4,\)",
        ),
        ({"present": np.ones((4, 3), bool)}, r"and \(4, 3\)"),
        ({"values": np.ones((4, 3), np.complex64)}, "complex64"),
    ],
)
def test_kept_features_are_checked(changes, said, tmp_path, dataset):
    kept = {"entities": np.array(dataset.entities), "values": TABLE, "present": np.ones(4, bool)}
    np.savez(tmp_path / "x.npz", **(kept | changes))
    with pytest.raises(DataError, match=said):
        read_feature(tmp_path / "x.npz", dataset, "image")


def test_kept_features_of_other_types_are_read(tmp_path, dataset):
    values, present = TABLE.astype(np.float64), np.array([1, 0, 1, 1])
    values[1] = np.inf  # where nothing is
    np.savez(tmp_path / "x.npz", entities=np.array(dataset.entities), values=values, present=present)
    found = read_feature(tmp_path / "x.npz", dataset, "image")
    assert found.values.dtype == torch.float32
    assert found.has.tolist() == [True, False, True, True]
    assert found.values[1].tolist() == [0.0] * 3


def test_files_that_keep_no_feature_are_told(tmp_path, dataset):
    feature = matched(Vectors(TABLE, tuple("cabd"), "t"), dataset, "image").feature
    other = write_feature(tmp_path / "other.npz", feature, ("w", "x", "y", "z"))
    with pytest.raises(DataError, match=r"vectors of 4 entities \(w, x, y, ...\), and none of data's \(c, a, b, ...\)"):
        read_feature(other, dataset, "image")
    np.savez(tmp_path / "foreign.npz", values=TABLE)
    safetensors.numpy.save_file({"values": TABLE}, tmp_path / "foreign.safetensors")
    for name in ("foreign.npz", "foreign.safetensors"):
        with pytest.raises(DataError, match="was not written by gnnkg convert"):
            read_feature(tmp_path / name, dataset, "image")
    with pytest.raises(DataError, match=r"kept as \.safetensors or \.npz"):
        read_feature(tmp_path / "x.pth", dataset, "image")
    with pytest.raises(DataError, match="there is no file"):
        read_feature(tmp_path / "absent.npz", dataset, "image")
