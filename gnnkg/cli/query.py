"""Answer a multi-hop query with a trained run, or measure how well it answers a set of them.

  gnnkg query RUN '?x: Switzerland -borders-> ?y -official_language-> ?x'

Behind the colon: chains; clauses joined by a comma or "and", which must hold together; alternatives joined by "or". An arrow
may point back, <-borders-. Names are labels or identifiers, and stand in quotes where they have spaces: -"uses currency"->.
Only trees are supported: known entities at the ends, the variable that is asked for at the root.

With --benchmark instead of a query, hard answers, those that need a fact that was held out, are ranked among all entities, by
structure: 1p 2p 3p 2i 3i ip pi 2u up. A benchmark is a query set in the data set's manifest (q2b_fb15k-237), a folder that
holds it, or "sampled": queries drawn from the data set itself. Writes RUN/results/queries-BENCHMARK-SPLIT.json; what is not
the default stands behind the split, so that measurements with other structures, executors or noise lie side by side.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gnnkg.cli._shared import command, measured_as, number_word, one_sigma, refuse, sigma_of, tell

OF_QUERY = "top", "novel"
OF_NOISE = "seeds", "noise", "sigma_div", "sigma", "sigma_of"
OF_BENCHMARK = "split", "structures", "queries", "alpha", *OF_NOISE


def run(argv: Sequence[str]) -> int:
    parser = command(
        "query", __doc__, "run", "--on", "--memory", "--json", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("query", metavar="QUERY", nargs="?", help="a written query")
    parser.add_argument("--executor", choices=("beam", "chain"), default="beam", help="beam search, or in closed form")
    parser.add_argument(
        "--scale", choices=("softmax", "sigmoid", "minmax"), default="softmax", help="of scores to [0, 1]"
    )
    parser.add_argument("--logic", choices=("product", "min"), default="product", help='for "and" and "or"')
    parser.add_argument("--beam", metavar="N", type=int, help="entities between that are kept (default: 64)")
    asked = parser.add_argument_group("a written query")
    asked.add_argument("--top", metavar="N", type=int, default=10, help="how many answers (default: 10)")
    asked.add_argument("--novel", action="store_true", help="leave out the answers that the facts give")
    measured = parser.add_argument_group("a benchmark")
    measured.add_argument("--benchmark", metavar="NAME", help="a query set, a folder that holds it, or: sampled")
    measured.add_argument("--split", choices=("valid", "test"), default="test", help="whose facts hard answers need")
    measured.add_argument("--structures", metavar="S", nargs="+", help="default: all nine")
    measured.add_argument("--queries", metavar="N", type=int, help="of each structure (default: all; sampled: 100)")
    measured.add_argument(
        "--alpha", metavar="A", nargs="+", type=float, default=[0.0], help="noise on anchors, in sigmas"
    )
    measured.add_argument("--seeds", metavar="N", type=int, default=1, help="draws of the noise (default: 1)")
    measured.add_argument("--noise", choices=("gaussian", "laplacian", "uniform"), default="gaussian")
    measured.add_argument("--sigma-div", metavar="X", type=float, default=3.0, help="sigma = Q.9973 / X (default: 3)")
    scale = measured.add_mutually_exclusive_group()
    scale.add_argument("--sigma", metavar="X", type=float, help="a given sigma")
    scale.add_argument("--sigma-of", metavar="RUN2", type=Path, help="the sigma of another run: equal absolute noise")
    arguments = parser.parse_args(argv)

    if (arguments.query is None) == (arguments.benchmark is None):
        raise ValueError(
            "give a written query, or --benchmark to measure how well queries are answered: one of the two"
        )
    if arguments.executor == "chain" and arguments.beam is not None:
        raise ValueError("--beam is for the beam search: in closed form no entity between is chosen")

    if arguments.query is not None:
        refuse(parser, arguments, OF_BENCHMARK, "is of a benchmark: it does not go with a written query")
    else:
        refuse(parser, arguments, OF_QUERY, "is of a written query: it does not go with --benchmark")
    one_sigma(parser, arguments, "sigma_div")
    if not any(arguments.alpha):
        refuse(parser, arguments, OF_NOISE, "is of noise: it goes with an --alpha above 0")

    from gnnkg.evaluation.memory import parse_size
    from gnnkg.evaluation.multihop import Beam, Chain, check_noise
    from gnnkg.experiment import load_run

    check_noise(arguments.alpha, range(arguments.seeds), arguments.sigma_div, arguments.sigma)
    memory = parse_size(arguments.memory)
    settings = {"scale": arguments.scale, "logic": arguments.logic}
    beam = 64 if arguments.beam is None else arguments.beam
    executor = Chain(**settings) if arguments.executor == "chain" else Beam(size=beam, **settings)
    experiment, dataset, model, directory = load_run(arguments.run, arguments.on, measured=arguments.query is None)
    if arguments.query is not None:
        return _answer(arguments, dataset, model, executor, memory)
    return _measure(arguments, experiment, dataset, model, directory, executor, memory)


def _answer(arguments: argparse.Namespace, dataset: Any, model: Any, executor: Any, memory: int | None) -> int:
    from gnnkg.cli import console
    from gnnkg.evaluation.multihop import asking

    found = asking.ask(
        model, dataset, arguments.query, executor, top=arguments.top, novel=arguments.novel, memory=memory
    )
    if arguments.json:
        print(asking.json_lines(found), end="")
    else:
        console().print(asking.table(found, arguments.query))
    return 0


def _measure(
    arguments: argparse.Namespace,
    experiment: Any,
    dataset: Any,
    model: Any,
    directory: Any,
    executor: Any,
    memory: int | None,
) -> int:
    from gnnkg.data.multihop import STRUCTURES, load_queries, sample_queries
    from gnnkg.evaluation.multihop import evaluate_queries
    from gnnkg.evaluation.provenance import provenance

    structures = arguments.structures or list(STRUCTURES)
    if arguments.benchmark == "sampled":
        name = "sampled"
        count = 100 if arguments.queries is None else arguments.queries
        benchmark = sample_queries(dataset, structures, count, arguments.split)
    else:
        folder = Path(arguments.benchmark)
        name, root = (None, folder) if folder.is_dir() else (arguments.benchmark, None)
        benchmark = load_queries(dataset, name, arguments.split, structures, root, arguments.queries)
        name = name or folder.resolve().name
    sigma = arguments.sigma
    if arguments.sigma_of is not None:
        sigma = sigma_of(arguments.sigma_of, arguments.noise, arguments.sigma_div)
    evaluation = evaluate_queries(
        model,
        dataset,
        benchmark,
        executor,
        alphas=arguments.alpha,
        seeds=range(arguments.seeds),
        family=arguments.noise,
        divisor=arguments.sigma_div,
        sigma=sigma,
        memory=memory,
        name=name,
        split=arguments.split,
    )
    origin = provenance(experiment.config, experiment.seed)
    result = {"evaluation": evaluation.to_dict(), "provenance": origin.to_dict()}
    path = directory.write_result(_file(arguments, name, executor, sigma), result)
    tell(arguments.json, result, evaluation, path)
    return 0


def _file(arguments: argparse.Namespace, benchmark: str, executor: Any, sigma: float | None) -> str:
    """The name of a measurement's file: all that its figures depend on, but for defaults."""
    from gnnkg.evaluation.multihop import Beam

    words = list(arguments.structures or [])
    words += [f"{arguments.queries} queries"] * (arguments.queries is not None)
    words += [str(executor)] * (executor != Beam())
    if any(arguments.alpha):
        words += [
            arguments.noise,
            "alpha",
            *(number_word(alpha) for alpha in arguments.alpha),
            f"{arguments.seeds} seeds",
        ]
        if sigma is not None:
            words += [f"sigma {number_word(sigma)}"]
        elif arguments.sigma_div != 3.0:
            words += [f"sigma div {number_word(arguments.sigma_div)}"]
    return measured_as(f"queries-{benchmark}", arguments, words)
