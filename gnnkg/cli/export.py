"""Write a run's vectors with their labels, for other programs: parquet, npy or word2vec text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gnnkg.cli._shared import command


def run(argv: Sequence[str]) -> int:
    parser = command("export", __doc__, "run")
    parser.add_argument("--format", choices=("parquet", "npy", "word2vec"), default="parquet")
    parser.add_argument("--out", metavar="DIR", type=Path, help="the folder to write to (default: RUN/export)")
    arguments = parser.parse_args(argv)

    from gnnkg.evaluation.export import export
    from gnnkg.experiment import load_run

    _, dataset, model, directory = load_run(arguments.run)
    for file in export(model, dataset, arguments.out or directory.path / "export", arguments.format):
        print(file)
    return 0
