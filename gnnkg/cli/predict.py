"""Answer a question with a trained run: the tails of a head and a relation, or the heads of a tail.

Names are labels or identifiers. Facts that a split holds are marked with it. With --on, the question is about the entities of
another data set, and its training facts are what the model reasons over; the model must be inductive. --explain adds the reasons
for each answer: paths that its score depends on where the model passes messages, otherwise known facts that are like the answer,
and short paths to it.
"""

from __future__ import annotations

from collections.abc import Sequence

from gnnkg.cli._shared import command

FEW = 3
"""so many answers are explained without a progress bar"""


def run(argv: Sequence[str]) -> int:
    parser = command("predict", __doc__, "run", "--on")
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--head", metavar="ENTITY", help="asks (head, relation, ?)")
    asked.add_argument("--tail", metavar="ENTITY", help="asks (?, relation, tail)")
    parser.add_argument("--relation", metavar="RELATION", required=True)
    parser.add_argument("--top", metavar="N", type=int, default=10, help="how many answers (default: 10)")
    parser.add_argument("--novel", action="store_true", help="leave out the facts that a split holds")
    parser.add_argument("--explain", action="store_true", help="give the reasons for each answer")
    parser.add_argument("--paths", metavar="N", type=int, help="how many reasons of a kind (default: 3)")
    parser.add_argument("--format", choices=("table", "csv", "jsonl"), default="table")
    arguments = parser.parse_args(argv)

    if arguments.paths is not None and not arguments.explain:
        raise ValueError("--paths is how many reasons --explain gives: add --explain")

    from rich.console import Console
    from rich.progress import Progress

    from gnnkg.cli import console
    from gnnkg.evaluation import explained, prediction
    from gnnkg.evaluation.explanation import explain
    from gnnkg.experiment import load_run

    _, dataset, model, _ = load_run(arguments.run, arguments.on)
    question = {"head": arguments.head, "relation": arguments.relation, "tail": arguments.tail}
    answers = prediction.predict(model, dataset, **question, top=arguments.top, novel=arguments.novel)
    reasons = None
    if arguments.explain:
        paths = 3 if arguments.paths is None else arguments.paths
        with Progress(console=Console(stderr=True), disable=len(answers) <= FEW, transient=True) as bar:
            reasons = [
                explain(model, dataset, **question, answer=answer.identifier, paths=paths)
                for answer in bar.track(answers, description="explaining")
            ]
    if arguments.format == "table":
        relation = dataset.relation_labels[dataset.relation_id(arguments.relation)]
        entity = dataset.entity_labels[dataset.entity_id(arguments.head or arguments.tail)]
        title = f"{entity}: {relation} ?" if arguments.head else f"? {relation}: {entity}"
        console().print(prediction.table(answers, title))
        if reasons is not None:
            console().print(explained.listing(answers, reasons))
    elif reasons is None:
        print((prediction.csv if arguments.format == "csv" else prediction.json_lines)(answers), end="")
    else:
        print((explained.csv if arguments.format == "csv" else explained.json_lines)(answers, reasons), end="")
    return 0
