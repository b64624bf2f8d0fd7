"""Metrics at several strengths of a disturbance, one value a seed: the form of noise tests and of tests of missing modalities."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class Curve(dict[str, dict[str, tuple[float, ...]]]):
    """By strength and metric: one value a seed; a single one where nothing is drawn."""

    def mean(self, at: str, metric: str = "mrr") -> float:
        return statistics.fmean(self[at][metric])

    def deviation(self, at: str, metric: str = "mrr") -> float:
        """The standard deviation over seeds; NaN for a single one."""
        values = self[at][metric]
        return statistics.stdev(values) if len(values) > 1 else math.nan

    def add(self, at: str, rows: Sequence[Mapping[str, float]]) -> None:
        """Takes in the metrics of each seed at a strength."""
        self[at] = {name: tuple(row[name] for row in rows) for name in rows[0]}

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it, with ``mean`` and ``sd`` written out beside the values; NaN becomes None."""
        return {
            at: {
                name: {"mean": self.mean(at, name), "sd": None if math.isnan(sd) else sd, "values": list(values)}
                for name, values in rows.items()
                for sd in [self.deviation(at, name)]
            }
            for at, rows in self.items()
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Curve:
        """What ``to_dict`` gave. Raises KeyError or TypeError for something else."""
        return cls({at: {name: tuple(each["values"]) for name, each in rows.items()} for at, rows in found.items()})


@dataclass(frozen=True)
class Panel:
    """One pair of axes of a picture: a metric against the strength, a line a curve."""

    metric: str
    curves: Mapping[str, Curve]
    title: str = ""


def draw_panels(panels: Sequence[Sequence[Panel]], path: Path, strength: str, from_zero: bool, title: str = "") -> Path:
    """A picture of rows of panels, with the standard deviation over seeds as bars; panels beside each other share their scale.

    ``strength`` is what the curves run over, in words; ``from_zero`` begins the scales of metrics at 0. A curve without a
    panel's metric is left out of it.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = max(len(row) for row in panels)
    figure = Figure(figsize=(max(4.5, 3.6 * columns), 3.6 * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots(len(panels), columns, squeeze=False, sharey="row" if not from_zero else False)
    for row, across in zip(panels, axes, strict=True):
        for panel, where in zip(row, across, strict=True):
            for label, curve in panel.curves.items():
                at = [strength for strength in curve if panel.metric in curve[strength]]
                errors = [0.0 if math.isnan(sd := curve.deviation(x, panel.metric)) else sd for x in at]
                means = [curve.mean(x, panel.metric) for x in at]
                where.errorbar([float(x) for x in at], means, errors, marker="o", capsize=3, label=label)
            where.set(xlabel=strength, ylabel=panel.metric, title=panel.title)
            if from_zero:
                where.set_ylim(0, None)
            where.legend(fontsize=8)
    figure.savefig(path, dpi=120)
    return path
