"""Attack a run's answers by its facts: how many change where a few facts of the graph are deleted, or added.

For encoders that pass messages along facts. Queries that the run answers are attacked one by one: a greedy search changes the facts
by which the answer's lead falls most, by gradient and tried one after the other; random changes stand beside it. Writes
RUN/results/fact-attacks-SPLIT.json, with the facts that turn each answer; settings that are not the default stand in the name.
Attacks on vectors: gnnkg certify --attack.
"""

from __future__ import annotations

from collections.abc import Sequence

from gnnkg.cli._shared import command, measured_as, not_default, number_or_all, tell

SETTINGS = ("direction", "top", "queries", "kind", "budget", "tries", "candidates", "seed")
"""what results depend on, beside the run, the split and --on"""


def run(argv: Sequence[str]) -> int:
    parser = command("attack", __doc__, "run", "--split", "--on", "--direction", "--top", "--json", "--quiet")
    parser.add_argument(
        "--queries", metavar="N", default="100", help="a random subset of the queries, or all (default: 100)"
    )
    parser.add_argument(
        "--kind", choices=("delete", "add"), nargs="+", default=["delete", "add"], help="(default: both)"
    )
    parser.add_argument(
        "--budget",
        metavar="N",
        type=int,
        nargs="+",
        default=[1, 2, 5, 10],
        help="facts that may be changed (default: 1 2 5 10)",
    )
    parser.add_argument("--tries", metavar="N", type=int, default=8, help="changes tried at each step (default: 8)")
    parser.add_argument(
        "--candidates", metavar="N", type=int, default=256, help="facts that could be added to a query (default: 256)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the subset, the candidates and random changes")
    arguments = parser.parse_args(argv)
    num_queries = number_or_all("--queries", arguments.queries)

    from rich.progress import Progress

    from gnnkg.evaluation.fact_trial import attack_facts
    from gnnkg.evaluation.provenance import provenance
    from gnnkg.experiment import load_run

    experiment, dataset, model, directory = load_run(arguments.run, arguments.on, measured=True)
    with Progress(disable=arguments.quiet or arguments.json, transient=True) as bar:
        task = bar.add_task("attacking", total=None)
        found = attack_facts(
            model,
            dataset,
            arguments.split,
            kinds=arguments.kind,
            budgets=arguments.budget,
            top=arguments.top,
            direction=arguments.direction,
            num_queries=num_queries,
            tries=arguments.tries,
            candidates=arguments.candidates,
            seed=arguments.seed,
            report=lambda done, total: bar.update(task, completed=done, total=total),
        )
    origin = provenance(experiment.config, experiment.seed)
    name = measured_as("fact-attacks", arguments, not_default(parser, arguments, SETTINGS))
    path = directory.write_result(name, {"trial": found.to_dict(), "provenance": origin.to_dict()})
    tell(arguments.json, directory.result(name), found, path)
    return 0
