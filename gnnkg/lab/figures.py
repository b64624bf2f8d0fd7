"""The figures of a laboratory, as PNG files."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, runtime_checkable

import pandas

from gnnkg.evaluation.results import file_name
from gnnkg.lab.drawn import KINDS
from gnnkg.lab.grid import Combination

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gnnkg.lab.report import Row


@runtime_checkable
class OfCombination(Protocol):
    """What was found of one combination."""

    @property
    def combination(self) -> Combination: ...


R = TypeVar("R", bound=OfCombination)
Panel = Callable[["Axes", Sequence["Row"]], None]
PICTURES = 5
"""of negatives, side by side"""


def draw(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Draws everything that the rows have something for; gives the paths."""
    groups = by_model(rows)
    drawn = [  # a dot needs no legend: its method stands beside it
        draw_panels(folder / f"{name}.png", groups, panels, legend=name != "mrr")
        for name, panels in _panels(rows).items()
    ]
    for title, group in groups:
        pictured = [row for row in group if row.cells[0].measures.get("picture")]
        if pictured:
            drawn.append(_negatives(pictured, folder / f"negatives-{file_name(*title.split(', '))}.png"))
    return drawn


def by_model(rows: Sequence[R]) -> list[tuple[str, list[R]]]:
    """``data set, model`` and its rows, a method each."""
    named = groupby(rows, lambda row: f"{row.combination.dataset}, {row.combination.model}")
    return [(name, list(group)) for name, group in named]


def draw_panels(
    path: Path,
    groups: Sequence[tuple[str, Sequence[R]]],
    panels: Sequence[Callable[[Axes, Sequence[R]], None]],
    legend: bool = True,
) -> Path:
    """One figure: a line of panels for each group, and a legend beside the last of them."""
    figure, axes = _figure(len(panels), len(groups))
    for (title, group), line in zip(groups, axes, strict=True):
        for panel, where in zip(panels, line, strict=True):
            where.set_title(title, fontsize=9)
            panel(where, group)
        if legend:
            line[-1].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0)
    return _save(figure, path)


def _panels(rows: Sequence[Row]) -> dict[str, list[Panel]]:
    panels: dict[str, list[Panel]] = {"mrr": [_mrr], "convergence": [_convergence], "isotropy": [_isotropy]}
    panels["gradient"] = [_gradient]
    if any("suspects/recall" in cell.metrics for row in rows for cell in row.cells):
        panels["suspects"] = [partial(_suspects, "precision"), partial(_suspects, "recall")]
    return panels


def _figure(columns: int, rows: int) -> tuple[Figure, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(8, 2 + 3.6 * columns), 3.6 * rows), layout="constrained")
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


def _gradient(where: Axes, rows: Sequence[Row]) -> None:
    """To which kinds of candidates the loss's gradient goes, all terms together; the mean over seeds."""
    begin = [0.0] * len(rows)
    for number, kind in enumerate(KINDS):
        widths = [_gradient_share(row, kind) for row in rows]
        if any(widths):
            where.barh(range(len(rows)), widths, left=begin, color=f"C{number}", label=kind)
        begin = [left + width for left, width in zip(begin, widths, strict=True)]
    where.set_yticks(range(len(rows)), [row.combination.method for row in rows])
    where.invert_yaxis()
    where.set_xlabel("share of the gradient by scores")


def _gradient_share(row: Row, kind: str) -> float:
    found = (cell.measures["gradient"].values() for cell in row.cells)
    return statistics.fmean(sum(kinds.get(kind, 0.0) for kinds in terms) for terms in found)


def _suspects(what: Literal["precision", "recall"], where: Axes, rows: Sequence[Row]) -> None:
    """By epoch, and the same of a plain threshold on scores (thin, dashed) and of flagging at random (dotted); means over seeds."""
    at_random = {"precision": "hidden", "recall": "flagged"}[what]
    for row in rows:
        if "suspects/recall" not in row.cells[0].metrics:
            continue
        curve = _mean(row, ["epoch", *(f"suspects/{name}" for name in (what, f"threshold_{what}", at_random))])
        (line,) = where.plot(curve["epoch"], curve[f"suspects/{what}"], label=row.combination.method, linewidth=1.6)
        for name, style in ((f"threshold_{what}", "--"), (at_random, ":")):
            where.plot(curve["epoch"], curve[f"suspects/{name}"], style, color=line.get_color(), linewidth=0.7)
    where.set(xlabel="epoch", ylabel=f"{what} (dashed: score threshold; dotted: at random)", ylim=(0, 1))
    where.set_ylabel(where.get_ylabel(), fontsize=8)


def _mean(row: Row, columns: list[str]) -> pandas.DataFrame:
    """Reports of training, averaged over seeds: all have the same number of them."""
    every = [cell.metrics[columns] for cell in row.cells]
    return pandas.DataFrame({name: sum(each[name] for each in every) / len(every) for name in columns})


def _negatives(rows: Sequence[Row], path: Path) -> Path:
    """Some positives (crosses) and their negatives (dots) in the plane of their first two principal components."""
    columns = min(len(rows), PICTURES)
    figure, axes = _figure(columns, -(-len(rows) // columns))
    for where in axes.flat[len(rows) :]:
        where.set_axis_off()
    for row, where in zip(rows, axes.flat, strict=False):
        for number, one in enumerate(row.cells[0].measures["picture"]):
            x, y = zip(*one["negatives"], strict=True) if one["negatives"] else ((), ())
            where.plot(x, y, ".", color=f"C{number}", markersize=3, alpha=0.6)
            where.plot(*one["positive"], "X", color=f"C{number}", markersize=9, markeredgecolor="black")
        where.set_title(row.combination.method, fontsize=9)
    return _save(figure, path)
