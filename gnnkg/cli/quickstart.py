"""Build the bundled graph, train on it with EMU and without, judge both models and ask them questions. About a minute.

With --modal: SNAG on names and numbers beside structure alone, and how far it trusts each modality.
"""

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
    parser.add_argument("--modal", action="store_true", help="with names and numbers of the entities (SNAG)")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    arguments = parser.parse_args(argv)
    start = time.perf_counter()

    from gnnkg.cli import console
    from gnnkg.quickstart import quickstart
    from gnnkg.quickstart.modal import quickstart_modal

    folder = arguments.run or Path("runs") / f"quickstart-{datetime.now():%Y%m%d-%H%M%S}"
    start_with = quickstart_modal if arguments.modal else quickstart
    start_with(folder, console(), progress=not arguments.quiet)
    print(f"done in {time.perf_counter() - start:.0f} seconds")
    return 0
