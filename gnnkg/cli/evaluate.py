"""Rank a split's facts with a trained run: filtered, both directions, all entities.

Writes RUN/results/SPLIT.json, which `gnnkg compare` reads. With --on, the facts of another data set are ranked instead, among its
entities and on the graph of its training facts: relations are matched by name, and the model must be inductive. Hits@10 against
50 sampled candidates is then measured as well.
"""

from __future__ import annotations

from collections.abc import Sequence

from gnnkg.cli._shared import command, tell


def run(argv: Sequence[str]) -> int:
    parser = command("evaluate", __doc__, "run", "--split", "--on", "--memory", "--json")
    arguments = parser.parse_args(argv)

    from gnnkg.data.manifest import manifest
    from gnnkg.evaluation.memory import parse_size
    from gnnkg.experiment import evaluate_run
    from gnnkg.run import RunDirectory, result_name

    evaluation = evaluate_run(arguments.run, arguments.split, parse_size(arguments.memory), arguments.on)
    name = result_name(arguments.split, arguments.on)
    result = RunDirectory.open(arguments.run).result(name)
    tell(arguments.json, result, evaluation, arguments.run / "results" / f"{name}.json")
    known = manifest(evaluation.dataset)
    if known is not None and known.new_entities and not arguments.json:
        print(
            "these entities were trained on; to test on new ones: "
            f"gnnkg evaluate {arguments.run} --on {known.new_entities}"
        )
    return 0
