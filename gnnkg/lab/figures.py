"""The figures of a laboratory, as PNG files."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas

from gnnkg.evaluation.results import file_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gnnkg.lab.report import Row

Groups = list[tuple[str, list["Row"]]]
"""``data set, model`` and its rows, a method each"""


def draw(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Draws everything that the rows have something for; gives the paths."""
    groups: Groups = [
        (name, list(group))
        for name, group in groupby(rows, lambda row: f"{row.combination.dataset}, {row.combination.model}")
    ]
    panels = {"mrr": _mrr, "convergence": _convergence, "isotropy": _isotropy}
    if any("suspects/recall" in cell.metrics for row in rows for cell in row.cells):
        panels["suspects"] = _suspects
    drawn = []
    for name, panel in panels.items():
        figure, axes = _figure(1, len(groups))
        for (title, group), (where,) in zip(groups, axes, strict=True):
            where.set_title(title, fontsize=9)
            panel(where, group)
        drawn.append(_save(figure, folder / f"{name}.png"))
    for title, group in groups:
        pictured = [row for row in group if row.cells[0].measures.get("picture")]
        if pictured:
            drawn.append(_negatives(pictured, folder / f"negatives-{file_name(*title.split(', '))}.png"))
    return drawn


def _figure(columns: int, rows: int) -> tuple[Figure, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(7, 3.2 * columns), 3.4 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path, dpi=120)
    return path


def _mrr(where: Axes, rows: Sequence[Row]) -> None:
    """The mean over seeds with its interval; each seed as a dot."""
    for place, row in enumerate(rows):
        values = [cell.result.metrics["mrr"] for cell in row.cells]
        where.plot(values, [place] * len(values), ".", color="grey")
        where.plot(statistics.fmean(values), place, "o", color="black")
        if (interval := row.interval()) is not None:
            where.plot(interval, [place, place], "-", color="black")
    where.set_yticks(range(len(rows)), [row.combination.method for row in rows])
    where.invert_yaxis()
    where.set_xlabel("test MRR, mean and 95 % interval over seeds; dots: seeds")


def _convergence(where: Axes, rows: Sequence[Row]) -> None:
    """Validation MRR against the seconds of training, validation included; the mean over seeds."""
    for row in rows:
        curve = _mean(row, ["seconds", "valid/mrr"])
        where.plot(curve["seconds"], curve["valid/mrr"], ".-", label=row.combination.method, linewidth=1)
    where.set(xlabel="seconds of training and validation", ylabel="validation MRR")
    where.legend(fontsize=8)


def _isotropy(where: Axes, rows: Sequence[Row]) -> None:
    """The share of each eigenvalue of the covariance of negative - positive, from the largest; of the first seed."""
    for row in rows:
        measures = row.cells[0].measures
        if measures["term"] is None:
            continue
        found = measures["isotropy"][measures["term"]]
        total = sum(found["spectrum"]) or 1.0
        label = f"{row.combination.method}, spread {found['spread']:.3f}"
        where.semilogy([value / total or None for value in found["spectrum"]], label=label, linewidth=1)
    where.set(xlabel="direction", ylabel="share of the variance", ylim=(1e-6, 1))
    where.legend(fontsize=8)


def _suspects(where: Axes, rows: Sequence[Row]) -> None:
    """Precision (solid) and recall (dashed) by epoch, and the same of a plain threshold (thin); means over seeds."""
    names = ["precision", "recall", "threshold_precision", "threshold_recall"]
    for number, row in enumerate(rows):
        if "suspects/recall" not in row.cells[0].metrics:
            continue
        curve = _mean(row, ["epoch", *(f"suspects/{name}" for name in names), "suspects/hidden"])
        for name in names:
            label = f"{row.combination.method}, {name}" if name in ("precision", "recall") else None
            style, width = ("--" if "recall" in name else "-"), (0.6 if "threshold" in name else 1.6)
            where.plot(
                curve["epoch"], curve[f"suspects/{name}"], style, color=f"C{number % 10}", linewidth=width, label=label
            )
        where.plot(curve["epoch"], curve["suspects/hidden"], ":", color="grey", linewidth=1)
    where.set(xlabel="epoch; thin: a score threshold; dotted: precision at random", ylim=(0, 1))
    where.legend(fontsize=7)


def _mean(row: Row, columns: list[str]) -> pandas.DataFrame:
    """Reports of training, averaged over seeds: all have the same number of them."""
    every = [cell.metrics[columns] for cell in row.cells]
    return pandas.DataFrame({name: sum(each[name] for each in every) / len(every) for name in columns})


def _negatives(rows: Sequence[Row], path: Path) -> Path:
    """Some positives (crosses) and their negatives (dots) in the plane of their first two principal components."""
    figure, axes = _figure(len(rows), 1)
    for row, where in zip(rows, axes[0], strict=True):
        for number, one in enumerate(row.cells[0].measures["picture"]):
            x, y = zip(*one["negatives"], strict=True) if one["negatives"] else ((), ())
            where.plot(x, y, ".", color=f"C{number}", markersize=3, alpha=0.6)
            where.plot(*one["positive"], "X", color=f"C{number}", markersize=9, markeredgecolor="black")
        where.set_title(row.combination.method, fontsize=9)
    return _save(figure, path)
