"""Pickles of built-in values only, read without running any code: the one module that reads pickles.

A pickle runs code by naming a class or a function of some module. The reader refuses every name, so that a file can give nothing
but None, booleans, numbers, texts, bytes, tuples, lists, sets and dictionaries.
"""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path
from typing import Any

from gnnkg.data.triples import DataError


class _Plain(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        raise pickle.UnpicklingError(f"it names {module_name}.{global_name}, and nothing but built-in values is read")

    def persistent_load(self, pid: Any, /) -> Any:
        raise pickle.UnpicklingError("it refers to an object outside of the file")


def read_plain(path: Path) -> Any:
    """The value in a pickle, gzipped or not. Raises DataError, which names the file, for anything but built-in values."""
    with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as file:
        try:
            return _Plain(file).load()
        except Exception as error:  # a damaged pickle may raise anything
            raise DataError(f"{path} is no pickle of built-in values: {error}") from error
