"""The whole way in a minute: the bundled graph, DistMult with EMU and its plain twin, judged and asked questions in words.

``emu.yaml`` and ``plain.yaml`` are experiments like any other; their numbers were chosen on validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gnnkg.data.cldr import load_cldr, questions
from gnnkg.data.dataset import Dataset
from gnnkg.evaluation import Answer, Evaluation, predict
from gnnkg.experiment import evaluate_run, load_run, read, train
from gnnkg.run import RunDirectory

TITLES = {"emu": "DistMult with EMU", "plain": "DistMult"}
FOLDER = Path(__file__).parent
MARKS = {
    "train": ("true: learned from", "green"),
    "valid": ("true: in valid", "green"),
    "test": ("true: held out, in test", "bold green"),
    None: ("", ""),
}


def quickstart(folder: Path, console: Console, progress: bool = True) -> None:
    """Trains, judges and asks both models; a run directory each under ``folder``.

    Raises FileExistsError where the folder holds these runs already.
    """
    dataset = load_cldr()
    introduce(dataset, console)
    evaluations, valid = train_each(TITLES, folder, console, progress)
    console.print()
    console.print(scores(evaluations, TITLES))
    console.print(verdict("EMU", evaluations["emu"], evaluations["plain"]))

    best = "emu" if valid["emu"] >= valid["plain"] else "plain"
    console.print(Text.assemble(("\nQuestions ", "bold"), f"to {TITLES[best]}, the better of the two on validation"))
    _, _, model, _ = load_run(folder / best)
    for head, relation in questions(dataset):
        answers = predict(model, dataset, head=head, relation=relation, top=len(dataset.entities))
        console.print(_answered(dataset, head, relation, answers))

    console.print(Text("\nThe runs: config, weights, metrics, and the training curve as a picture", style="bold"))
    for line in (*(f"{folder / name / 'curve.png'}" for name in TITLES), f"{_example(folder / best)}"):
        console.print(f"  {line}", soft_wrap=True, highlight=False)


def introduce(dataset: Dataset, console: Console) -> None:
    """Says what the graph is and how many facts it has."""
    console.print(Text.assemble(("The graph: ", "bold"), dataset.source))
    console.print(f"{len(dataset.entities):,} entities and {len(dataset.relations)} relations; " + _facts(dataset))


def train_each(
    titles: Mapping[str, str], folder: Path, console: Console, progress: bool
) -> tuple[dict[str, Evaluation], dict[str, float]]:
    """Trains the experiment of each name and evaluates it on test; its best validation MRR stands beside.

    Raises FileExistsError where the folder holds any of these runs already.
    """
    for name in titles:
        RunDirectory(folder / name).expect_none()
    evaluations, valid = {}, {}
    for name, title in titles.items():
        console.print(Text.assemble(("\nTraining ", "bold"), f"{title}, into {folder / name}"))
        run = train(read(FOLDER / f"{name}.yaml"), folder / name, progress)
        valid[name] = max(run.metrics["valid/mrr"].dropna().tolist())
        evaluations[name] = evaluate_run(run.path)
    return evaluations, valid


def verdict(method: str, treated: Evaluation, plain: Evaluation) -> str:
    """What the two evaluations say of a method, and no more than they say."""
    gap = treated.metrics["mrr"] - plain.metrics["mrr"]
    (low, high), (other_low, other_high) = treated.intervals["mrr"], plain.intervals["mrr"]
    apart = "do not overlap" if low > other_high or other_low > high else "overlap"
    higher = "higher" if gap > 0 else "lower"
    return f"With {method} the MRR is {abs(gap):.3f} {higher}; one seed each, and the intervals {apart}."


def _facts(dataset: Dataset) -> str:
    counts = (
        f"{len(dataset.facts(split)):,} {use}"
        for split, use in (("train", "to learn from"), ("valid", "to choose by"), ("test", "to judge by"))
    )
    return f"facts: {', '.join(counts)}"


def scores(evaluations: Mapping[str, Evaluation], titles: Mapping[str, str]) -> Table:
    """Test figures, both directions together and each."""
    table = Table("test facts, filtered ranking", "asked", "MRR", "Hits@1", "Hits@3", "Hits@10", "MRR, 95 %")
    for column in table.columns[2:]:
        column.justify = "right"
    for name, evaluation in evaluations.items():
        low, high = evaluation.intervals["mrr"]
        tail, head = evaluation.directions["tail"], evaluation.directions["head"]
        for title, asked, row in (
            (titles[name], "both", evaluation.metrics),
            ("", "(h, r, ?)", tail),
            ("", "(?, r, t)", head),
        ):
            figures = [f"{row[metric]:.3f}" for metric in ("mrr", "hits@1", "hits@3", "hits@10")]
            table.add_row(title, asked, *figures, f"{low:.3f} to {high:.3f}" if title else "", end_section=row is head)
    return table


def _answered(dataset: Dataset, head: str, relation: str, answers: list[Answer], top: int = 3) -> Text:
    """The best answers, and the true ones that were held out, wherever they stand."""
    verb = dataset.relation_labels[dataset.relation_id(relation)]
    text = Text(f"\n{dataset.entity_labels[dataset.entity_id(head)]} {verb} ...?", style="bold")
    for answer in answers:
        if answer.rank <= top or answer.known == "test":
            words, style = MARKS[answer.known]
            text.append(f"\n{answer.rank:6}  {answer.label:30} ", style="not bold").append(
                words, style=style or "not bold"
            )
    return text


def _example(path: Path) -> str:
    return f"gnnkg predict {path} --head Japan --relation 'uses currency'"
