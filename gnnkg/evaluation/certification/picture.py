"""How many queries are certified how far, as PNG files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gnnkg.evaluation.certification.certificate import Certificate
from gnnkg.evaluation.certification.fact_certificate import FactCertificate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(certificates: Mapping[str, Certificate], path: Path) -> Path:
    """Shares of queries that are certified up to a radius, in deviations of each certificate's own noise; dotted: clean Hits."""
    figure, axes = _figure()
    for name, certificate in certificates.items():
        found = np.sort(certificate.radii() / certificate.deviation)
        found = found[found > 0]
        shares = np.arange(len(found), 0, -1) / len(certificate.rows)
        # certified at r: radius >= r, so the curve falls behind each radius
        x, y = np.concatenate([[0.0], found]), np.concatenate([shares[:1], shares]) if len(found) else np.zeros(1)
        (line,) = axes.step(np.append(x, x[-1]), np.append(y, 0.0), where="pre", label=name)
        axes.axhline(certificate.figures["hits"], linestyle=":", color=line.get_color())
    some = next(iter(certificates.values()))
    told = f"{some.dataset}, {some.subset}, {100 * some.smoothing.confidence:g} % per query"
    axes.set(
        xlabel="radius r / standard deviation of the noise", ylabel="CA(r); dotted: Hits without noise", title=told
    )
    axes.set_ylim(bottom=0)
    axes.legend()
    figure.savefig(path, dpi=120)
    return path


def draw_facts(certificates: Mapping[str, FactCertificate], path: Path) -> Path:
    """Shares of queries that are certified against so many facts removed, or (dashed) added."""
    figure, axes = _figure()
    for name, certificate in certificates.items():
        farthest = int(max(certificate.removed().max(), certificate.added().max(), 1))
        numbers = range(farthest + 2)
        (line,) = axes.plot(
            numbers, [certificate.share(number, 0) for number in numbers], ".-", label=f"{name}, removed"
        )
        shares = [certificate.share(0, number) for number in numbers]
        axes.plot(numbers, shares, ".--", color=line.get_color(), label=f"{name}, added")
    some = next(iter(certificates.values()))
    told = f"{some.dataset}, {some.subset}, {100 * some.confidence:g} % per query"
    axes.set(xlabel="facts of the graph", ylabel="share of queries that are certified", title=told)
    axes.set_ylim(bottom=0)
    axes.legend()
    figure.savefig(path, dpi=120)
    return path


def _figure() -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()
