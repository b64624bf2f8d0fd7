"""How a benchmark's result is kept: what was run, on what, with which versions, and what was found."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from gnnkg.evaluation.provenance import commit, hardware, versions


def record(path: Path | None, **found: Any) -> None:
    """Writes the result as JSON; nothing where there is no path."""
    if path is not None:
        command = " ".join(["python", *sys.argv])
        about = {"command": command, "commit": commit(), "hardware": hardware(), "versions": versions()}
        path.write_text(json.dumps(about | found, indent=1) + "\n", encoding="utf-8")
