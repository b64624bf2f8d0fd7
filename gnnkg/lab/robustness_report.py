"""What a laboratory has found of robustness: robustness.md, robustness.csv and figures, from robustness/*.json."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas

from gnnkg.evaluation.tables import markdown
from gnnkg.lab.figures import by_model, draw_panels
from gnnkg.lab.grid import Combination, Grid
from gnnkg.lab.means import means
from gnnkg.lab.robustness import columns_of
from gnnkg.lab.standings import standing, standing_file
from gnnkg.stored import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = {
    "hits": ("Hits@1, tail", 3),
    "ca": ("CA", 3),
    "common ca": ("= CA", 3),
    "acr/sigma": ("ACR / sigma", 3),
    "common acr/sigma": ("= ACR / sigma", 3),
    "sigma": ("sigma", 4),
    "norm": ("norm", 2),
    "cosine": ("cosine", 3),
    "participation": ("participation", 3),
    "slope": ("slope", 2),
}
NOTE = """\
Filtered test MRR, realistic ties, with noise alpha * sigma on the query's entity; after "=", at equal absolute noise: the sigma of
the first method of the same data, model and seed. Means over seeds. CA, ACR: tail queries certified at alpha 1 (99.9 % each), and
their mean radius, in sigmas of that noise. Norm, cosine, participation: of the entities' vectors; slope: how far noise of alpha 1
moves a training fact's score. Definitions: `gnnkg/lab/robustness.py`."""


@dataclass(frozen=True)
class Standing:
    """The seeds of one combination."""

    combination: Combination
    seeds: tuple[Mapping[str, Any], ...]

    def figures(self) -> dict[str, float]:
        """Means over the seeds, by column."""
        return means([columns_of(found) for found in self.seeds])


def report_robustness(grid: Grid, folder: Path) -> list[Path]:
    """Writes table and figures anew, of what the grid asks now; gives their paths, none where nothing of it was measured."""
    if grid.robust is None:
        return []
    rows = [row for combination in grid.combinations if (row := _read(grid, combination, folder)).seeds]
    if not rows:
        return []
    frame, text = folder / "robustness.csv", folder / "robustness.md"
    write_atomically(frame, _frame(rows).to_csv(index=False).encode())
    write_atomically(text, (_markdown(rows) + _left_out(rows, grid, folder)).encode())
    return [frame, text, *_figures(rows, folder)]


def _read(grid: Grid, combination: Combination, folder: Path) -> Standing:
    found = (standing(folder, grid, combination, seed) for seed in grid.seeds)
    return Standing(combination, tuple(each for each in found if each is not None))


def _left_out(rows: Sequence[Standing], grid: Grid, folder: Path) -> str:
    """What stands beside the table where some of what is there is not what the grid asks."""
    there = sum(standing_file(folder, *cell).exists() for cell in grid.cells())
    others = there - sum(len(row.seeds) for row in rows)
    return (
        f"\n{others} cells were measured with other settings and are left out: `gnnkg lab` measures them anew.\n"
        if others
        else ""
    )


def _named(row: Standing) -> dict[str, str]:
    return {name: getattr(row.combination, name) for name in ("dataset", "model", "method")}


def _frame(rows: Sequence[Standing]) -> pandas.DataFrame:
    return pandas.DataFrame([{**_named(row), "seeds": len(row.seeds), **row.figures()} for row in rows])


def _markdown(rows: Sequence[Standing]) -> str:
    found = [row.figures() for row in rows]
    ranked = {name: None for figures in found for name in figures if name.endswith("/mrr")}
    shown = {name: how for name, how in SHOWN.items() if any(name in figures for figures in found)}
    titles = [_title(name) for name in ranked]
    head = ["data set", "model", "method", *titles, *(title for title, _ in shown.values()), "seeds"]
    columns = dict.fromkeys(ranked, 3) | {name: digits for name, (_, digits) in shown.items()}
    lines = []
    for row, figures in zip(rows, found, strict=True):
        cells = [f"{figures[name]:.{digits}f}" if name in figures else "" for name, digits in columns.items()]
        lines.append([*_named(row).values(), *cells, str(len(row.seeds))])
    return "\n".join([*markdown(head, lines, text_columns=3), "", NOTE, ""])


def _title(column: str) -> str:
    whose, alpha = column.removesuffix("/mrr").split()
    return f"= {alpha}" if whose == "common" else "clean" if alpha == "0" else alpha


def _figures(rows: Sequence[Standing], folder: Path) -> list[Path]:
    pictures: dict[str, list[Callable[[Axes, Sequence[Standing]], None]]] = {
        "noise": [partial(_noise, "mrr"), partial(_noise, "hits@10")],
        "spectrum": [_spectrum],
    }
    if any("certificate" in found for row in rows for found in row.seeds):
        pictures["certificates"] = [_certificates]
    return [draw_panels(folder / f"{name}.png", by_model(rows), panels) for name, panels in pictures.items()]


def _noise(metric: str, where: Axes, rows: Sequence[Standing]) -> None:
    """Against alpha, in units of each model's own sigma; means over seeds."""
    for row in rows:
        figures, alphas = row.figures(), list(row.seeds[0]["own"]["values"])
        values = [figures[f"own {alpha}/{metric}"] for alpha in alphas]
        where.plot([float(alpha) for alpha in alphas], values, "o-", markersize=3, label=row.combination.method)
    where.set(xlabel="alpha (noise in units of sigma)", ylabel=f"test {metric}", ylim=(0, None))


def _spectrum(where: Axes, rows: Sequence[Standing]) -> None:
    """The share of each eigenvalue of the entities' covariance, of the first seed."""
    for row in rows:
        found = row.seeds[0]["geometry"]
        total = sum(found["spectrum"]) or 1.0
        label = f"{row.combination.method}, {found['participation']:.3f}"
        where.semilogy([value / total or None for value in found["spectrum"]], label=label, linewidth=1)
    where.set(xlabel="direction (legend: participation)", ylabel="share of the variance", ylim=(1e-5, 1))


def _certificates(where: Axes, rows: Sequence[Standing]) -> None:
    """CA(r), means over seeds."""
    for row in rows:
        curves = [found["certificate"]["figures"]["curve"] for found in row.seeds if "certificate" in found]
        if curves:
            means = [statistics.fmean(curve[radius] for curve in curves) for radius in curves[0]]
            where.plot([float(radius) for radius in curves[0]], means, label=row.combination.method, linewidth=1)
    where.set(xlabel="radius / standard deviation of the noise", ylabel="share certified, CA(r)", ylim=(0, None))
