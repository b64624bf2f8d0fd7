"""Rank a split's facts with modalities of entities missing: how fast the answers of a SNAG run get worse.

A share of the rows of each modality is dropped, of one alone and of all at once, in several draws. Several runs of one data set are
drawn into one picture, such as one with and one without noise in training. Writes RUN/results/missing-*.json of each run, and the
picture beside that of the first; settings that are not the default stand in the names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gnnkg.cli._shared import command, not_default


def run(argv: Sequence[str]) -> int:
    parser = command("missing", __doc__, "--split", "--facts", "--memory", "--json", "--quiet")
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path, help="run directories")
    parser.add_argument(
        "--shares", metavar="X", type=float, nargs="+", default=[0, 0.2, 0.4, 0.6, 0.8], help="(default: 0 .2 .4 .6 .8)"
    )
    parser.add_argument("--seeds", metavar="N", type=int, default=3, help="how many draws of each share (default: 3)")
    parser.add_argument("--modality", metavar="NAME", nargs="+", help="these alone (default: each that a run has)")
    parser.add_argument("--picture", metavar="FILE", type=Path, help="where the picture goes instead")
    arguments = parser.parse_args(argv)

    import json
    from functools import partial

    from rich.progress import Progress

    from gnnkg.cli import console
    from gnnkg.data.split import sample_facts
    from gnnkg.evaluation.memory import parse_size
    from gnnkg.evaluation.missing import draw, missing_test, num_rankings
    from gnnkg.evaluation.provenance import provenance
    from gnnkg.evaluation.results import file_name
    from gnnkg.experiment import load_run
    from gnnkg.run import RunDirectory

    runs = [RunDirectory.open(path) for path in dict.fromkeys(arguments.runs)]
    if len({run.vocabulary.get("data_hash") for run in runs}) > 1:
        named = ", ".join(f"{run.path} ({run.vocabulary.get('dataset')})" for run in runs)
        raise ValueError(f"runs of other data do not stand in one picture: {named}")
    parts = [arguments.split, *(arguments.modality or [])]
    parts += [f"{arguments.facts}-facts"] * (arguments.facts is not None)
    name = f"missing-{file_name(*parts, *not_default(parser, arguments, ('shares', 'seeds')))}"
    tests, results = {}, {}
    for path in (run.path for run in runs):
        experiment, dataset, model, directory = load_run(path, measured=True)
        facts = sample_facts(dataset.facts(arguments.split), arguments.facts)
        with Progress(disable=arguments.quiet or arguments.json, transient=True) as bar:
            total = num_rankings(model, arguments.shares, arguments.seeds, arguments.modality)
            task = bar.add_task(f"ranking {path.name}", total=total)
            found = missing_test(
                model,
                dataset,
                arguments.split,
                shares=arguments.shares,
                seeds=arguments.seeds,
                names=arguments.modality,
                facts=None if arguments.facts is None else facts,
                memory=parse_size(arguments.memory),
                step=partial(bar.advance, task),
            )
        origin = provenance(experiment.config, experiment.seed)
        written = directory.write_result(name, {"missing": found.to_dict(), "provenance": origin.to_dict()})
        tests[path], results[str(path)] = found, directory.result(name)
        if not arguments.json:
            console().print(path.name, found)
            print(f"written to {written}")
    short = {path.name: test for path, test in tests.items()}
    labelled = short if len(short) == len(tests) else {str(path): test for path, test in tests.items()}
    picture = draw(labelled, arguments.picture or runs[0].path / "results" / f"{name}.png")
    if arguments.json:
        print(json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        print(f"drawn into {picture}")
    return 0
