"""Certify a run's answers: how far a query's head vector can be pushed before the smoothed answer may change.

Randomized smoothing with Gaussian noise on the head's vector as the scorer reads it; L2 radii in its units. Writes
RUN/results/certificate-NAME.json and .png. What was stopped goes on when the same is asked again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gnnkg.evaluation.certification import Certificate, Row, Smoothing


def run(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="gnnkg certify", description=__doc__)
    parser.add_argument("run", metavar="RUN", type=Path, help="a run directory")
    parser.add_argument("--split", default="test", choices=("train", "valid", "test"))
    parser.add_argument("--on", metavar="DATASET", help="another data set with the same relations, by name or folder")
    parser.add_argument(
        "--queries", metavar="N", default="1000", help="a random subset of the queries, or all (default: 1000)"
    )
    parser.add_argument("--direction", choices=("tail", "head", "both"), default="tail")
    parser.add_argument("--alpha", type=float, default=1.0, help="noise: alpha times sigma (default: 1)")
    parser.add_argument(
        "--divisor", type=float, default=3.0, help="sigma: the 99.73 %% quantile over this (default: 3)"
    )
    parser.add_argument("--sigma", type=float, help="a sigma of your own, such as that of another run")
    parser.add_argument("--draws", metavar="N", type=int, default=1000)
    parser.add_argument("--confidence", type=float, default=0.999, help="of each query (default: 0.999)")
    parser.add_argument("--top", metavar="K", type=int, default=1, help="the truth is among the best K (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="of the subset and the draws")
    parser.add_argument(
        "--all-counts",
        action="store_true",
        help="count hopeless queries to the end too, for the smoothed accuracy; no radius changes",
    )
    parser.add_argument("--fresh", action="store_true", help="forget what an unfinished certification has found")
    parser.add_argument("--json", action="store_true", help="print the complete result as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    arguments = parser.parse_args(argv)
    if arguments.queries != "all" and not arguments.queries.isdecimal():
        raise ValueError(f"--queries is a number or all, not {arguments.queries!r}")

    import json

    from gnnkg.cli import console
    from gnnkg.evaluation.certification import Smoothing
    from gnnkg.run import RunDirectory

    named = ("alpha", "sigma", "divisor", "draws", "confidence", "top", "seed")
    lenient = {"worst_rank": None, "give_up": False} if arguments.all_counts else {}
    smoothing = Smoothing(**{name: getattr(arguments, name) for name in named}, **lenient)
    try:
        certificate, name = certify_run(
            arguments.run,
            smoothing,
            {
                "split": arguments.split,
                "direction": arguments.direction,
                "num_queries": None if arguments.queries == "all" else int(arguments.queries),
            },
            arguments.on,
            fresh=arguments.fresh,
            progress=not (arguments.quiet or arguments.json),
        )
    except KeyboardInterrupt:
        print("\nstopped; to continue, ask for the same again")
        raise
    if arguments.json:
        result = RunDirectory.open(arguments.run).result(name)
        print(json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        console().print(certificate)
        print(f"written to {arguments.run / 'results' / name}.json and .png")
    return 0


def certify_run(
    path: Path, smoothing: Smoothing, asked: dict[str, Any], on: str | None, fresh: bool, progress: bool
) -> tuple[Certificate, str]:
    """Certifies a run's best weights and keeps the result under a name. ``asked`` goes to ``certify``."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from gnnkg.evaluation.certification import certify
    from gnnkg.evaluation.certification.partial import Partial
    from gnnkg.evaluation.certification.picture import draw
    from gnnkg.evaluation.provenance import provenance
    from gnnkg.experiment import load_run
    from gnnkg.run import result_name
    from gnnkg.stored import digest

    experiment, dataset, model, run = load_run(path, on)
    name = f"certificate-{result_name(asked['split'], on)}"
    weights = digest(dict(model.state_dict()))
    file = run.path / "results" / f"{name}.partial.json"
    if fresh:
        file.unlink(missing_ok=True)
    unfinished = Partial(file, smoothing.to_dict() | asked | {"data": dataset.data_hash, "weights": weights})
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, disable=not progress) as bar:
        task = bar.add_task("certifying", total=None)

        def report(rows: Sequence[Row], total: int) -> None:
            unfinished.keep(rows, total)
            bar.update(task, completed=len(rows), total=total)

        certificate = certify(model, dataset, smoothing, **asked, known_rows=unfinished.rows, report=report)
    told = {"weights": weights, "provenance": provenance(experiment.config, smoothing.seed).to_dict()}
    run.write_result(name, {"certificate": certificate.to_dict()} | told)
    draw({run.path.name: certificate}, run.path / "results" / f"{name}.png")
    file.unlink(missing_ok=True)
    return certificate, name
