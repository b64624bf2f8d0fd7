"""Rank a split's facts with a trained run: filtered, both directions, all entities.

Writes RUN/results/SPLIT.json, which `gnnkg compare` reads. With --on, the facts of another data set are ranked instead, among its
entities and on the graph of its training facts: relations are matched by name, and the model must be inductive. Hits@10 against
50 sampled candidates is then measured as well.
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
        "--on", metavar="DATASET", help="another data set, e.g. grail/fb237_v1_ind for a model of grail/fb237_v1"
    )
    parser.add_argument(
        "--memory", metavar="SIZE", help="what scoring may take, e.g. 2GB (default: half of what is free)"
    )
    parser.add_argument("--json", action="store_true", help="print the complete result as JSON")
    arguments = parser.parse_args(argv)

    import json

    from gnnkg.cli import console
    from gnnkg.data.manifest import manifest
    from gnnkg.evaluation.memory import parse_size
    from gnnkg.experiment import evaluate_run
    from gnnkg.run import RunDirectory, result_name

    memory = None if arguments.memory is None else parse_size(arguments.memory)
    evaluation = evaluate_run(arguments.run, arguments.split, memory, arguments.on)
    name = result_name(arguments.split, arguments.on)
    if arguments.json:
        result = RunDirectory.open(arguments.run).result(name)
        print(json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        console().print(evaluation)
        print(f"written to {arguments.run / 'results' / name}.json")
        known = manifest(evaluation.dataset)
        if known is not None and known.new_entities:
            print(
                "these entities were trained on; to test on new ones: "
                f"gnnkg evaluate {arguments.run} --on {known.new_entities}"
            )
    return 0
