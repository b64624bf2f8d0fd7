"""How well a model of modalities answers where some are missing that training had."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text
from torch import Tensor

from gnnkg.core import Model
from gnnkg.data.dataset import Dataset
from gnnkg.encoders import SNAG
from gnnkg.encoders.modality import Modality
from gnnkg.evaluation.curve import Curve, Panel, draw_panels
from gnnkg.evaluation.metrics import metrics, metrics_by_group, summands
from gnnkg.evaluation.protocol import Protocol
from gnnkg.evaluation.ranks import Ranks, rank_facts
from gnnkg.graph import Facts

SHARES = (0.0, 0.2, 0.4, 0.6, 0.8)
ALL = "all"
"""all modalities but structure"""
UNSEEN = "unseen/"
"""in front of metrics of the facts that hold an entity without a training fact"""


def modalities_of(model: Model) -> dict[str, Modality]:
    """The modalities of a model besides structure, by name. Raises ValueError where it has none."""
    found = next((module for module in model.modules() if isinstance(module, SNAG)), None)
    if found is None:
        raise ValueError(f"{type(model.encoder).__name__} reads no modalities that could be missing; SNAG does")
    return dict(zip(found.names[1:], found.modalities, strict=True))  # type: ignore[arg-type]  # a ModuleList of these


@contextmanager
def modalities_dropped(model: Model, share: float, seed: int = 0, names: Sequence[str] | None = None) -> Iterator[None]:
    """For as long as the context lasts, a share of the rows that are there of the named modalities is missing.

    ``names=None``: of all but structure. Which rows is drawn for each modality apart, by the seed; those of a smaller share are
    among those of a larger. Raises ValueError where the model has no such modality, or the share lies outside [0, 1].
    """
    known = modalities_of(model)
    if names is not None and len(set(names)) < len(names):
        raise ValueError(f"a modality is named once; {', '.join(names)} repeats one")
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise ValueError(f"this model has not the modality {', '.join(unknown)}; it has {', '.join(known)}")
    if not 0 <= share <= 1:
        raise ValueError(f"a share lies in [0, 1], not {share}")
    draw = torch.Generator().manual_seed(seed)
    # all orders first: which rows of a modality are gone does not depend on what fills those of another
    orders = {name: torch.randperm(len(modality.present), generator=draw) for name, modality in known.items()}
    with ExitStack() as stack:
        for name, modality in known.items():
            if names is None or name in names:
                stack.enter_context(modality.without(_first(modality.present, orders[name], share), draw))
        yield


def _first(present: Bool[Tensor, " N"], order: Tensor, share: float) -> Bool[Tensor, " N"]:
    """A share of the rows that are present, the first of them in the given order."""
    there = order[present.cpu()[order]]
    gone = torch.zeros(len(present), dtype=torch.bool)
    gone[there[: round(share * len(there))]] = True
    return gone.to(present.device)


@dataclass(frozen=True)
class MissingTest:
    """Metrics of a model where a share of the rows of one modality, or of each, is missing, though training had them."""

    dataset: str
    split: str
    data_hash: str
    num_facts: int
    num_unseen: int
    """facts that hold an entity without a training fact; metrics of these alone have ``unseen/`` in front"""
    protocol: Protocol
    seeds: int
    values: Mapping[str, Curve]
    """by modality ("all": of each), a curve by share; a single value for share 0"""
    wall_seconds: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; see ``Curve.to_dict``."""
        curves = {name: curve.to_dict() for name, curve in self.values.items()}
        return {**asdict(self), "protocol": self.protocol.to_dict(), "values": curves}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MissingTest:
        """What ``to_dict`` gave. Raises KeyError or TypeError for something else."""
        curves = {name: Curve.from_dict(each) for name, each in values["values"].items()}
        return cls(**{**values, "protocol": Protocol.from_dict(values["protocol"]), "values": curves})

    def __rich__(self) -> Group:
        title = f"{self.dataset}, {self.split}: {self.num_facts:,} facts in {self.wall_seconds:.1f} s"
        about = f"a share of a modality's rows missing, {self.seeds} draws; {self.protocol}"
        if self.num_unseen:
            about += f"; {self.num_unseen:,} facts hold an entity without a training fact"
        figures = {"mrr": "MRR", "hits@1": "Hits@1", "hits@3": "Hits@3", "hits@10": "Hits@10"}
        if self.num_unseen:
            figures |= {UNSEEN + "mrr": "MRR unseen", UNSEEN + "hits@10": "Hits@10 unseen"}
        heads = ["modality", "missing", *figures.values()]
        heads[3:3] = ["sd", "kept"]
        table = Table(*heads, box=SIMPLE_HEAD, pad_edge=False)
        for column in table.columns[1:]:
            column.justify = "right"
        for name, curve in self.values.items():
            for share in curve:
                sd = curve.deviation(share)
                kept = curve.mean(share) / curve.mean("0") if "0" in curve else math.nan
                cells = [f"{curve.mean(share, metric):.4f}" for metric in figures]
                cells[1:1] = ["" if math.isnan(sd) else f"{sd:.4f}", "" if math.isnan(kept) else f"{kept:.0%}"]
                table.add_row(name, f"{float(share):.0%}", *cells, end_section=share == list(curve)[-1])
        return Group(Text(title, style="bold"), Text(about, style="dim"), table)


