from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from gnnkg.stored import Arrays, cache_folder, computed_once, replacing, write_atomically


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GNNKG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Counted:
    """Computes an array of n sevens, and counts how often."""

    def __init__(self, n: int = 3) -> None:
        self.n, self.calls = n, 0

    def __call__(self) -> Arrays:
        self.calls += 1
        return {"sevens": torch.full((self.n,), 7, dtype=torch.int32), "none": torch.zeros(0, 2)}


def once(compute: Counted, **about: int) -> torch.Tensor:
    found = computed_once("sevens", about, compute)
    assert found["none"].shape == (0, 2)
    return found["sevens"]


def test_a_second_call_reads(cache: Path) -> None:
    compute = Counted()
    assert cache_folder() == cache
    for _ in range(3):
        assert torch.equal(once(compute, a=1), torch.tensor([7, 7, 7], dtype=torch.int32))
    assert compute.calls == 1
    once(compute, a=2)
    assert compute.calls == 2
    assert len(list((cache / "sevens").iterdir())) == 2


@pytest.mark.parametrize("place", [3, 60, -1, None])
def test_a_damaged_file_is_written_anew(cache: Path, place: int | None) -> None:
    compute = Counted(100)
    once(compute, a=1)
    (path,) = (cache / "sevens").iterdir()
    data = bytearray(path.read_bytes())
    if place is None:
        data = data[: len(data) // 2]
    else:
        data[place] ^= 255
    path.write_bytes(data)
    for _ in range(2):
        assert torch.equal(once(compute, a=1), torch.full((100,), 7, dtype=torch.int32))
        assert compute.calls == 2


def test_a_file_about_something_else_is_not_read(cache: Path) -> None:
    one, other = Counted(3), Counted(4)
    once(one, a=1)
    (path,) = (cache / "sevens").iterdir()
    once(other, a=2)
    (new,) = set((cache / "sevens").iterdir()) - {path}
    shutil.copy(path, new)
    assert len(once(other, a=2)) == 4
    assert other.calls == 2


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GNNKG_CACHE", str(tmp_path / "file"))
    compute = Counted()
    assert len(once(compute, a=1)) == len(once(compute, a=1)) == 3
    assert compute.calls == 2


def test_what_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_atomically(path, b"old")

    def fail() -> None:
        with replacing(path) as beside:
            beside.write_bytes(b"new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
