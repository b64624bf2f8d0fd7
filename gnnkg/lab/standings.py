"""What a laboratory has measured of its cells under noise, and whether that is what its grid asks for now."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from gnnkg.data.dataset import HIDDEN
from gnnkg.lab.grid import Combination, Grid, cell_name


def standing_file(folder: Path, combination: Combination, seed: int) -> Path:
    return folder / "robustness" / f"{cell_name(combination, seed)}.json"


def measured_against(grid: Grid, combination: Combination) -> Combination:
    """The same data and model with the grid's first method, whose sigma makes noise equal."""
    return replace(combination, method=grid.first_method)


def asked(grid: Grid) -> dict[str, Any]:
    """What the grid wants to know, as JSON has it."""
    assert grid.robust is not None
    return json.loads(json.dumps(asdict(grid.robust)))


def standing(folder: Path, grid: Grid, combination: Combination, seed: int) -> dict[str, Any] | None:
    """A cell's measures; None: there are none, or of other settings, another filter, or another first method's sigma."""
    file = standing_file(folder, combination, seed)
    if not file.exists():
        return None
    found = json.loads(file.read_text(encoding="utf-8"))
    hides = bool(combination.config.get("dataset_options", {}).get("hide"))
    if found["asked"] != asked(grid) or (HIDDEN in found["own"]["protocol"]["filter"]) != hides:
        return None
    common, first = found.get("common"), measured_against(grid, combination)
    if combination.method == first.method:
        return found if common is None else None
    by = standing(folder, grid, first, seed)
    return found if by is not None and common is not None and common["sigma"] == by["own"]["sigma"] else None
