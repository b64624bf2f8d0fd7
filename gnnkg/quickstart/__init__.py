"""The whole way in a minute: the bundled graph, DistMult with EMU and its plain twin, judged and asked questions in words.

``emu.yaml`` and ``plain.yaml`` are experiments like any other; their numbers were chosen on validation.
"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gnnkg.core import Model
from gnnkg.data.cldr import questions
from gnnkg.data.dataset import Dataset
from gnnkg.evaluation import Answer, Evaluation, evaluate, predict
from gnnkg.evaluation.provenance import provenance
from gnnkg.experiment import load_dataset, load_run, read, train

EXPERIMENTS = {"emu": "DistMult + EMU", "plain": "DistMult"}
FOLDER = Path(__file__).parent


def quickstart(folder: Path, console: Console, progress: bool = True) -> dict[str, Evaluation]:
    """Trains, evaluates and asks both models; a run directory each under ``folder``. Gives the test evaluations.

    Raises FileExistsError where the folder holds these runs already.
    """
    dataset = load_dataset(read(FOLDER / "emu.yaml"))
    console.print(f"[bold]The graph[/]: {dataset.source}, {len(dataset.entities):,} entities, {len(dataset.relations)} relations")
    console.print(f"{len(dataset.graph.facts):,} facts to learn from, {len(dataset.valid)} to choose by, {len(dataset.test)} to judge by")
    models, evaluations, chosen_by = {}, {}, {}
    for name, title in EXPERIMENTS.items():
        console.print(f"\n[bold]{title}[/]: gnnkg train {name}.yaml")
        run = train(read(FOLDER / f"{name}.yaml"), folder / name, progress=progress)
        experiment, _, models[name], _ = load_run(run.path)
        evaluations[name] = evaluate(models[name], dataset)
        chosen_by[name] = run.metrics["valid/mrr"].max()
        origin = provenance(experiment.config, experiment.seed)
        run.write_result("test", {"evaluation": evaluations[name].to_dict(), "provenance": origin.to_dict()})
    console.print("\n", _table(evaluations), _verdict(evaluations), sep="")
    best = max(chosen_by, key=lambda name: chosen_by[name])
    console.print(f"\n[bold]Five questions[/] to {EXPERIMENTS[best]}, the better of the two on validation")
    for head, relation in questions(dataset):
        _ask(models[best], dataset, head, relation, console)
    console.print("\n[bold]The runs[/]: config, weights, metrics and environment, each with its training curve as a picture")
    for name in EXPERIMENTS:
        console.print(f"  {folder / name / 'curve.png'}", soft_wrap=True, highlight=False)
    console.print(f"Try: gnnkg predict {folder / best} --head Japan --relation 'uses currency'", soft_wrap=True, highlight=False)
    return evaluations


def _table(evaluations: dict[str, Evaluation]) -> Table:
    """Both directions together, then each alone."""
    table = Table("test, filtered", "asked", "MRR", "95 % interval", "Hits@1", "Hits@3", "Hits@10")
    for column in table.columns[2:]:
        column.justify = "right"
    for name, evaluation in evaluations.items():
        low, high = evaluation.intervals["mrr"]
        asked = {"both directions": evaluation.metrics, "(h, r, ?)": evaluation.directions["tail"], "(?, r, t)": evaluation.directions["head"]}
        for i, (direction, row) in enumerate(asked.items()):
            figures = [f"{row[metric]:.3f}" for metric in ("mrr", "hits@1", "hits@3", "hits@10")]
            interval = "" if i else f"{low:.3f} to {high:.3f}"
            table.add_row("" if i else EXPERIMENTS[name], direction, figures[0], interval, *figures[1:], end_section=i == 2)
    return table


def _verdict(evaluations: dict[str, Evaluation]) -> str:
    """What the table says, and no more than it says."""
    gap = evaluations["emu"].metrics["mrr"] - evaluations["plain"].metrics["mrr"]
    (low, high), (other_low, other_high) = (evaluations[name].intervals["mrr"] for name in EXPERIMENTS)
    apart = low > other_high or other_low > high
    comparison = f"EMU is {abs(gap):.3f} MRR {'ahead of' if gap > 0 else 'behind'} its plain twin"
    return f"{comparison}, one seed each; the intervals {'are apart' if apart else 'overlap'}."


def _ask(model: Model, dataset: Dataset, head: str, relation: str, console: Console, top: int = 3) -> None:
    """The best answers, and the held-out true ones wherever they stand."""
    answers = predict(model, dataset, head=head, relation=relation, top=len(dataset.entities))
    shown = [answer for answer in answers if answer.rank <= top or answer.known == "test"]
    subject, verb = dataset.entity_labels[dataset.entity_id(head)], dataset.relation_labels[dataset.relation_id(relation)]
    console.print(Text(f"\n{subject} {verb} ...?", style="bold"))
    for answer in shown:
        console.print(Text(f"  {answer.rank:>4}  {answer.label}  ") + _mark(answer), highlight=False)


def _mark(answer: Answer) -> Text:
    words = {"train": "known: trained on", "valid": "known: in valid", "test": "known: in test, held out of training"}
    return Text(words[answer.known], style="green") if answer.known else Text("")
