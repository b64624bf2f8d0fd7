"""Table several runs side by side, with a warning where their figures do not compare.

A run must have been evaluated. A result file, such as recipes/baselines/results/*.json, may stand for a run.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gnnkg.evaluation import Evaluation, Result


def run(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="gnnkg compare", description=__doc__)
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path, help="run directories, or result files")
    parser.add_argument("--split", default="test", choices=("train", "valid", "test"))
    parser.add_argument("--on", metavar="DATASET", help="what the runs were evaluated on with --on")
    parser.add_argument("--json", action="store_true", help="print the rows and the warnings as JSON")
    arguments = parser.parse_args(argv)

    import json

    from gnnkg.cli import console
    from gnnkg.evaluation.compare import compare

    comparison = compare(
        {str(path): _measured(path, arguments.split, arguments.on) for path in dict.fromkeys(arguments.runs)}
    )
    if arguments.json:
        print(json.dumps({"rows": comparison.rows(), "warnings": comparison.warnings}, indent=2, ensure_ascii=False))
    else:
        console().print(comparison)
    return 0


def _measured(path: Path, split: str, on: str | None) -> Evaluation | Result:
    from gnnkg.evaluation import Evaluation
    from gnnkg.evaluation.results import read_result
    from gnnkg.run import RunDirectory, result_name
    from gnnkg.stored import DamagedFile

    if path.is_file():
        return read_result(path)
    directory = RunDirectory.open(path)
    name = result_name(split, on)
    file = directory.path / "results" / f"{name}.json"
    if not file.exists():
        command = f"gnnkg evaluate {path} --split {split}" + (f" --on {on}" if on else "")
        raise FileNotFoundError(f"{path} has not been evaluated on {name}: {command}")
    found = directory.result(name)
    try:
        return Evaluation.from_dict(found["evaluation"])
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedFile(f"{file} is damaged ({error})") from error
