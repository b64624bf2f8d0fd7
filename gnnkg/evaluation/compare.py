"""Several measurements side by side, and what speaks against comparing them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from gnnkg.evaluation.metrics import SAMPLED
from gnnkg.evaluation.protocol import Protocol
from gnnkg.evaluation.ranking import Evaluation
from gnnkg.evaluation.results import Result

COLUMNS = {"mrr": "MRR", "hits@1": "Hits@1", "hits@3": "Hits@3", "hits@10": "Hits@10", SAMPLED: "Hits@10 of 50"}
COLUMNS |= {"mr": "MR", "amri": "AMRI"}


@dataclass(frozen=True)
class Comparison:
    """Measurements by name. Where there are ``warnings``, their figures do not say which model is better."""

    measured: Mapping[str, Evaluation | Result]
    warnings: tuple[str, ...]

    def rows(self) -> list[dict[str, str | float | None]]:
        """One a measurement, for a data frame: its name, data set, split, metrics and the interval of its MRR."""
        rows = []
        for name, one in self.measured.items():
            low, high = one.intervals.get("mrr", (None, None))
            figures = {metric: one.metrics.get(metric) for metric in COLUMNS}
            rows.append(
                {"run": name, "dataset": one.dataset, "split": one.split, **figures, "mrr_low": low, "mrr_high": high}
            )
        return rows

    def __rich__(self) -> Group:
        drawn = [SAMPLED] if any(SAMPLED in one.metrics for one in self.measured.values()) else []
        shown = ("mrr", "hits@1", "hits@3", "hits@10", *drawn)
        table = Table("run", "data", *(COLUMNS[name] for name in shown), "MRR, 95 %", box=SIMPLE_HEAD, pad_edge=False)
        for column in table.columns[2:]:
            column.justify, column.no_wrap = "right", True
        for row in self.rows():
            figures = ["" if row[name] is None else f"{row[name]:.4f}" for name in shown]
            interval = "" if row["mrr_low"] is None else f"{row['mrr_low']:.3f}-{row['mrr_high']:.3f}"
            table.add_row(str(row["run"]), f"{row['dataset']} {row['split']}", *figures, interval)
        return Group(table, *(Text(f"Warning: {warning}", style="yellow") for warning in self.warnings))


def compare(measured: Mapping[str, Evaluation | Result]) -> Comparison:
    """Compares each measurement with the first. Raises ValueError where there is none."""
    if not measured:
        raise ValueError("there is nothing to compare: give at least one run or result")
    (first, reference), *others = measured.items()
    warnings = [
        f"{name} and {first} cannot be compared: {difference}"
        for name, other in others
        for difference in _differences(other, reference)
    ]
    return Comparison(dict(measured), tuple(warnings))


def _differences(one: Evaluation | Result, other: Evaluation | Result) -> list[str]:
    found = []
    if one.dataset != other.dataset:
        found.append(f"the data set is {one.dataset} against {other.dataset}")
    elif one.data_hash != other.data_hash:
        found.append(
            f"both used {one.dataset}, but its contents differ ({one.data_hash[:12]} against {other.data_hash[:12]})"
        )
    if one.split != other.split:
        found.append(f"the split is {one.split} against {other.split}")
    elif isinstance(one, Evaluation) and isinstance(other, Evaluation) and one.num_facts != other.num_facts:
        found.append(f"{one.num_facts:,} facts were ranked against {other.num_facts:,}")
    return found + _protocol(one).differences(_protocol(other))


def _protocol(one: Evaluation | Result) -> Protocol:
    return one.protocol if isinstance(one.protocol, Protocol) else Protocol.from_dict(one.protocol)
