"""Rank a split's facts with a trained run: filtered, both directions, all entities.

Writes RUN/results/SPLIT.json, which `gnnkg compare` reads.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def run(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="gnnkg evaluate", description=__doc__)
    parser.add_argument("run", metavar="RUN", type=Path, help="a run directory")
    parser.add_argument("--split", default="test", choices=("train", "valid", "test"))
    parser.add_argument(
        "--memory", metavar="SIZE", help="what scoring may take, e.g. 2GB (default: half of what is free)"
    )
    parser.add_argument("--json", action="store_true", help="print the complete result as JSON")
    arguments = parser.parse_args(argv)

    import json

    from gnnkg.cli import console
    from gnnkg.evaluation.memory import parse_size
    from gnnkg.experiment import evaluate_run
    from gnnkg.run import RunDirectory

    memory = None if arguments.memory is None else parse_size(arguments.memory)
    evaluation = evaluate_run(arguments.run, arguments.split, memory)
    if arguments.json:
        result = RunDirectory.open(arguments.run).result(arguments.split)
        print(json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        console().print(evaluation)
        print(f"written to {arguments.run / 'results' / arguments.split}.json")
    return 0