def missing_test(
    model: Model,
    dataset: Dataset,
    split: str = "test",
    *,
    shares: Sequence[float] = SHARES,
    seeds: int = 3,
    names: Sequence[str] | None = None,
    filter: Sequence[str] | None = None,
    facts: Facts | None = None,
    memory: int | None = None,
    step: Callable[[], None] = lambda: None,
) -> MissingTest:
    """Ranks the facts of a split, or the given ones, with a share of the rows of each modality missing, and of all at once.

    ``names``: only of these modalities. ``filter`` as in ``evaluate``. What is dropped depends on the seed alone, see
    ``modalities_dropped``, so models of the same modalities are compared on the same rows. ``step`` is called after each ranking.
    Raises ValueError where there are no facts to rank, and for settings out of range.
    """
    begin = time.perf_counter()
    if not shares or len({f"{share:g}" for share in shares}) < len(shares) or seeds < 1:
        raise ValueError(
            f"shares are numbers that differ in six digits, and seeds at least 1, not {list(shares)} and {seeds}"
        )
    split, facts = (split, dataset.facts(split)) if facts is None else (f"{len(facts):,} facts of {split}", facts)
    if not len(facts):
        raise ValueError(f"there are no facts to rank: {dataset.name} has none in {split}")
    facts, graph = facts.cpu(), dataset.graph
    filter, known = dataset.filtering(filter)
    unseen = graph.holds_unseen(facts)

    def ranked(share: float, seed: int, dropped: Sequence[str] | None) -> dict[str, float]:
        with modalities_dropped(model, share, seed, dropped):
            row = _metrics(rank_facts(model, graph, facts, known, memory), unseen)
        step()
        return row

    clean = [ranked(0.0, 0, None)] if 0 in shares else []
    values: dict[str, Curve] = {}
    for name, dropped in sets_dropped(model, names).items():
        values[name] = Curve()
        for share in shares:
            rows = [ranked(share, seed, dropped) for seed in range(seeds)] if share else clean
            values[name].add(f"{share:g}", rows)
    return MissingTest(
        dataset=dataset.name,
        split=split,
        data_hash=dataset.data_hash,
        num_facts=len(facts),
        num_unseen=int(unseen.sum()),
        protocol=Protocol(filter=filter),
        seeds=seeds,
        values=values,
        wall_seconds=time.perf_counter() - begin,
    )


def sets_dropped(model: Model, names: Sequence[str] | None = None) -> dict[str, Sequence[str]]:
    """Which modalities ``missing_test`` drops together, by what it calls them: all, where there are several, and each."""
    each = list(names or modalities_of(model))
    together: dict[str, Sequence[str]] = {ALL: each} if len(each) > 1 else {}
    return together | {name: [name] for name in each}


def num_rankings(model: Model, shares: Sequence[float], seeds: int, names: Sequence[str] | None = None) -> int:
    """How often ``missing_test`` calls ``step``."""
    nonzero = sum(1 for share in shares if share)
    return len(sets_dropped(model, names)) * nonzero * seeds + (0 in shares)


def _metrics(ranks: Ranks, unseen: Bool[Tensor, " M"]) -> dict[str, float]:
    values = summands(ranks.ranks(), ranks.candidates)
    slices = metrics_by_group(values, unseen.repeat(2).long(), ("seen", "unseen"))
    of_unseen = {UNSEEN + name: value for name, value in slices.get("unseen", {}).items() if name != "queries"}
    return metrics(ranks.ranks(), ranks.candidates) | of_unseen


def draw(tests: Mapping[str, MissingTest], path: Path) -> Path:
    """A picture of MRR against the share that is missing, a panel a modality and a line a test.

    A second row is of the facts with unseen entities alone, where there are any.
    """
    names = list(dict.fromkeys(name for test in tests.values() for name in test.values))
    rows = ["mrr"] + [UNSEEN + "mrr"] * any(test.num_unseen for test in tests.values())
    panels = [
        [
            Panel(row, {label: test.values[name] for label, test in tests.items() if name in test.values}, name)
            for name in names
        ]
        for row in rows
    ]
    first = next(iter(tests.values()))
    title = f"{first.dataset}, {first.split}: rows of a modality missing at test"
    return draw_panels(panels, path, "share missing", from_zero=False, title=title)
