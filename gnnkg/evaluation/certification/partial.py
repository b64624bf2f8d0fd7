"""A certification that was stopped goes on: the queries that are done lie in a file, with what they were asked under."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_type_hints

from gnnkg.stored import DamagedFile, write_atomically

SECONDS = 5.0
"""between two writes, at most that much work is lost"""


T = TypeVar("T")


def rows_of(kind: type[T]) -> Callable[[Any], T]:
    """Makes a row of this dataclass of its values, in order. The row's maker raises TypeError or ValueError for other values."""
    hints = get_type_hints(kind)

    def read(row: Any) -> T:
        values = dict(zip(hints, row, strict=True))
        for name, hint in hints.items():
            if isinstance(hint, type | UnionType) and not isinstance(values[name], hint):
                raise TypeError(f"{name} is {values[name]!r}")
        return kind(**values)

    return read


def whole_number(row: Any) -> int:
    """Raises TypeError for anything else."""
    if type(row) is not int:
        raise TypeError(f"{row!r} is no whole number")
    return row


class Partial:
    """What is done of something that takes long. ``about``: everything that it depends on, as JSON has it.

    ``read`` makes a row of what was kept of it. Raises DamagedFile where the file or a row cannot be read, ValueError where it was
    begun under something else.
    """

    def __init__(self, path: Path, about: Mapping[str, Any], read: Callable[[Any], Any] = lambda row: row) -> None:
        self.path = path
        self.about = json.loads(json.dumps(about))
        self.found: list[Any]
        self.seconds: float
        """that were spent on it before"""
        self.found, self.seconds = self._read(read)
        self._begun = self._written = time.monotonic()

    def _read(self, read: Callable[[Any], Any]) -> tuple[list[Any], float]:
        if not self.path.exists():
            return [], 0.0
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            about, seconds = dict(content["about"]), float(content.get("seconds", 0.0))
            found = [read(row) for row in content["found"]]
        except (AttributeError, ValueError, TypeError, KeyError) as error:
            raise DamagedFile(
                f"{self.path} is damaged ({error}): remove it to begin anew, or ask with --fresh"
            ) from error
        differing = [key for key in {**about, **self.about} if about.get(key) != self.about.get(key)]
        if differing:
            told = "; ".join(f"{key} was {about.get(key)} and is now {self.about.get(key)}" for key in differing)
            raise ValueError(
                f"{self.path} holds the beginning of another certification ({told}): finish that one, or begin anew with --fresh"
            )
        return found, seconds

    def keep(self, found: Iterable[Any], finished: bool) -> None:
        """Writes what is done, now and then, and when it is finished; only then it looks at ``found``."""
        if not finished and time.monotonic() - self._written < SECONDS:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        seconds = self.seconds + time.monotonic() - self._begun
        content = {"about": self.about, "seconds": seconds, "found": list(found)}
        write_atomically(self.path, json.dumps(content).encode())
        self._written = time.monotonic()
