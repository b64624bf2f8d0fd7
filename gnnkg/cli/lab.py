"""Compare methods of negative sampling at an equal budget: data sets x models x methods x seeds, from a grid file.

Each cell is an ordinary run under FOLDER/runs, with a result file in FOLDER/results. What was stopped goes on, and what is finished
is left alone; several processes may share a folder's cells. At the end, and with --report at any time, FOLDER/table.csv, table.md
and the figures are written. Runs of finished cells may be deleted: what the table needs is kept beside them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def run(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="gnnkg lab", description=__doc__)
    parser.add_argument("grid", metavar="GRID", type=Path, help="a YAML file; gnnkg/lab/grid.py says what it may hold")
    parser.add_argument("--out", metavar="FOLDER", type=Path, required=True, help="where everything is kept")
    parser.add_argument("--report", action="store_true", help="only write table and figures of what is finished")
    parser.add_argument(
        "--only",
        metavar="PATTERN",
        default="*",
        help="train only those of which DATASET-MODEL-METHOD matches, e.g. '*-rotate-*'",
    )
    parser.add_argument(
        "--seeds", metavar="SEED", type=int, nargs="+", default=[], help="train only with these of the grid's seeds"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    arguments = parser.parse_args(argv)

    from gnnkg.lab.grid import only, read_grid
    from gnnkg.lab.laboratory import Laboratory
    from gnnkg.lab.report import report

    grid = read_grid(arguments.grid)
    if not arguments.report:
        wanted = only(grid, arguments.only, arguments.seeds)
        try:
            Laboratory(wanted, arguments.out, not arguments.quiet, lambda line: print(line, flush=True)).run()
        except KeyboardInterrupt:
            print("\nstopped; the same command goes on")
            raise
    for path in report(grid, arguments.out):
        print(path)
    return 0
