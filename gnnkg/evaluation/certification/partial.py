"""A certification that was stopped goes on: the queries that are done lie in a file, with what they were asked under."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from gnnkg.evaluation.certification.certificate import Row
from gnnkg.stored import write_atomically

SECONDS = 5.0
"""between two writes, at most that much work is lost"""


class Partial:
    """The rows of an unfinished certificate. ``about``: everything that they depend on, as JSON has it.

    Raises ValueError where the file was begun under something else, or cannot be read.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self.path = path
        self.about = json.loads(json.dumps(about))
        self.rows = self._read()
        self._written = time.monotonic()

    def _read(self) -> list[Row]:
        if not self.path.exists():
            return []
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            about, rows = dict(found["about"]), [Row(*row) for row in found["rows"]]
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{self.path} is damaged ({error}): remove it to begin anew") from error
        differing = [key for key in {**about, **self.about} if about.get(key) != self.about.get(key)]
        if differing:
            told = "; ".join(f"{key} was {about.get(key)} and is now {self.about.get(key)}" for key in differing)
            raise ValueError(
                f"{self.path} holds the beginning of another certification ({told}): finish that one, or begin anew with --fresh"
            )
        return rows

    def keep(self, rows: Sequence[Row], total: int) -> None:
        """Writes what is done, now and then."""
        if len(rows) < total and time.monotonic() - self._written < SECONDS:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = {"about": self.about, "rows": [astuple(row) for row in rows]}
        write_atomically(self.path, json.dumps(content).encode())
        self._written = time.monotonic()
