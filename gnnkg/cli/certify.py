"""Certify a run's answers: how far a query's head vector can be pushed before the smoothed answer may change.

Randomized smoothing with Gaussian noise on the head's vector as the scorer reads it; L2 radii in its units. With --delete, facts of
the graph that the encoder reads are deleted at random instead, and what is certified is how many may be removed or added. Writes
RUN/results/certificate-SPLIT.json and .png, or boundary-certificate-SPLIT, facts-certificate-SPLIT; with --attack also
attacks-SPLIT.json, or facts-certificate-attacks-SPLIT.json. Settings that are not the default stand behind the split. What was
stopped goes on when the same is asked again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gnnkg.cli._shared import command, measured_as, not_default, number_or_all

if TYPE_CHECKING:
    from gnnkg.core import Model
    from gnnkg.data.dataset import Dataset
    from gnnkg.evaluation.certification import Certificate
    from gnnkg.experiment import Experiment
    from gnnkg.run import RunDirectory

    Loaded = tuple[Experiment, Dataset, Model, RunDirectory]


SETTINGS = (
    "direction",
    "top",
    "queries",
    "alpha",
    "divisor",
    "sigma",
    "draws",
    "confidence",
    "seed",
    "all_counts",
    "delete",
)
"""what a certificate depends on, beside the run, the part and the split"""


def run(argv: Sequence[str]) -> int:
    parser = command("certify", __doc__, "run", "--split", "--on", "--direction", "--top", "--json", "--quiet")
    parser.add_argument(
        "--queries", metavar="N", default="1000", help="a random subset of the queries, or all (default: 1000)"
    )
    parser.add_argument(
        "--part",
        choices=("head", "boundary"),
        default="head",
        help="the head's vector as the scorer reads it, or that from which NBFNet passes messages (default: head)",
    )
    parser.add_argument("--alpha", type=float, default=1.0, help="noise: alpha times sigma (default: 1)")
    parser.add_argument(
        "--divisor", type=float, default=3.0, help="sigma: the 99.73 %% quantile over this (default: 3)"
    )
    parser.add_argument("--sigma", type=float, help="a sigma of your own, such as that of another run")
    parser.add_argument("--draws", metavar="N", type=int, default=1000)
    parser.add_argument("--confidence", type=float, default=0.999, help="of each query (default: 0.999)")
    parser.add_argument("--seed", type=int, default=0, help="of the subset and the draws")
    parser.add_argument(
        "--all-counts",
        action="store_true",
        help="count hopeless queries to the end too, for the smoothed accuracy; no radius changes",
    )
    parser.add_argument(
        "--delete",
        metavar="P",
        type=float,
        help="certify against changes of the graph: each fact is deleted with probability P (for graph encoders)",
    )
    parser.add_argument(
        "--attack",
        metavar="N",
        type=int,
        default=0,
        help="then attack N of the certified queries inside their radii, or within their numbers of facts (with --delete)",
    )
    parser.add_argument("--fresh", action="store_true", help="forget what an unfinished certification has found")
    arguments = parser.parse_args(argv)
    words = not_default(parser, arguments, SETTINGS)
    num_queries = number_or_all("--queries", arguments.queries)
    of_head = arguments.delete is None and arguments.part == "head"
    if arguments.attack < 0 or (arguments.attack and not of_head and arguments.delete is None):
        raise ValueError(
            "--attack is a number of queries, and attacks heads or facts: it does not go with --part boundary"
        )

    import json

    from gnnkg.cli import console
    from gnnkg.experiment import load_run

    asked = {
        "split": arguments.split,
        "direction": arguments.direction,
        "num_queries": num_queries,
    }
    work = _noise(arguments, asked) if arguments.delete is None else _facts(arguments, asked)
    kind = "certificate" if of_head else "boundary-certificate" if arguments.delete is None else "facts-certificate"
    loaded = load_run(arguments.run, arguments.on, measured=True)
    try:
        certificate, name = _certified(arguments, measured_as(kind, arguments, words), work, loaded)
    except KeyboardInterrupt:
        print("\nstopped; to continue, ask for the same again")
        raise
    if arguments.json:
        result = loaded[3].result(name)
        print(json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        console().print(certificate)
        print(f"written to {arguments.run / 'results' / name}.json and .png")
    if arguments.attack:
        kind = "attacks" if arguments.delete is None else "facts-certificate-attacks"
        _attacked(arguments, measured_as(kind, arguments, words), certificate, loaded)
    return 0


def _attacked(arguments: argparse.Namespace, name: str, certificate: Any, loaded: Loaded) -> None:
    """Attacks certified queries, and keeps what came of it."""
    from rich.progress import Progress

    from gnnkg.cli import console
    from gnnkg.evaluation.certification import attack, attack_certified
    from gnnkg.evaluation.certification.fact_trial import certified
    from gnnkg.evaluation.provenance import provenance

    experiment, dataset, model, run = loaded
    told: dict[str, Any] = {}
    with Progress(disable=arguments.quiet or arguments.json) as bar:
        if arguments.delete is None:
            task = bar.add_task("attacking", total=min(arguments.attack, int((certificate.radii() > 0).sum())))
            trial = attack(model, dataset, certificate, most=arguments.attack, report=lambda *_: bar.advance(task))
            told = {"smoothing": certificate.smoothing.to_dict(), "deviation": certificate.deviation}
        else:
            task = bar.add_task("attacking", total=len(certified(certificate, arguments.attack)))
            trial = attack_certified(model, dataset, certificate, most=arguments.attack, step=lambda: bar.advance(task))
    origin = {"provenance": provenance(experiment.config, arguments.seed).to_dict()}
    path = run.write_result(name, {"trial": trial.to_dict()} | told | origin)
    if not arguments.json:
        console().print(str(trial) if arguments.delete is None else trial, highlight=False)
        print(f"written to {path}")


class Work(NamedTuple):
    """A kind of certificate: what it depends on, and how it is made, told and drawn."""

    about: dict[str, Any]
    certify: Callable[[Model, Dataset, Sequence[Any], Callable[[Iterable[Any], int, int], None]], Any]
    """of what was found before; it reports what is found so far, how much is done, and of how much"""
    draw: Callable[[dict[str, Any], Path], Path]


def _noise(arguments: argparse.Namespace, asked: dict[str, Any]) -> Work:
    from dataclasses import astuple

    from gnnkg.evaluation.certification import Row, Smoothing, certify
    from gnnkg.evaluation.certification.picture import draw

    named = ("alpha", "sigma", "divisor", "draws", "confidence", "top", "seed")
    lenient = {"worst_rank": None, "give_up": False} if arguments.all_counts else {}
    smoothing = Smoothing(**{name: getattr(arguments, name) for name in named}, **lenient)

    def work(model: Model, dataset: Dataset, found: Sequence[Any], show: Callable[..., None]) -> Certificate:
        def report(rows: Sequence[Row], total: int) -> None:
            show((astuple(row) for row in rows), len(rows), total)

        return certify(
            model,
            dataset,
            smoothing,
            **asked,
            part=arguments.part,
            known_rows=[Row(*row) for row in found],
            report=report,
        )

    return Work(smoothing.to_dict() | asked | {"part": arguments.part}, work, draw)


def _facts(arguments: argparse.Namespace, asked: dict[str, Any]) -> Work:
    from gnnkg.evaluation.certification.fact_certificate import FactCertificate
    from gnnkg.evaluation.certification.facts import certify_facts
    from gnnkg.evaluation.certification.picture import draw_facts

    given = asked | {name: getattr(arguments, name) for name in ("draws", "confidence", "top", "seed")}

    def work(model: Model, dataset: Dataset, found: Sequence[Any], show: Callable[..., None]) -> FactCertificate:
        def report(successes: list[int], finished: bool) -> None:
            show(successes, successes[0], arguments.draws)

        return certify_facts(model, dataset, arguments.delete, **given, known_successes=found, report=report)

    return Work(given | {"delete": arguments.delete}, work, draw_facts)


def _certified(arguments: argparse.Namespace, name: str, work: Work, loaded: Loaded) -> tuple[Any, str]:
    """Certifies the run's best weights and keeps the result under a name."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from gnnkg.evaluation.certification.partial import Partial
    from gnnkg.evaluation.provenance import provenance
    from gnnkg.stored import digest

    experiment, dataset, model, run = loaded
    weights = digest(dict(model.state_dict()))
    file = run.path / "results" / f"{name}.partial.json"
    if arguments.fresh:
        file.unlink(missing_ok=True)
    unfinished = Partial(file, work.about | {"data": dataset.data_hash, "weights": weights})
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, disable=arguments.quiet or arguments.json) as bar:
        task = bar.add_task("certifying", total=None)

        def show(found: Iterable[Any], done: int, total: int) -> None:
            unfinished.keep(found, finished=done == total)
            bar.update(task, completed=done, total=total)

        certificate = work.certify(model, dataset, unfinished.found, show)
    told = {"weights": weights, "provenance": provenance(experiment.config, arguments.seed).to_dict()}
    run.write_result(name, {"certificate": certificate.to_dict()} | told)
    work.draw({run.path.name: certificate}, run.path / "results" / f"{name}.png")
    file.unlink(missing_ok=True)
    return certificate, name
