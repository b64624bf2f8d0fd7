"""Rank a split's facts with noise on a run's embeddings: how fast its answers get worse.

The standard deviation of the noise is alpha * sigma, and sigma is the spread of the run's own entity vectors unless --sigma or
--sigma-of names another, which makes runs comparable at equal absolute noise. Writes RUN/results/noise-*.json and a picture
beside; settings that are not the default stand in the names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gnnkg.cli._shared import command, not_default, number_word, one_sigma, sigma_of, tell


def run(argv: Sequence[str]) -> int:
    parser = command("noise", __doc__, "run", "--split", "--facts", "--memory", "--json", "--quiet")
    parser.add_argument(
        "--alpha", metavar="A", type=float, nargs="+", default=[0, 0.5, 1, 2, 5], help="(default: 0 .5 1 2 5)"
    )
    parser.add_argument("--seeds", metavar="N", type=int, default=5, help="how many draws of the noise (default: 5)")
    parser.add_argument(
        "--target",
        choices=("query", "all"),
        default="query",
        help="noise on the entity that is asked about, or on one table of all entities",
    )
    parser.add_argument(
        "--part",
        choices=("vector", "boundary", "table"),
        default="vector",
        help="vectors as the scorer reads them, the query's vector that NBFNet starts from, or the table that a graph encoder "
        "reads (which goes with --target all); sigma is of the same part",
    )
    parser.add_argument("--noise", choices=("gaussian", "laplacian", "uniform"), default="gaussian")
    scale = parser.add_mutually_exclusive_group()
    scale.add_argument("--sigma", metavar="X", type=float, help="a given sigma")
    scale.add_argument("--sigma-of", metavar="RUN2", type=Path, help="the sigma of another run")
    scale.add_argument("--per-entity", action="store_true", help="a sigma for each entity, from its own vector")
    parser.add_argument(
        "--divisor", metavar="X", type=float, default=3.0, help="sigma is a quantile over it (default: 3)"
    )
    parser.add_argument("--quantile", metavar="Q", type=float, default=0.9973, help="(default: 0.9973)")
    parser.add_argument(
        "--shifts",
        metavar="N",
        type=int,
        help="of N facts, how far noise moves the score of the truth, of its rivals, and of all",
    )
    arguments = parser.parse_args(argv)
    one_sigma(parser, arguments, "divisor", "quantile")
    if arguments.shifts is not None and arguments.per_entity:
        raise ValueError("--shifts is of one sigma for all: it does not go with --per-entity")

    from functools import partial

    from rich.console import Group, RenderableType
    from rich.progress import Progress

    from gnnkg.data.split import sample_facts
    from gnnkg.evaluation.memory import parse_size
    from gnnkg.evaluation.perturbed import draw, noise_test, num_rankings
    from gnnkg.evaluation.provenance import provenance
    from gnnkg.evaluation.results import file_name
    from gnnkg.evaluation.shifts import score_shifts, shifts_table
    from gnnkg.experiment import load_run

    experiment, dataset, model, directory = load_run(arguments.run, measured=True)
    facts = sample_facts(dataset.facts(arguments.split), arguments.facts)
    sigma, whose = arguments.sigma, ""
    if arguments.sigma_of is not None:
        whose = str(arguments.sigma_of)
        measured = {name: getattr(arguments, name) for name in ("divisor", "quantile", "part", "target")}
        sigma = sigma_of(arguments.sigma_of, arguments.noise, **measured)
    draws: dict[str, Any] = {
        "alphas": arguments.alpha,
        "seeds": arguments.seeds,
        "part": arguments.part,
        "target": arguments.target,
        "noise": arguments.noise,
    }
    with Progress(disable=arguments.quiet or arguments.json, transient=True) as bar:
        task = bar.add_task("ranking under noise", total=num_rankings(arguments.alpha, arguments.seeds))
        found = noise_test(
            model,
            dataset,
            arguments.split,
            **draws,
            sigma=sigma,
            sigma_of=whose,
            divisor=arguments.divisor,
            quantile=arguments.quantile,
            per_entity=arguments.per_entity,
            facts=None if arguments.facts is None else facts,
            memory=parse_size(arguments.memory),
            step=partial(bar.advance, task),
        )
    result = {"noise": found.to_dict()}
    table: RenderableType = found
    if arguments.shifts is not None:
        asked = sample_facts(dataset.facts(arguments.split), arguments.shifts)
        shifts = score_shifts(model, dataset, asked, found.sigma, **draws)
        result["shifts"] = {"facts": len(asked), "values": shifts.to_dict()}
        table = Group(found, shifts_table(shifts))
    spread = "per-entity" if arguments.per_entity else "own" if sigma is None else number_word(sigma)
    parts = [arguments.split, arguments.target, spread]
    parts += [arguments.part] * (arguments.part != "vector")
    parts += [arguments.noise] * (arguments.noise != "gaussian")
    parts += [f"{len(facts)}-facts"] * (arguments.facts is not None)
    parts += not_default(parser, arguments, ("alpha", "seeds", "divisor", "quantile", "shifts"))
    name = f"noise-{file_name(*parts)}"
    origin = provenance(experiment.config, experiment.seed)
    path = directory.write_result(name, {**result, "provenance": origin.to_dict()})
    picture = draw({arguments.run.name: found}, path.with_suffix(".png"))
    tell(arguments.json, directory.result(name), table, path, picture)
    return 0
