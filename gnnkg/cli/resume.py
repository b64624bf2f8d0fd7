"""Continue a training that was stopped, as if it had never been."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from gnnkg.cli.train import report


def run(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="gnnkg resume", description=__doc__)
    parser.add_argument("run", metavar="RUN", type=Path, help="a run directory")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    arguments = parser.parse_args(argv)

    from gnnkg.experiment import is_first_process, resume

    try:
        resume(arguments.run, progress=not arguments.quiet)
    except KeyboardInterrupt:
        print(f"\nstopped; to continue: gnnkg resume {arguments.run}")
        raise
    if is_first_process():
        report(arguments.run)
    return 0
