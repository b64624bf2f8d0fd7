"""Files that are written whole or not at all, and arrays that are computed once and kept in the user's cache."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

Arrays = dict[str, Tensor]


class DamagedFile(ValueError):
    """A file that cannot be read back; the message names it."""


def cache_folder() -> Path:
    """The folder for what can be downloaded or computed again: ``GNNKG_CACHE``, or the platform's own place for caches."""
    if own := os.environ.get("GNNKG_CACHE"):
        return Path(own)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "gnnkg"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A place beside ``path`` to write to; what was written there takes the place of ``path`` at the end, or is removed."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield beside
        _flush(beside, os.O_RDWR)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _flush(path.parent, os.O_RDONLY)


def _flush(path: Path, how: int) -> None:
    file = os.open(path, how)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def expect_writable(path: Path) -> None:
    """Raises OSError, which says what to mend, where ``path`` could not be written, before anything is computed."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file in it")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} to: make it first")
    with tempfile.TemporaryFile(dir=path.parent):
        pass


def write_atomically(path: Path, data: bytes) -> None:
    """Puts ``data`` at ``path`` whole or not at all."""
    with replacing(path) as beside:
        beside.write_bytes(data)


def computed_once(kind: str, about: Mapping[str, str | int | float], compute: Callable[[], Arrays]) -> Arrays:
    """What ``compute`` gives, from the file in the cache where an earlier call with the same ``kind`` and ``about`` left it.

    A file that is damaged, or tells of something else, is computed anew. Where the cache cannot be written, nothing is kept.
    """
    told = json.dumps(about, sort_keys=True)
    path = cache_folder() / kind / f"{hashlib.sha256(told.encode()).hexdigest()[:32]}.safetensors"
    found = _read(path, told)
    if found is None:
        found = {name: array.contiguous() for name, array in compute().items()}
        with suppress(OSError, SafetensorError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as beside:
                safetensors.torch.save_file(found, beside, {"about": told, "sha256": digest(found)})
    return found


def _read(path: Path, told: str) -> Arrays | None:
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            if about.get("about") != told:
                return None
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
    except (OSError, SafetensorError, ValueError):
        return None
    return found if digest(found) == about.get("sha256") else None


def digest(arrays: Mapping[str, Tensor]) -> str:
    """The SHA-256 of arrays with their names, types and shapes."""
    total = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        total.update(f"{name} {array.dtype} {tuple(array.shape)}\n".encode())
        total.update(array.cpu().contiguous().numpy().data)
    return total.hexdigest()
