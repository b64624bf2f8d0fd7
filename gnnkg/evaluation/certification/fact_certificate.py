"""A certificate for the graph: how many facts may be deleted or added before the smoothed answer may change.

Sparse smoothing: each fact that the encoder reads is deleted with probability d, in both directions, independently; none is
added. p(G) is the probability of the event on what is left of G. For another graph that lacks r of G's facts and has a others:

    p(G') >= d^a * (p(G) - 1 + d^r) / d^r

With probability d^r all r facts are deleted from G, and what is left then is distributed as what is left of G without them; the
event happens in at most 1 - d^r of the other cases. With probability d^a all a facts are deleted again. Both bounds are reached by
some model, so none that knows p(G) alone is better. Certified: p_ in place of p(G) gives more than 1/2, p_ from Clopper-Pearson.

Bojchevski, Gasteiger, Guennemann, "Efficient Robustness Certificates for Discrete Data", ICML 2020, with p_+ = 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from gnnkg.evaluation.certification.bound import lower_bounds

GUARANTEE = (
    "For each query by itself, with the stated confidence: whichever facts of the training graph are removed (or added), as many "
    "as stated at most, the smoothed model still gives the event a probability above 1/2. The smoothed model is the model under "
    "random deletion of the facts that its encoder reads, with its weights and the filter as they are. Nothing is said of the "
    "model on the whole graph."
)
NUMBERS = (0, 1, 2, 3, 5, 10, 20, 40)


def transferred(lower: np.ndarray, deletion: float, removed: int, added: int) -> np.ndarray:
    """The smallest probability of the event once so many facts were removed and added, given that it was at least ``lower``."""
    kept = deletion**removed
    return np.asarray(deletion**added * np.maximum(0.0, (lower - 1 + kept) / kept))


def largest(lower: np.ndarray, deletion: float, kind: Literal["removed", "added"]) -> np.ndarray:
    """How many facts may be removed, or added (``kind``), one by one; 0 also where the event itself is not certified."""
    found = np.zeros(np.shape(lower), dtype=np.int64)
    for number in range(1, 10_000):
        amounts = (number, 0) if kind == "removed" else (0, number)
        safe = transferred(lower, deletion, *amounts) > 0.5
        if not safe.any():
            break
        found[safe] = number
    return found


@dataclass(frozen=True)
class FactCertificate:
    """For each query by itself: how many facts of the training graph the smoothed model can lose, or be given, unmoved."""

    queries: tuple[tuple[int, int, int], ...]
    """head, relation in [0, 2R), truth"""
    dataset: str
    split: str
    data_hash: str
    subset: str
    """which queries of the split, in words"""
    successes: tuple[int, ...]
    draws: int
    confidence: float
    deletion: float
    top: int
    seed: int

    def lower_bounds(self) -> np.ndarray:
        return lower_bounds(np.array(self.successes), self.draws, self.confidence)

    def removed(self) -> np.ndarray:
        """Facts that may be removed, where none is added."""
        return largest(self.lower_bounds(), self.deletion, "removed")

    def added(self) -> np.ndarray:
        """Facts that may be added, where none is removed."""
        return largest(self.lower_bounds(), self.deletion, "added")

    def share(self, removed: int, added: int) -> float:
        """Of the queries, certified against so many of both."""
        return float(self.holds(removed, added).mean())

    def holds(self, removed: int, added: int) -> np.ndarray:
        """Whether each query is certified against so many of both."""
        return transferred(self.lower_bounds(), self.deletion, removed, added) > 0.5

    def to_dict(self) -> dict[str, Any]:
        """With the figures; as JSON has it."""
        told = {"guarantee": GUARANTEE, "part": "facts", "figures": self.figures}
        columns = {"removed": self.removed().tolist(), "added": self.added().tolist()}
        return told | asdict(self) | columns

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FactCertificate:
        """What ``to_dict`` gave. Raises ValueError where a field is missing."""
        named = [each.name for each in fields(cls)]
        missing = [name for name in named if name not in values]
        if missing:
            raise ValueError(f"a certificate has the fields {', '.join(named)}; missing: {', '.join(missing)}")
        given = {name: values[name] for name in named}
        given["queries"] = tuple(map(tuple, values["queries"]))
        given["successes"] = tuple(values["successes"])
        return cls(**given)

    @property
    def figures(self) -> dict[str, Any]:
        return {
            "smoothed accuracy": float(np.mean(self.successes) / self.draws),
            "mean removed": float(self.removed().mean()),
            "mean added": float(self.added().mean()),
            "share certified by removed": {str(number): self.share(number, 0) for number in NUMBERS},
            "share certified by added": {str(number): self.share(0, number) for number in NUMBERS},
        }

    def __rich__(self) -> Group:
        title = f"{self.dataset}, {self.split}: {self.subset}"
        told = (
            f"part: facts; each deleted with probability {self.deletion:g}; {self.draws:,} draws, seed {self.seed}; event: truth "
            f"in the best {self.top}, ties against it; confidence {100 * self.confidence:g} % per query, not for all at once"
        )
        table = Table("share certified", *map(str, NUMBERS), "mean", box=SIMPLE_HEAD, pad_edge=False)
        for column in table.columns[1:]:
            column.justify = "right"
        removed, added = ([f"{self.share(*pair):.3f}" for pair in pairs] for pairs in _pairs())
        table.add_row("facts removed", *removed, f"{self.removed().mean():.2f}")
        table.add_row("facts added", *added, f"{self.added().mean():.2f}")
        accuracy = Text(f"smoothed accuracy {self.figures['smoothed accuracy']:.4f}")
        return Group(Text(title, style="bold"), Text(told, style="dim"), table, accuracy, Text(GUARANTEE, style="dim"))


def _pairs() -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    return [(number, 0) for number in NUMBERS], [(0, number) for number in NUMBERS]
