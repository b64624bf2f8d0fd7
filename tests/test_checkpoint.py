from __future__ import annotations

import errno
import os

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from gnnkg import checkpoint
from gnnkg.stored import DamagedFile

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(state=plain)
def test_what_is_saved_is_loaded(tmp_path_factory, state):
    file = tmp_path_factory.mktemp("state") / "a.safetensors"
    checkpoint.save(file, {"state": state})
    assert checkpoint.load(file) == {"state": state}


def test_tensors_come_back_bitwise(tmp_path):
    opt = torch.optim.Adam([torch.nn.Parameter(torch.randn(3, 2))])
    opt.param_groups[0]["params"][0].sum().backward()
    opt.step()
    state = {
        "o": opt.state_dict(),
        "half": torch.randn(2).bfloat16(),
        "empty": torch.empty(0, 3),
        "view": torch.randn(4, 4).t(),
    }
    checkpoint.save(tmp_path / "a", state)
    back = checkpoint.load(tmp_path / "a")
    assert torch.equal(back["o"]["state"][0]["exp_avg"], state["o"]["state"][0]["exp_avg"])
    assert back["o"]["param_groups"] == state["o"]["param_groups"]
    assert all(torch.equal(back[name], state[name]) for name in ("half", "empty", "view"))


def test_a_crash_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "a.safetensors"
    checkpoint.save(file, {"step": 1})

    def full_disk(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(file, {"step": 2})
    assert checkpoint.load(file) == {"step": 1}
    assert os.listdir(tmp_path) == ["a.safetensors"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: b"x" * len(data),
        lambda data: data[:-100] + bytes(100),
    ],
)
def test_a_damaged_file_is_named(tmp_path, damage):
    file = tmp_path / "a.safetensors"
    checkpoint.save(file, {"x": torch.ones(100)})
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(DamagedFile, match=r"a\.safetensors"):
        checkpoint.load(file)


def test_equal_states_are_equal_files(tmp_path):
    state = {"x": torch.ones(3), "step": 1, "about": [1.5, float("nan")]}
    for name in "abcdefgh":
        checkpoint.save(tmp_path / name, state)
    assert len({(tmp_path / name).read_bytes() for name in "abcdefgh"}) == 1
    checkpoint.load(tmp_path / "a")


def test_a_file_without_a_checksum_is_read(tmp_path):
    """As they were written at first."""
    save_file({"0": torch.ones(2)}, tmp_path / "a", metadata={"state": '{"dict": [["x", {"tensor": "0"}]]}'})
    assert torch.equal(checkpoint.load(tmp_path / "a")["x"], torch.ones(2))


def test_what_cannot_be_stored_is_refused(tmp_path):
    with pytest.raises(TypeError, match="function"):
        checkpoint.save(tmp_path / "a", {"f": lambda: 0})
