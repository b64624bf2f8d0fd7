"""The same way with modalities: SNAG on names and numbers beside structure alone, and what it goes by.

``snag.yaml``, its twin ``structure.yaml`` and ``plain.yaml`` are experiments like any other. The numbers of ``snag.yaml`` were
chosen on validation among a dozen runs, those of ``plain.yaml`` by a longer search.
"""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gnnkg.core import Model
from gnnkg.data.cldr import load_cldr
from gnnkg.data.dataset import Dataset
from gnnkg.encoders import SNAG
from gnnkg.evaluation import evaluate
from gnnkg.evaluation.missing import modalities_dropped
from gnnkg.experiment import load_run
from gnnkg.quickstart import introduce, scores, train_each, verdict

TITLES = {"snag": "SNAG, names and numbers", "structure": "the same without them", "plain": "DistMult, tuned alone"}
KINDS = ("territory", "language", "currency", "script", "zone")
"""the kinds of entities that are told apart, by what stands before the colon of an identifier"""


def quickstart_modal(folder: Path, console: Console, progress: bool = True) -> None:
    """Trains and judges all three models, says how far SNAG trusts each modality, and what is lost without them.

    Raises FileExistsError where the folder holds these runs already.
    """
    dataset = load_cldr()
    introduce(dataset, console)
    evaluations, _ = train_each(TITLES, folder, console, progress)
    console.print()
    console.print(scores(evaluations, TITLES))
    console.print(verdict("names and numbers", evaluations["snag"], evaluations["structure"]))
    console.print(
        "What a longer search for the numbers of a training gives is another matter: DistMult on structure alone, as `gnnkg "
        f"quickstart` trains it, has {evaluations['plain'].metrics['mrr']:.3f}.",
        soft_wrap=True,
        highlight=False,
    )

    _, _, model, _ = load_run(folder / "snag")
    console.print(Text("\nHow far each modality is trusted, by kind of entity", style="bold"))
    console.print(trusted(model, dataset))
    console.print(Text("\nThe same model on test without some of it", style="bold"))
    console.print(without(model, dataset))
    console.print(Text("\nMore of this: how fast it gets worse, as a table and a picture", style="bold"))
    console.print(f"  gnnkg missing {folder / 'snag'}", soft_wrap=True, highlight=False)


def trusted(model: Model, dataset: Dataset) -> Table:
    """SNAG's instance confidence, the mean over entities of a kind, and which share of them has each modality."""
    snag = model.encoder
    assert isinstance(snag, SNAG)
    confidence = snag.confidence(dataset.graph)
    table = Table("kind", "entities", *(f"{name} (there)" for name in snag.names))
    for column in table.columns[1:]:
        column.justify = "right"
    of = [name.split(":")[0] for name in dataset.entities]
    for kind in KINDS:
        rows = torch.tensor([i for i, each in enumerate(of) if each == kind])
        shares = confidence[rows].mean(0).tolist()
        there = (confidence[rows] > 0).float().mean(0).tolist()
        cells = [f"{share:.2f} ({part:.0%})" for share, part in zip(shares, there, strict=True)]
        table.add_row(kind, f"{len(rows):,}", *cells)
    return table


def without(model: Model, dataset: Dataset) -> Table:
    """MRR and Hits@10 on test, where no entity has some of the modalities."""
    assert isinstance(model.encoder, SNAG)
    names = model.encoder.names[1:]
    table = Table("without", "MRR", "Hits@10")
    for column in table.columns[1:]:
        column.justify = "right"
    for dropped in ([], *([name] for name in names), list(names)):
        with modalities_dropped(model, 1.0 if dropped else 0.0, names=dropped):
            found = evaluate(model, dataset, bootstrap=0).metrics
        table.add_row(" and ".join(dropped) or "nothing", f"{found['mrr']:.3f}", f"{found['hits@10']:.3f}")
    return table
