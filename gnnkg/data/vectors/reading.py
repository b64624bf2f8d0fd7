"""Tables of vectors as others have saved them. No file can run code: see ``plain_pickle.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError
from torch import Tensor

from gnnkg.data.lines import shown
from gnnkg.data.plain_pickle import read_arrays, read_tensors
from gnnkg.data.triples import DataError

Key = int | str
"""a published id, or a name"""


@dataclass(frozen=True, eq=False)
class Vectors:
    """Rows of a file, and whose they are."""

    values: np.ndarray
    """(X, F) float32"""
    keys: tuple[Key, ...] | None
    """None: row i is that of the published id i"""
    source: str
    """the file, for messages"""
    pooled: int = 0
    """how many keys had several vectors, of which the mean stands here"""


def read_vectors(path: Path | str, key: str | None = None) -> Vectors:
    """The vectors of a file: one array (X, F), or a mapping of ids or names to vectors (F,), or to several each, (n, F).

    ``.pth`` and ``.pt`` by torch, ``.pkl`` (gzipped too), ``.h5``, ``.npy``, ``.npz``, ``.safetensors``. ``key`` names the array
    where the file has several. Several vectors of one key (MMRNS has one a sentence or a patch) are averaged; a key with none is
    left out.

    Raises DataError, which names file, key and shape, for anything that is no such table, and for NaN and infinite numbers;
    ImportError, with the command that mends it, for .h5 without h5py.
    """
    path = Path(path)
    suffix = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
    if suffix not in READERS:
        raise DataError(f"{path}: vectors are read from {', '.join(READERS)}, not from {suffix or 'such a file'!r}")
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    found = READERS[suffix](path)
    if key is not None:
        if not isinstance(found, Mapping) or key not in found:
            there = _listed(found) if isinstance(found, Mapping) else "one array without a name"
            raise DataError(f"{path} has no array {key!r}; it has {there}")
        found = found[key]
    elif isinstance(found, Mapping) and len(found) == 1 and suffix not in (".h5", ".hdf5"):
        (only,) = found.values()
        found = only if np.ndim(only) == 2 else found
    if isinstance(found, Mapping):
        return _by_key(path, found)
    values = _numbers(found, str(path))
    if values.ndim != 2:
        raise DataError(f"{path} holds an array of shape {values.shape}, and a table has two axes: a row an entity")
    return _checked(Vectors(values, None, str(path)))


def _by_key(path: Path, found: Mapping[Any, Any]) -> Vectors:
    keys: list[Key] = []
    rows: list[np.ndarray] = []
    pooled = 0
    for key, value in found.items():
        if not isinstance(key, int | str):
            raise DataError(f"{path}: a key is an id or a name, not {key!r}")
        if isinstance(value, Mapping):
            raise DataError(f"{path}: {key!r} holds {_listed(value)} and no vector; name one array with --key")
        vector = _numbers(value, f"{path}, {key!r}")
        if vector.ndim not in (1, 2):
            raise DataError(f"{path}: {key!r} has shape {vector.shape}; expected one vector (F,) or several (n, F)")
        if vector.ndim == 2:
            pooled += len(vector) > 1
            if not len(vector):
                continue
            vector = vector.mean(0)
        if rows and len(vector) != len(rows[0]):
            raise DataError(
                f"{path}: {keys[0]!r} has {len(rows[0]):,} numbers and {key!r} {len(vector):,}; vectors of one feature have "
                "one width. If these are different tables, name one with --key"
            )
        keys.append(key)
        rows.append(vector)
    if not rows:
        raise DataError(f"{path} holds no vector")
    return _checked(Vectors(np.stack(rows), tuple(keys), str(path), pooled))


def _numbers(value: Any, where: str) -> np.ndarray:
    """float32. Raises DataError where these are no real numbers."""
    if isinstance(value, Tensor):
        if value.is_complex():
            raise DataError(f"{where} holds {value.dtype} numbers, and features are real")
        value = value.detach().float().numpy()
    try:
        array = np.asarray(value)
    except ValueError:  # lists of different lengths
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{where} holds {type(value).__name__} {shown(str(value), 40)}, and no array of numbers")
    return array.astype(np.float32)


def _checked(vectors: Vectors) -> Vectors:
    if not vectors.values.size:
        raise DataError(f"{vectors.source} holds a table of shape {vectors.values.shape}: there is no number in it")
    finite = np.asarray(np.isfinite(vectors.values).all(1))
    if not finite.all():
        row = int(finite.argmin())
        whose = f"row {row}" if vectors.keys is None else repr(vectors.keys[row])
        raise DataError(
            f"{vectors.source}: {whose} has a number that is NaN, infinite or too large, as {int((~finite).sum()):,} of "
            f"{len(finite):,} rows do. Mend them, or leave those rows out"
        )
    return vectors


def _listed(found: Mapping[Any, Any]) -> str:
    names = [f"{key!r} {tuple(np.shape(value))}" for key, value in list(found.items())[:5]]
    return ", ".join(names) + (f" and {len(found) - 5:,} more" if len(found) > 5 else "") or "nothing"


def _read_h5(path: Path) -> Mapping[str, Any]:
    try:
        import h5py  # pyright: ignore[reportMissingImports]  # optional
    except ImportError as error:
        raise ImportError(f"{path} is read by h5py, which is not installed: pip install 'gnnkg[hdf5]'") from error
    found: dict[str, Any] = {}

    def keep(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]  # a title such as AC/DC is a group with a member: its name is whole again here

    try:
        with h5py.File(path) as file:
            file.visititems(keep)
    except OSError as error:
        raise DataError(f"{path} is no HDF5 file that can be read ({error})") from error
    return found


def _read_numpy(path: Path) -> Any:
    try:
        found = np.load(path, allow_pickle=False)
        return dict(found) if isinstance(found, np.lib.npyio.NpzFile) else found
    except (ValueError, BadZipFile, EOFError, OSError) as error:
        raise DataError(f"{path} is no file of plain numpy arrays ({error})") from error


def _read_safetensors(path: Path) -> Any:
    try:
        return safetensors.numpy.load_file(path)
    except (SafetensorError, TypeError) as error:
        raise DataError(f"{path} is no safetensors file that can be read ({error})") from error


READERS: Mapping[str, Callable[[Path], Any]] = {
    ".pth": read_tensors,
    ".pt": read_tensors,
    ".pkl": read_arrays,
    ".pickle": read_arrays,
    ".pkl.gz": read_arrays,
    ".pickle.gz": read_arrays,
    ".h5": _read_h5,
    ".hdf5": _read_h5,
    ".npy": _read_numpy,
    ".npz": _read_numpy,
    ".safetensors": _read_safetensors,
}
"""by the suffix of a file"""


def told(keys: Sequence[Key], count: int = 3) -> str:
    """The first keys, for messages."""
    return ", ".join(map(repr, keys[:count])) + (", ..." if len(keys) > count else "")
