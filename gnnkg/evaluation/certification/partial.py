"""A certification that was stopped goes on: the queries that are done lie in a file, with what they were asked under."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gnnkg.stored import write_atomically

SECONDS = 5.0
"""between two writes, at most that much work is lost"""


class Partial:
    """What is done of something that takes long. ``about``: everything that it depends on, as JSON has it.

    Raises ValueError where the file was begun under something else, or cannot be read.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self.path = path
        self.about = json.loads(json.dumps(about))
        self.found: list[Any] = self._read()
        self._written = time.monotonic()

    def _read(self) -> list[Any]:
        if not self.path.exists():
            return []
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            about, found = dict(content["about"]), list(content["found"])
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{self.path} is damaged ({error}): remove it to begin anew") from error
        differing = [key for key in {**about, **self.about} if about.get(key) != self.about.get(key)]
        if differing:
            told = "; ".join(f"{key} was {about.get(key)} and is now {self.about.get(key)}" for key in differing)
            raise ValueError(
                f"{self.path} holds the beginning of another certification ({told}): finish that one, or begin anew with --fresh"
            )
        return found

    def keep(self, found: Iterable[Any], finished: bool) -> None:
        """Writes what is done, now and then, and when it is finished; only then it looks at ``found``."""
        if not finished and time.monotonic() - self._written < SECONDS:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, json.dumps({"about": self.about, "found": list(found)}).encode())
        self._written = time.monotonic()
