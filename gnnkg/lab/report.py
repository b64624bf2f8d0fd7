"""What a laboratory has found so far: one row for each data set, model and method, from the files in its folder."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas
from scipy.stats import t

from gnnkg.evaluation.protocol import Protocol
from gnnkg.evaluation.results import Result, read_result
from gnnkg.evaluation.tables import Files, footnote, machine, markdown
from gnnkg.lab.figures import draw
from gnnkg.lab.grid import Combination, Grid, cell_name
from gnnkg.lab.means import means
from gnnkg.lab.robustness_report import report_robustness
from gnnkg.stored import write_atomically

METRICS = ("mrr", "hits@1", "hits@3", "hits@10")
SHOWN = {
    "tail/mrr": ("MRR, tails asked", 3),
    "tail/hits@1": ("Hits@1", 3),
    "hardness": ("hardness", 3),
    "hardness_plain": ("of plain", 3),
    "false_negatives_held-out": ("false negatives, held out", 4),
    "false_negatives_training": ("in training", 4),
    "false_negatives_hidden": ("hidden", 4),
    "spread": ("spread", 3),
    "suspects/precision": ("suspects' precision", 3),
    "suspects/recall": ("recall", 3),
    "steps": ("steps", 0),
    "seconds_per_step": ("s a step", 4),
    "peak_bytes": ("peak bytes", 0),
    "seconds": ("seconds", 0),
}
"""what the Markdown table shows beside the metrics: the heading and the digits; the CSV file has all of them"""


@dataclass(frozen=True)
class Cell:
    """One finished training."""

    path: Path
    """its result file"""
    result: Result
    measures: Mapping[str, Any]
    metrics: pandas.DataFrame
    """its reports while it trained"""
    plan: Mapping[str, Any]
    """its number of steps and the cost of one"""


@dataclass(frozen=True)
class Row:
    """The finished cells of one combination."""

    combination: Combination
    cells: tuple[Cell, ...]

    def figures(self) -> dict[str, float]:
        """Means over the seeds, by column."""
        return means([_flat(cell) for cell in self.cells])

    def interval(self) -> tuple[float, float] | None:
        """Of the MRR's mean over seeds: ``confidence``."""
        return confidence([cell.result.metrics["mrr"] for cell in self.cells])


def confidence(values: list[float], level: float = 0.95) -> tuple[float, float] | None:
    """The interval of the mean by Student's t distribution, m +- t_{n - 1} s / sqrt(n); None for a single value."""
    if len(values) < 2:
        return None
    mean, error = statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))
    half = float(t.ppf((1 + level) / 2, len(values) - 1)) * error
    return mean - half, mean + half


def report(grid: Grid, folder: Path) -> list[Path]:
    """Writes table.csv, table.md and the figures anew; gives their paths. Raises ValueError where no cell is finished."""
    rows = finished(grid, folder)
    if not rows:
        raise ValueError(f"{folder} has no finished cell of {grid.path} yet: gnnkg lab {grid.path} --out {folder}")
    write_atomically(folder / "table.csv", _frame(rows).to_csv(index=False).encode())
    write_atomically(folder / "table.md", _markdown(rows, grid).encode())
    return [folder / "table.csv", folder / "table.md", *draw(rows, folder), *report_robustness(grid, folder)]


def finished(grid: Grid, folder: Path) -> list[Row]:
    """The combinations that have finished cells, with them, in the grid's order."""
    rows = []
    for combination in grid.combinations:
        names = [cell_name(combination, seed) for seed in grid.seeds]
        cells = [_cell(folder, name, combination) for name in names if (folder / "results" / f"{name}.json").exists()]
        if cells:
            rows.append(Row(combination, tuple(cells)))
    return rows


