"""Damaged files: what gzip, zlib and Arrow say of them, said with the path."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from gnnkg.data.triples import DataError


@contextmanager
def intact(path: Path | str) -> Iterator[None]:
    """A block that reads a file. Raises DataError where the file is cut off or is not what its name says.

    What the operating system says, that there is no such file for instance, passes.
    """
    try:
        yield
    except (EOFError, zlib.error, pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and (error.errno is not None or isinstance(error, FileNotFoundError)):
            raise
        told = str(error).strip().rstrip(".")
        raise DataError(f"{path} is damaged, or not what its name says ({told}): fetch or write it anew") from error
