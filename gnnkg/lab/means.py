"""Figures of several seeds as one row of a table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence


def means(each: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """By column, over those that have it."""
    columns = dict.fromkeys(name for found in each for name in found)
    return {name: statistics.fmean(found[name] for found in each if name in found) for name in columns}
