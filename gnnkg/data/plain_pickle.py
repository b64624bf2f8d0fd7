"""Pickles read without running any code: the one module that reads them, and what ``torch.save`` wrote, which is a pickle too.

A pickle runs code by naming a class or a function of some module. The reader refuses every name, so that a file can give nothing
but None, booleans, numbers, texts, bytes, tuples, lists, sets and dictionaries; and arrays, where a reader wants them. What numpy
names in a pickle is then answered by the stand-ins of this module, which take a few plain types of numbers and nothing else.
"""

from __future__ import annotations

import gzip
import io
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gnnkg.data.triples import DataError


class _Restricted(pickle.Unpickler):
    """Reads built-in values, and what stands for some names."""

    def __init__(self, file: Any, names: Mapping[tuple[str, str], Callable[..., Any]]) -> None:
        super().__init__(file, encoding="latin1" if names else "ASCII")  # as which Python 2 wrote the bytes of arrays
        self.names = names

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) not in self.names:
            read = "built-in values and arrays of numbers are" if self.names else "built-in values are"
            raise pickle.UnpicklingError(f"it names {module_name}.{global_name}, and only {read} read")
        return self.names[module_name, global_name]

    def persistent_load(self, pid: Any, /) -> Any:
        raise pickle.UnpicklingError("it refers to an object outside of the file")


def read_plain(path: Path) -> Any:
    """The value in a pickle, gzipped or not. Raises DataError, which names the file, for anything but built-in values."""
    return _read(path, {}, "is no pickle of built-in values")


def read_arrays(path: Path) -> Any:
    """The value in a pickle, gzipped or not, in which numpy arrays and torch tensors of numbers may stand too.

    Raises DataError, which names the file, for anything else.
    """
    return _unwrapped(_read(path, STAND_INS, "is no pickle of built-in values and arrays of numbers"))


def read_tensors(path: Path) -> Any:
    """What ``torch.save`` wrote: dense tensors, numpy arrays, and built-in values with these in them.

    Raises DataError for anything else.
    """
    try:
        found = _unwrapped(_load_tensors(path))
    except Exception as error:  # a damaged file may raise anything
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        refused = re.search(r"WeightsUnpickler error:\s+(.+)", str(error))
        what = f"it names {named[1]}" if named else refused[1] if refused else str(error).splitlines()[0]
        raise DataError(
            f"{path} is no file of tensors that can be read without running code: {what}. Where you trust it, read it with "
            "torch.load and save plain tensors: torch.save({name: torch.as_tensor(array)}, path)"
        ) from error
    if strange := next(filter(None, map(_not_dense, _tensors(found))), None):
        kind, remedy = strange
        raise DataError(f"{path} holds a {kind} tensor, and only dense ones are read: save tensor.{remedy} instead")
    return found


def _tensors(value: Any) -> Iterator[Tensor]:
    """Those in built-in values."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(each)


def _not_dense(tensor: Tensor) -> tuple[str, str] | None:
    """What a tensor is whose numbers do not simply lie in its memory, and what makes it dense."""
    if tensor.is_nested:
        return "nested", "to_padded_tensor(0.0), or a list of its parts,"
    if tensor.layout is not torch.strided:
        return "sparse", "to_dense()"
    if tensor.is_quantized:
        return "quantised", "dequantize()"
    return None


def _read(path: Path, names: Mapping[tuple[str, str], Callable[..., Any]], fault: str) -> Any:
    with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as file:
        try:
            return _Restricted(file, names).load()
        except Exception as error:  # a damaged pickle may raise anything
            raise DataError(f"{path} {fault}: {error}") from error


def _load_tensors(file: Path | io.BytesIO) -> Any:
    named: list[Any] = [
        (made, f"{module}.{name}") for (module, name), made in STAND_INS.items() if "torch" not in module
    ]
    with torch.serialization.safe_globals(named):
        return torch.load(file, map_location="cpu", weights_only=True)


class _Type:
    """Stands for ``numpy.dtype``: the type of plain numbers."""

    def __init__(self, code: str, align: Any = False, copy: Any = False) -> None:
        if not isinstance(code, str) or not re.fullmatch("[biuf][1248]", code):
            raise pickle.UnpicklingError(f"an array of {code!r} holds no plain numbers")
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1]
        if order not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError(f"{order!r} is no order of bytes")
        self.code = order + self.code


def _array(raw: bytes | bytearray | str, type: _Type, shape: tuple[int, ...], order: Any = "C") -> np.ndarray:
    content = raw.encode("latin1") if isinstance(raw, str) else raw  # as Python 2 wrote it
    return np.frombuffer(content, np.dtype(type.code)).reshape(shape, order="F" if order == "F" else "C")


class _Array:
    """Stands for ``numpy.ndarray``, whose contents a pickle gives afterwards."""

    values: np.ndarray

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, type, fortran, raw = state
        self.values = _array(raw, type, shape, "F" if fortran else "C")


def _empty(kind: type[_Array], *ignored: Any) -> _Array:
    return _Array()


def _scalar(type: _Type, raw: bytes | str) -> Any:
    return _array(raw, type, ()).item()


def _encode(text: str, encoding: str) -> bytes:
    """How protocols before 3 write bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes are written as latin1, not as {encoding!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """How protocols before 3 write none."""
    return b""


def _storage(raw: bytes) -> Any:
    return _load_tensors(io.BytesIO(raw))


def _tensor(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *ignored: Any) -> Tensor:
    flat = torch.empty(0, dtype=storage.dtype).set_(storage._untyped_storage)  # untyped() warns
    return flat.as_strided(size, stride, offset).clone()


def _unwrapped(value: Any) -> Any:
    """With arrays in the place of what stood for them."""
    if isinstance(value, _Array):
        return value.values
    if isinstance(value, dict):
        return {key: _unwrapped(each) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_unwrapped(each) for each in value)
    return value


_OF_NUMPY = {
    ("multiarray", "_reconstruct"): _empty,
    ("multiarray", "scalar"): _scalar,
    ("numeric", "_frombuffer"): _array,
}
STAND_INS: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    **{(f"numpy.core.{module}", name): made for (module, name), made in _OF_NUMPY.items()},
    **{(f"numpy._core.{module}", name): made for (module, name), made in _OF_NUMPY.items()},  # since numpy 2
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
    ("builtins", "bytes"): _no_bytes,
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch.storage", "_load_from_bytes"): _storage,
}
"""what answers to the names that arrays and tensors have in a pickle"""
