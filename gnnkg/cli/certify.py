"""Certify a run's answers: how far a query's head vector can be pushed before the smoothed answer may change.

Randomized smoothing with Gaussian noise on the head's vector as the scorer reads it; L2 radii in its units. With --delete, facts of
the graph that the encoder reads are deleted at random instead, and what is certified is how many may be removed or added. Writes
RUN/results/certificate-SPLIT.json and .png, or boundary-certificate-SPLIT, facts-certificate-SPLIT; with --attack also
attacks-SPLIT.json, or facts-certificate-attacks-SPLIT.json. Settings that are not the default stand behind the split. What was
stopped goes on when the same is asked again, attacks too; they take a finished certificate of the same weights as it is.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gnnkg.cli._shared import command, measured_as, not_default, number_or_all, one_sigma, refuse

if TYPE_CHECKING:
    from gnnkg.core import Model
    from gnnkg.data.dataset import Dataset
    from gnnkg.evaluation.certification import Certificate
    from gnnkg.experiment import Experiment
    from gnnkg.run import RunDirectory

    Loaded = tuple[Experiment, Dataset, Model, RunDirectory]


Show = Callable[[Iterable[Any], int, int], None]
"""takes what is found so far, how much is done, and of how much"""
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
OF_NOISE = "part", "alpha", "divisor", "sigma", "all_counts"
"""options that mean nothing where facts are deleted"""


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
    parser.add_argument("--fresh", action="store_true", help="forget what was found before")
    arguments = parser.parse_args(argv)
    if arguments.delete is not None:
        refuse(parser, arguments, OF_NOISE, "is about noise on vectors: it does not go with --delete")
    one_sigma(parser, arguments, "divisor")
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
        name = measured_as(kind, arguments, words)
        certificate, about = _certified(arguments, name, work, loaded)
        if arguments.json:
            result = loaded[3].result(name)
            print(json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False))
        else:
            console().print(certificate)
            print(f"written to {arguments.run / 'results' / name}.json and .png")
        if arguments.attack:
            kind = "attacks" if arguments.delete is None else "facts-certificate-attacks"
            _attacked(arguments, measured_as(kind, arguments, words), certificate, about, loaded)
    except KeyboardInterrupt:
        print("\nstopped; to continue, ask for the same again", file=sys.stderr if arguments.json else sys.stdout)
        raise
    return 0


def _attacked(
    arguments: argparse.Namespace, name: str, certificate: Any, about: dict[str, Any], loaded: Loaded
) -> None:
    """Attacks certified queries, and keeps what came of it."""
    from dataclasses import astuple

    from gnnkg.cli import console
    from gnnkg.evaluation.certification import attack, attack_certified
    from gnnkg.evaluation.certification.fact_trial import Tried
    from gnnkg.evaluation.certification.partial import rows_of
    from gnnkg.evaluation.certification.trial import Attacked
    from gnnkg.evaluation.provenance import provenance

    experiment, dataset, model, run = loaded
    about = about | {"attack": arguments.attack}
    told: dict[str, Any] = {}
    if arguments.delete is None:
        told = {"smoothing": certificate.smoothing.to_dict(), "deviation": certificate.deviation}
    method, row = (attack, rows_of(Attacked)) if arguments.delete is None else (attack_certified, rows_of(Tried))

    def work(found: Sequence[Any], show: Show) -> Any:
        def report(rows: Sequence[Any], total: int) -> None:
            show((astuple(each) for each in rows), len(rows), total)

        return method(model, dataset, certificate, most=arguments.attack, known_rows=found, report=report)

    trial, partial = _resumed(arguments, name, about, row, "attacking", work, run)
    origin = {"provenance": provenance(experiment.config, arguments.seed).to_dict()}
    path = run.write_result(name, {"trial": trial.to_dict()} | told | origin)
    partial.unlink(missing_ok=True)
    if not arguments.json:
        console().print(str(trial) if arguments.delete is None else trial, highlight=False)
        print(f"written to {path}")


class Work(NamedTuple):
    """A kind of certificate: what it depends on, and how it is made, told and drawn."""

    about: dict[str, Any]
    certify: Callable[[Model, Dataset, Sequence[Any], Show], Any]
    """of what was found before"""
    row: Callable[[Any], Any]
    """of what was kept of a row"""
    read: Callable[[Mapping[str, Any]], Any]
    """of what was kept of a finished certificate"""
    draw: Callable[[dict[str, Any], Path], Path]


def _noise(arguments: argparse.Namespace, asked: dict[str, Any]) -> Work:
    from dataclasses import astuple

    from gnnkg.evaluation.certification import Certificate, Row, Smoothing, certify
    from gnnkg.evaluation.certification.partial import rows_of
    from gnnkg.evaluation.certification.picture import draw

    named = ("alpha", "sigma", "divisor", "draws", "confidence", "top", "seed")
    worst_rank = None if arguments.all_counts else max(50, arguments.top)
    given = {name: getattr(arguments, name) for name in named}
    smoothing = Smoothing(**given, worst_rank=worst_rank, give_up=not arguments.all_counts)

    def work(model: Model, dataset: Dataset, found: Sequence[Any], show: Show) -> Certificate:
        def report(rows: Sequence[Row], total: int) -> None:
            show((astuple(row) for row in rows), len(rows), total)

        return certify(
            model,
            dataset,
            smoothing,
            **asked,
            part=arguments.part,
            known_rows=found,
            report=report,
        )

    about = smoothing.to_dict() | asked | {"part": arguments.part}
    return Work(about, work, rows_of(Row), Certificate.from_dict, draw)


def _facts(arguments: argparse.Namespace, asked: dict[str, Any]) -> Work:
    from gnnkg.evaluation.certification.fact_certificate import FactCertificate
    from gnnkg.evaluation.certification.facts import certify_facts, check_settings
    from gnnkg.evaluation.certification.partial import whole_number
    from gnnkg.evaluation.certification.picture import draw_facts

    check_settings(arguments.delete, arguments.draws, arguments.confidence, arguments.top, arguments.seed)
    given = asked | {name: getattr(arguments, name) for name in ("draws", "confidence", "top", "seed")}

    def work(model: Model, dataset: Dataset, found: Sequence[Any], show: Show) -> FactCertificate:
        def report(successes: list[int], finished: bool) -> None:
            show(successes, successes[0], arguments.draws)

        return certify_facts(model, dataset, arguments.delete, **given, known_successes=found, report=report)

    about = given | {"delete": arguments.delete}
    return Work(about, work, whole_number, FactCertificate.from_dict, draw_facts)


def _certified(arguments: argparse.Namespace, name: str, work: Work, loaded: Loaded) -> tuple[Any, dict[str, Any]]:
    """Certifies the run's best weights and keeps the result under a name. The certificate, and what it is about.

    For attacks, a certificate that is there already and about the same is taken.
    """
    from gnnkg.evaluation.provenance import provenance
    from gnnkg.stored import digest

    experiment, dataset, model, run = loaded
    weights = digest(dict(model.state_dict()))
    about = work.about | {"data": dataset.data_hash, "weights": weights}
    if len(dataset.hidden):  # else all are filtered by the three splits, and none says so
        about |= {"filter": list(dataset.truths)}
    if arguments.attack and not arguments.fresh and (run.path / "results" / f"{name}.json").exists():
        kept = run.result(name)
        if kept.get("about") == about:
            return work.read(kept["certificate"]), about

    def certify(found: Sequence[Any], show: Show) -> Any:
        return work.certify(model, dataset, found, show)

    certificate, partial = _resumed(arguments, name, about, work.row, "certifying", certify, run)
    told = {"about": about, "weights": weights, "provenance": provenance(experiment.config, arguments.seed).to_dict()}
    run.write_result(name, {"certificate": certificate.to_dict()} | told)
    work.draw({run.path.name: certificate}, run.path / "results" / f"{name}.png")
    partial.unlink(missing_ok=True)
    return certificate, about


def _resumed(
    arguments: argparse.Namespace,
    name: str,
    about: Mapping[str, Any],
    row: Callable[[Any], Any],
    doing: str,
    work: Callable[[Sequence[Any], Show], Any],
    run: RunDirectory,
) -> tuple[Any, Path]:
    """What ``work`` makes, going on where it was stopped; and the file of what is done, to be removed once the result is kept."""
    from dataclasses import replace

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from gnnkg.evaluation.certification.partial import Partial

    file = run.path / "results" / f"{name}.partial.json"
    if arguments.fresh:
        file.unlink(missing_ok=True)
    unfinished = Partial(file, about, row)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, disable=arguments.quiet or arguments.json) as bar:
        task = bar.add_task(doing, total=None)

        def show(found: Iterable[Any], done: int, total: int) -> None:
            unfinished.keep(found, finished=done == total)
            bar.update(task, completed=done, total=total)

        made = work(unfinished.found, show)
    if hasattr(made, "wall_seconds"):
        made = replace(made, wall_seconds=made.wall_seconds + unfinished.seconds)
    return made, file
