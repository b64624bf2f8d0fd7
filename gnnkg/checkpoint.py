"""Nested states (tensors, numbers, strings, lists, dicts) to one safetensors file and back, atomically and without pickle."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from gnnkg.stored import DamagedFile, write_atomically


def save(path: Path, state: Any) -> None:
    """Writes beside the old file, flushes to the disk, then takes its place: a crash or a full disk leaves the old file whole.

    Raises OSError where the file could not be written (the old one is untouched), TypeError for a value that it cannot hold.
    """
    tensors: dict[str, Tensor] = {}
    packed = json.dumps(_pack(state, tensors))
    about = json.dumps({"checksum": _checksum(packed, tensors), "packed": packed})
    # one key: the order of several would be another each time, and equal states shall be equal files
    write_atomically(path, safetensors.torch.save(tensors, metadata={"state": about}))


def load(path: Path, device: str | torch.device = "cpu", *, remedy: str = "") -> Any:
    """Reads what ``save`` wrote. Raises FileNotFoundError, or DamagedFile; ``remedy`` says what helps beside a copy."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
            about = json.loads((file.metadata() or {})["state"])
        if not isinstance(about, dict) or "checksum" not in about:  # files had none at first
            return _unpack(about, tensors)
        if about["checksum"] != _checksum(about["packed"], tensors):
            raise ValueError("its checksum is another")
        return _unpack(json.loads(about["packed"]), tensors)
    except (SafetensorError, KeyError, ValueError) as error:
        what = f"{path} is damaged or was not written by gnnkg ({error})"
        helps = "restore it from a copy" + (f", or {remedy}" if remedy else "")
        raise DamagedFile(f"{what}: {helps}") from error


def _checksum(packed: str, tensors: Mapping[str, Tensor]) -> str:
    """CRC-32 of everything: against accidents, and fast."""
    found = zlib.crc32(packed.encode())
    for name in sorted(tensors):
        found = zlib.crc32(tensors[name].flatten().view(torch.uint8).cpu().numpy().data, found)
    return f"{found:08x}"


def _pack(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, dict):  # as pairs: keys may be integers, as in an optimiser's state
        return {"dict": [[key, _pack(item, tensors)] for key, item in value.items()]}
    if isinstance(value, tuple | list):
        return {type(value).__name__: [_pack(item, tensors) for item in value]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        f"a state may hold tensors, numbers, strings, lists and dicts, but not {type(value).__name__}: {value!r}"
    )


def _unpack(packed: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(packed, dict):
        return packed
    ((kind, value),) = packed.items()
    if kind == "tensor":
        return tensors[value]
    if kind == "dict":
        return {key: _unpack(item, tensors) for key, item in value}
    items = [_unpack(item, tensors) for item in value]
    return tuple(items) if kind == "tuple" else items
