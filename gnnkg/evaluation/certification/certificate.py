"""What was certified: a radius for each query, and the figures that sum them up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from gnnkg.evaluation.certification.bound import lower_bounds, radii
from gnnkg.evaluation.certification.settings import Smoothing

GUARANTEE = (
    "For each query by itself, with the stated confidence: whatever is added to {vector}, of an L2 "
    "length below the radius, the smoothed model still gives the event a probability above 1/2. The smoothed model is the model "
    "under the stated noise. Nothing is said of the model without noise, of other vectors, of weights or of the graph."
)
Part = Literal["head", "boundary"]
VECTORS: dict[Part, str] = {
    "head": "the head's vector as the scorer reads it",
    "boundary": "the vector at the head from which messages are passed",
}
CURVE = tuple(round(0.1 * step, 1) for step in range(31))
"""radii of the curve, in units of the noise's standard deviation"""


@dataclass(frozen=True, slots=True)
class Row:
    """A query, relation in [0, 2R), and what came of its draws."""

    head: int
    relation: int
    truth: int
    rank: int
    """without noise, ties counted against the truth"""
    successes: int | None
    """None: given up, or not tried"""
    tried: bool
    left_out: int
    """rivals that were pruned"""
    close: int
    """comparisons that float64 decided"""


@dataclass(frozen=True)
class Certificate:
    """Certified radii of a model's answers. L2, in the units of the coordinates of the vector that it is about."""

    dataset: str
    split: str
    data_hash: str
    direction: str
    subset: str
    """which queries of the split, in words"""
    part: Part
    """whose vector the noise is on"""
    smoothing: Smoothing
    deviation: float
    """standard deviation of the noise in each coordinate: alpha * sigma"""
    lost: float
    """subtracted from each lower bound for the rivals that were pruned"""
    rows: tuple[Row, ...]
    wall_seconds: float
    """of the call that made it; ``gnnkg certify`` adds what was spent before it was stopped"""

    @property
    def guarantee(self) -> str:
        return GUARANTEE.format(vector=VECTORS[self.part])

    def radii(self, together: bool = False) -> np.ndarray:
        """In the units of the coordinates. ``together``: at the stated confidence for all queries at once (Bonferroni)."""
        doubt = 1 - self.smoothing.confidence
        confidence = 1 - doubt / len(self.rows) if together else self.smoothing.confidence
        successes = np.array([row.successes or 0 for row in self.rows])
        return self.deviation * radii(lower_bounds(successes, self.smoothing.draws, confidence) - self.lost)

    @cached_property
    def figures(self) -> dict[str, Any]:
        """ACR: the mean radius, 0 where nothing is certified. CA: the share of radii above 0; ``curve``: CA(r)."""
        found, together = self.radii(), self.radii(together=True)
        successes = [row.successes for row in self.rows]
        share = [number / self.smoothing.draws for number in successes if number is not None]
        return {
            "queries": len(self.rows),
            "hits": float(np.mean([row.rank <= self.smoothing.top for row in self.rows])),
            "ca": float((found > 0).mean()),
            "acr": float(found.mean()),
            "acr/sigma": float(found.mean() / self.deviation),
            "largest": float(found.max()),
            "smoothed accuracy": float(np.mean(share)) if len(share) == len(self.rows) else None,
            "together": {"ca": float((together > 0).mean()), "acr/sigma": float(together.mean() / self.deviation)},
            "curve": {f"{r}": self.share_within(r) for r in CURVE},
            "not tried": sum(not row.tried for row in self.rows),
            "given up": sum(row.tried and row.successes is None for row in self.rows),
            "pruned": sum(row.left_out for row in self.rows),
            "decided in float64": sum(row.close for row in self.rows),
        }

    def share_within(self, r: float) -> float:
        """CA(r): the share of queries that are certified up to r standard deviations of the noise; at 0, those certified at all."""
        found = self.radii() / self.deviation
        return float((found >= r).mean() if r > 0 else (found > 0).mean())

    def to_dict(self) -> dict[str, Any]:
        values: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        values["smoothing"] = self.smoothing.to_dict()
        found = self.radii().tolist()
        named = [each.name for each in fields(Row)]
        rows = [{name: getattr(row, name) for name in named} for row in self.rows]
        values["rows"] = [row | {"radius": radius} for row, radius in zip(rows, found, strict=True)]
        told = {
            "guarantee": self.guarantee,
            "units": "L2, in the units of that vector's coordinates; acr/sigma and curve in deviations",
        }
        return told | {"figures": self.figures} | values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Certificate:
        """What ``to_dict`` gave. Raises ValueError where a field is missing."""
        named, of_row = [each.name for each in fields(cls)], [each.name for each in fields(Row)]
        missing = [name for name in named if name not in values]
        if missing:
            raise ValueError(f"a certificate has the fields {', '.join(named)}; missing: {', '.join(missing)}")
        given = {name: values[name] for name in named}
        given["smoothing"] = Smoothing(**values["smoothing"])
        given["rows"] = tuple(Row(**{name: row[name] for name in of_row}) for row in values["rows"])
        return cls(**given)

    def __rich__(self) -> Group:
        smoothing, figures = self.smoothing, self.figures
        title = f"{self.dataset}, {self.split}: {self.subset}, in {self.wall_seconds:.1f} s"
        told = (
            f"part: {self.part}; Gaussian noise, standard deviation {self.deviation:.4g} = alpha {smoothing.alpha:g} * sigma; "
            f"{smoothing.draws:,} draws, seed {smoothing.seed}; event: truth in the best {smoothing.top}, ties against it; "
            f"confidence {100 * smoothing.confidence:g} % per query, not for all of them at once"
        )
        hits, accuracy = f"Hits@{smoothing.top}", figures["smoothed accuracy"]
        table = Table("", hits, "smoothed", "CA", "ACR/sigma", "ACR", "largest", box=SIMPLE_HEAD, pad_edge=False)
        for column in table.columns[1:]:
            column.justify = "right"
        table.add_row(
            "per query",
            f"{figures['hits']:.4f}",
            "" if accuracy is None else f"{accuracy:.4f}",
            f"{figures['ca']:.4f}",
            f"{figures['acr/sigma']:.4f}",
            f"{figures['acr']:.4g}",
            f"{figures['largest']:.4g}",
        )
        together = figures["together"]
        table.add_row("all at once", "", "", f"{together['ca']:.4f}", f"{together['acr/sigma']:.4f}")
        curve = "  ".join(f"{r:g}: {self.share_within(r):.3f}" for r in (0.0, 0.5, 1.0, 1.5, 2.0))
        counted = (
            f"{figures['not tried']:,} queries ranked below {smoothing.worst_rank} and were not tried, {figures['given up']:,} "
            "were given up when too few successes were left: all count as radius 0"
        )
        return Group(
            Text(title, style="bold"),
            Text(told, style="dim"),
            table,
            Text(f"CA(r), r in standard deviations of the noise:  {curve}"),
            Text(counted, style="dim"),
            Text(self.guarantee, style="dim"),
        )