def _cell(folder: Path, name: str, combination: Combination) -> Cell:
    path = folder / "results" / f"{name}.json"
    measures, metrics = (folder / "measures" / f"{name}.{kind}" for kind in ("json", "csv"))
    for file in (measures, metrics):
        if not file.exists():
            raise ValueError(f"{file} is missing: gnnkg lab without --report makes it of the run, if that is there")
    plan = folder / "steps" / f"{combination.name}.json"
    return Cell(path, read_result(path), _json(measures), pandas.read_csv(metrics), _json(plan))


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _flat(cell: Cell) -> dict[str, float]:
    """All figures of a cell by column. ``hardness`` and the like are of the method's term; others carry their term's name."""
    measures, plan = cell.measures, cell.plan
    own = measures["term"]
    columns = {name: cell.result.metrics[name] for name in METRICS}
    for asked, found in cell.result.directions.items():
        columns |= {f"{asked}/{name}": found[name] for name in METRICS}
    for key in ("hardness", "hardness of plain", "false negatives"):
        word = key.replace(" of ", "_").replace(" ", "_")
        for term, value in measures.get(key, {}).items():
            parts = {"": value} if isinstance(value, float) else {f"_{which}": rate for which, rate in value.items()}
            for which, figure in parts.items():
                columns[f"{word}{which}/{term}"] = figure
                if term == own:
                    columns[f"{word}{which}"] = figure
    for term, found in measures["isotropy"].items():
        columns[f"spread/{term}"] = found["spread"]
        if term == own:
            columns["spread"] = found["spread"]
    for term, kinds in measures["gradient"].items():
        columns |= {f"gradient/{term}/{kind}": share for kind, share in kinds.items()}
    last = cell.metrics.iloc[-1]
    columns |= {name: float(last[name]) for name in cell.metrics.columns if name.startswith("suspects/")}
    columns |= {"steps": plan["steps"], "seconds_per_step": plan["seconds_per_step"], "peak_bytes": plan["peak_bytes"]}
    return columns | {"seconds": float(last["seconds"])}


def _frame(rows: list[Row]) -> pandas.DataFrame:
    table = []
    for row in rows:
        low, high = row.interval() or (None, None)
        names = {"dataset": row.combination.dataset, "model": row.combination.model, "method": row.combination.method}
        figures = row.figures()
        mrr = {"mrr": figures.pop("mrr"), "mrr_low": low, "mrr_high": high}
        tuned = json.dumps(row.cells[0].plan["tuned"]) if row.cells[0].plan["tuned"] else ""
        first = row.cells[0].result
        origin = {
            "protocol": str(Protocol.from_dict(first.protocol)),
            "hardware": machine(first),
            "commit": first.commit,
        }
        table.append({**names, "seeds": len(row.cells), **mrr, **figures, "tuned": tuned, **origin})
    columns = dict.fromkeys(name for each in table for name in each)
    empty = [name for name in columns if name.startswith("gradient/") and not any(each.get(name) for each in table)]
    return pandas.DataFrame(table).drop(columns=empty)


def _markdown(rows: list[Row], grid: Grid) -> str:
    found = [row.figures() for row in rows]
    shown = {name: how for name, how in SHOWN.items() if any(name in figures for figures in found)}
    head = ["data set", "model", "method", "MRR", "95 %", "Hits@1", "Hits@3", "Hits@10"]
    lines = []
    for row, figures in zip(rows, found, strict=True):
        names = [row.combination.dataset, row.combination.model, row.combination.method]
        interval = row.interval()
        ends = f"{interval[0]:.3f} - {interval[1]:.3f}" if interval else ""
        metrics = [f"{figures[name]:.3f}" for name in METRICS]
        measured = [f"{figures[name]:,.{digits}f}" if name in figures else "" for name, (_, digits) in shown.items()]
        lines.append([*names, metrics[0], ends, *metrics[1:], *measured, str(len(row.cells))])
    head += [*(heading for heading, _ in shown.values()), "seeds"]
    files: Files = {cell.path: cell.result for row in rows for cell in row.cells}
    commits = ", ".join(sorted({result.commit[:20] for result in files.values()}))
    notes = [
        f"{footnote(grid.path.name, files)} Commit {commits}.",
        f"Test figures, means over seeds, with the 95 % interval of the mean by Student's t; models are chosen on validation. "
        f"Budget of each training: {_budget(grid)}, in steps by the time of a step, validation not counted.",
        "Hardness: the mean cosine of negatives to their positive, as the loss sees them and as they were drawn. False "
        "negatives: the share of negatives that are facts of validation or test, or of training. Spread: the participation "
        "ratio of the covariance of negative - positive. All on training queries, after training.",
    ]
    if grid.inject:
        notes.append(
            f"Before training, {grid.inject:.0%} of the training facts were hidden; precision and recall of suspects are on "
            "these, planted among 64 uniform negatives each, at the last validation: what the method's own DeMix suspects, or, "
            "where it has none, one that such methods share."
        )
    return "\n".join([*markdown(head, lines, text_columns=3), "", "\n\n".join(notes), ""])


def _budget(grid: Grid) -> str:
    budget = grid.budget
    return f"{budget.steps:,} steps" if budget.steps is not None else f"{budget.minutes:g} minutes"
