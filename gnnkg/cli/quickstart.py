"""Build the bundled graph, train on it with EMU and without, judge both models and ask them questions. About a minute."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path


def run(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="gnnkg quickstart", description=__doc__)
    parser.add_argument(
        "--run", metavar="DIR", type=Path, help="where the two runs go (default: runs/quickstart-<date>)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    arguments = parser.parse_args(argv)
    start = time.perf_counter()

    from gnnkg.cli import console
    from gnnkg.quickstart import quickstart

    folder = arguments.run or Path("runs") / f"quickstart-{datetime.now():%Y%m%d-%H%M%S}"
    quickstart(folder, console(), progress=not arguments.quiet)
    print(f"done in {time.perf_counter() - start:.0f} seconds")
    return 0
