"""Files of links, and a validation part of one's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from gnnkg.data.alignment.pair import Links, no_links
from gnnkg.data.lines import WHITESPACE, numbered, shown
from gnnkg.data.report import Fault
from gnnkg.data.triples import DataError

Find = Callable[[str], int]
"""the id of a name; LookupError where there is none"""


def read_links(path: Path | str, left: Find, right: Find, one_to_one: bool = False) -> Links:
    """The links of a file with two fields a line, separated by a tab, or by a comma where no line holds a tab.

    Raises DataError, with file and line, where a line does not have two fields or an entity is unknown; with ``one_to_one`` also
    where an entity is linked to another than in a line before.
    """
    path = Path(path)
    lines = list(numbered(path))
    separator = "\t" if any("\t" in line for _, line in lines) else ","

    def fault(number: int, expected: str, stood: str) -> DataError:
        return DataError(str(Fault(str(path), number, expected, stood)))

    found: list[tuple[int, int]] = []
    partner: tuple[dict[int, int], dict[int, int]] = {}, {}
    for number, line in lines:
        fields = [each.strip(WHITESPACE) for each in line.split(separator)]
        if len(fields) != 2 or not all(fields):
            name = "a tab" if separator == "\t" else "a comma or a tab"
            raise fault(number, f"two entities separated by {name}", shown(line))
        try:
            one, other = left(fields[0]), right(fields[1])
        except LookupError as error:
            known = str(error.args[0]) if error.args else ""
            raise fault(number, "a left and a right entity", f"{shown(line)}: {known}") from None
        if one_to_one and (partner[0].setdefault(one, other) != other or partner[1].setdefault(other, one) != one):
            raise fault(number, "each entity in one link", f"{shown(line)}: a line before links it to another")
        found.append((one, other))
    return torch.tensor(found, dtype=torch.int64) if found else no_links()


def shuffled(links: Links, seed: int) -> Links:
    """The links in a seeded order that depends on which they are, not on how they stood."""
    in_order = np.lexsort(links.numpy().T[::-1])
    # RandomState's streams are frozen (NEP 19): the split of a seed outlives every version of NumPy.
    return links[torch.from_numpy(in_order[np.random.RandomState(seed).permutation(len(links))])]


def carve_links(links: Links, share: float, seed: int = 0) -> tuple[Links, Links]:
    """Seeds and a validation part out of seeds, at random by the seed; no entity is in both.

    Raises ValueError where the share is not in [0, 1).
    """
    if not 0 <= share < 1:
        raise ValueError(f"the share of links for validation must be in [0, 1), not {share}")
    mixed = shuffled(links, seed)
    valid = mixed[: round(share * len(mixed))]
    touched = torch.isin(mixed[:, 0], valid[:, 0]) | torch.isin(mixed[:, 1], valid[:, 1])
    return mixed[~touched], valid
