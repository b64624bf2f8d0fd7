from __future__ import annotations

import copyreg
import gzip
import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch

from gnnkg.data.plain_pickle import read_arrays, read_plain, read_tensors
from gnnkg.data.triples import DataError

PLAIN = {"ids": [(6180, (296,)), (2**70, -1.5)], "names": {"a", "ü"}, "raw": b"\x00", "none": None, "yes": True}


class Malicious:
    """Makes a folder when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


class Extended:
    pass


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("packed", [False, True])
def test_built_in_values_come_back(protocol, packed, tmp_path):
    path = tmp_path / ("values.pkl.gz" if packed else "values.pkl")
    value = (
        PLAIN if protocol >= 4 else {key: PLAIN[key] for key in ("ids", "none", "yes")}
    )  # older ones name set and bytes
    content = pickle.dumps(value, protocol)
    path.write_bytes(gzip.compress(content) if packed else content)
    assert read_plain(path) == value


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_malicious_pickle_is_refused_and_does_nothing(protocol, tmp_path):
    made, path = tmp_path / "made", tmp_path / "bad.pkl"
    path.write_bytes(pickle.dumps([1, Malicious(str(made))], protocol))
    with pytest.raises(DataError, match=r"bad\.pkl is no pickle of built-in values: it names \w+\.mkdir"):
        read_plain(path)
    assert not made.exists()
    pickle.loads(path.read_bytes())
    assert made.exists(), "the pickle would have done it"


def test_classes_extensions_and_references_are_refused(tmp_path):
    path = tmp_path / "bad.pkl"
    path.write_bytes(pickle.dumps(OrderedDict(a=1)))
    with pytest.raises(DataError, match=r"it names collections\.OrderedDict"):
        read_plain(path)
    copyreg.add_extension(__name__, "Extended", 240)
    try:
        path.write_bytes(pickle.dumps(Extended, 2))
        assert b"\x82" in path.read_bytes()  # EXT1: a number instead of a name
        with pytest.raises(DataError, match=r"it names .*Extended"):
            read_plain(path)
    finally:
        copyreg.remove_extension(__name__, "Extended", 240)
    path.write_bytes(b"Pa\n.")  # PERSID
    with pytest.raises(DataError, match="refers to an object outside"):
        read_plain(path)


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps(PLAIN)[:-20]], ids=["empty", "text", "cut off"])
def test_a_damaged_file_is_named(content, tmp_path):
    path = tmp_path / "damaged.pkl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"damaged\.pkl is no pickle"):
        read_plain(path)


ARRAYS = {
    3: np.arange(6, dtype=np.float64).reshape(2, 3),
    "half": np.array([1.5, -2.0], np.float16),
    "columns first": np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
    "bytes": np.array([[0, 255]], np.uint8),
    "empty": np.zeros((0, 4), np.float32),
    "scalar": np.float32(0.5),
    "list": [np.array([True, False])],
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_come_back(protocol, tmp_path):
    path = tmp_path / "arrays.pkl"
    path.write_bytes(pickle.dumps(ARRAYS, protocol))
    found = read_arrays(path)
    assert list(found) == list(ARRAYS)
    assert found["scalar"] == 0.5
    for key in ARRAYS.keys() - {"scalar", "list"}:
        assert found[key].dtype == ARRAYS[key].dtype
        np.testing.assert_array_equal(found[key], ARRAYS[key])
    np.testing.assert_array_equal(found["list"][0], [True, False])
    with pytest.raises(DataError, match=r"no pickle of built-in values: it names (numpy|_codecs)"):
        read_plain(path)


def test_an_array_that_python_2_wrote(tmp_path):
    path = tmp_path / "old.pkl"
    raw = np.array([1.0, 2.0]).tobytes()
    path.write_bytes(
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        b"(I1\n(I2\ntcnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n"
        + b"U" + bytes([len(raw)]) + raw + b"tb."
    )  # fmt: skip
    np.testing.assert_array_equal(read_arrays(path), [1.0, 2.0])


@pytest.mark.parametrize("protocol", [2, 4])
def test_tensors_in_a_pickle_come_back(protocol, tmp_path):
    path = tmp_path / "tensors.pkl"
    whole = torch.arange(12.0).view(3, 4)
    path.write_bytes(pickle.dumps({"part": whole[:, 1], "ids": torch.tensor([2, 3])}, protocol))
    found = read_arrays(path)
    assert torch.equal(found["part"], whole[:, 1])
    assert torch.equal(found["ids"], torch.tensor([2, 3]))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_malice_beside_arrays_is_refused_and_does_nothing(protocol, tmp_path):
    made, path = tmp_path / "made", tmp_path / "bad.pkl"
    path.write_bytes(pickle.dumps({1: np.ones(2), 2: Malicious(str(made))}, protocol))
    with pytest.raises(
        DataError, match=r"bad\.pkl is no pickle of built-in values and arrays of numbers: it names \w+\.mkdir"
    ):
        read_arrays(path)
    inside = np.array([Malicious(str(made))], dtype=object)
    path.write_bytes(pickle.dumps({1: inside}, protocol))
    with pytest.raises(DataError, match=r"bad\.pkl"):
        read_arrays(path)
    assert not made.exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array(["a"]), "holds no plain numbers"),
        (np.array([None]), "holds no plain numbers"),
        (np.zeros(2, [("a", "f4")]), "holds no plain numbers"),
        (np.array(["2026-01-01"], "M8[D]"), "holds no plain numbers"),
    ],
    ids=["text", "objects", "records", "dates"],
)
def test_other_arrays_are_refused(value, message, tmp_path):
    path = tmp_path / "odd.pkl"
    path.write_bytes(pickle.dumps(value, 4))
    with pytest.raises(DataError, match=message):
        read_arrays(path)


def test_sizes_that_lie_are_refused(tmp_path):
    path = tmp_path / "lies.pkl"
    content = pickle.dumps(np.arange(4, dtype=np.float32), 4)
    assert content.count(b"K\x04\x85") == 1  # the shape, (4,)
    path.write_bytes(content.replace(b"K\x04\x85", b"K\x09\x85"))
    with pytest.raises(DataError, match="cannot reshape"):
        read_arrays(path)
    path.write_bytes(pickle.dumps(torch.arange(4.0), 4).replace(b"K\x00K\x04\x85", b"K\x00K\x09\x85"))
    with pytest.raises(DataError, match="out of bounds"):
        read_arrays(path)


def test_what_torch_saved_is_read_without_running_code(tmp_path):
    path = tmp_path / "saved.pth"
    tensors = {"table": torch.ones(2, 3), "names": ["a", "b"]}
    for zipped in (True, False):
        torch.save(tensors, path, _use_new_zipfile_serialization=zipped)
        found = read_tensors(path)
        assert torch.equal(found["table"], tensors["table"])
        assert found["names"] == ["a", "b"]
        made = tmp_path / "made"
        torch.save({"table": torch.ones(2), "more": Malicious(str(made))}, path, _use_new_zipfile_serialization=zipped)
        with pytest.raises(DataError, match=r"saved\.pth is no file of tensors .* it names \w+\.mkdir"):
            read_tensors(path)
        assert not made.exists()
    torch.save({"table": np.ones(2)}, path)
    assert read_tensors(path)["table"].tolist() == [1, 1]
    torch.save({"table": np.array([{}])}, path)
    with pytest.raises(DataError, match=r"an array of 'O8' holds no plain numbers.*save plain tensors"):
        read_tensors(path)
    path.write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"saved\.pth is no file of tensors"):
        read_tensors(path)
