from __future__ import annotations

import copyreg
import gzip
import os
import pickle
from collections import OrderedDict

import pytest

from gnnkg.data.plain_pickle import read_plain
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
