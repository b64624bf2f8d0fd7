"""Files that are cut off or are not what their names say: each is refused with its path."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from gnnkg.data.cache import content_hash
from gnnkg.data.files import from_files, from_folder
from gnnkg.data.side import json_field
from gnnkg.data.triples import DataError

LINES = "".join(f"e{i}\tr\te{j}\n" for i, j in np.random.default_rng(0).integers(0, 9999, (2000, 2))).encode()
NT = "".join(f"<http://x/{i}> <http://x/r> <http://x/{i * i}> .\n" for i in range(2000)).encode()


def damages(content: bytes) -> dict[str, bytes]:
    packed = gzip.compress(content)
    return {
        "cut off": packed[: len(packed) // 2],
        "no gzip": content,
        "scribbled": packed[:40] + b"\xff" * 40 + packed[80:],
        "other checksum": packed[:-8] + b"12345678",
    }


@pytest.mark.parametrize("damage", damages(b""))
@pytest.mark.parametrize("name", ["train.txt.gz", "train.nt.gz", "train.csv.gz"])
def test_a_damaged_gzip_file_of_facts(tmp_path, name, damage):
    content = NT if ".nt" in name else LINES if ".txt" in name else LINES.replace(b"\t", b",")
    path = tmp_path / name
    path.write_bytes(gzip.compress(content))
    from_files(path)
    path.write_bytes(damages(content)[damage])
    for read in (from_files, lambda path: from_folder(path.parent), lambda path: from_files(path, on_error="skip")):
        with pytest.raises(DataError, match=f"{name} is damaged, or not what its name says"):
            read(path)


@pytest.mark.parametrize("damage", damages(b""))
def test_a_damaged_gzip_file_beside_the_facts(tmp_path, damage):
    (tmp_path / "train.txt").write_text("a\tr\tb\n")
    for name in ("entities.dict.gz", "entity2text.txt.gz"):
        path = tmp_path / name
        path.write_bytes(damages(b"".join(b"%d\tx%d\n" % (i, i * i) for i in range(500)))[damage])
        with pytest.raises(DataError, match=f"{name} is damaged"):
            from_folder(tmp_path)
        path.unlink()
    path = tmp_path / "side.json.gz"
    path.write_bytes(damages(b"{}" * 99)[damage])
    for read in (content_hash, lambda path: json_field([path], "label")):
        with pytest.raises(DataError, match=r"side.json.gz is damaged"):
            read(path)


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more", b"a\tr\tb\n"])
def test_a_damaged_parquet_file(tmp_path, content):
    path = tmp_path / "train.parquet"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"train.parquet is damaged, or not what its name says"):
        from_folder(tmp_path)


def test_a_file_that_is_not_there_is_said_so(tmp_path):
    for name in ("train.txt", "train.txt.gz", "train.parquet", "train.nt"):
        with pytest.raises(FileNotFoundError, match=name):
            from_files(tmp_path / name)
