"""The curve CA(r) of certificates, as a PNG file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gnnkg.evaluation.certification.certificate import Certificate


def draw(certificates: Mapping[str, Certificate], path: Path) -> Path:
    """Shares of queries that are certified up to a radius, in deviations of each certificate's own noise; dotted: clean Hits."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
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
