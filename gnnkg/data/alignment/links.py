"""Files of links, and a validation part of one's own."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from gnnkg.data.alignment.pair import Links, no_links
from gnnkg.data.lines import WHITESPACE, numbered, open_text, shown
from gnnkg.data.report import Fault
from gnnkg.data.triples import DataError

SIDES = ("left", "right")
Find = Callable[[str], int]
"""the id of a name; LookupError where there is none"""


def read_links(path: Path | str, left: Find, right: Find, one_to_one: bool = False) -> Links:
    """The links of a file with two fields a line, separated by a tab, or by a comma where no line holds a tab.

    Between commas a field may be quoted. A first line ``left,right,...``, as ``gnnkg align`` writes it, is a header: further fields
    are ignored then, but for ``left_identifier`` and ``right_identifier``, which are read in place of labels.

    Raises DataError, with file and line, where a line does not have two fields, or those of the header, or an entity is unknown;
    with ``one_to_one`` also where an entity is linked to another than in a line before.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"there is no file {path}: links are two entities a line")

    def fault(number: int, expected: str, stood: str) -> DataError:
        return DataError(str(Fault(str(path), number, expected, stood)))

    found: list[tuple[int, int]] = []
    partner: tuple[dict[int, int], dict[int, int]] = {}, {}
    separator, rows = _rows(path)
    width, places = 2, (0, 1)
    if rows and tuple(rows[0][1][:2]) == SIDES:
        _, header = rows.pop(0)
        width = len(header)
        names = [f"{side}_identifier" for side in SIDES]
        if set(names) <= set(header):
            places = header.index(names[0]), header.index(names[1])
    for number, fields in rows:
        line = shown(separator.join(fields))
        if len(fields) != width or not all(fields[place] for place in places):
            name = "a tab" if separator == "\t" else "a comma or a tab"
            expected = f"two entities separated by {name}" if width == 2 else f"{width} fields, as the header has"
            raise fault(number, expected, line)
        try:
            one, other = left(fields[places[0]]), right(fields[places[1]])
        except LookupError as error:
            known = str(error.args[0]) if error.args else ""
            raise fault(number, "a left and a right entity", f"{line}: {known}") from None
        if one_to_one and (partner[0].setdefault(one, other) != other or partner[1].setdefault(other, one) != one):
            raise fault(number, "each entity in one link", f"{line}: a line before links it to another")
        found.append((one, other))
    return torch.tensor(found, dtype=torch.int64) if found else no_links()


def _rows(path: Path) -> tuple[str, list[tuple[int, list[str]]]]:
    """The separator, and the fields of the lines that are not blank, with the number of the last line of each."""
    lines = list(numbered(path))
    if any("\t" in line for _, line in lines) and not lines[0][1].startswith(",".join(SIDES)):
        return "\t", [(number, [each.strip(WHITESPACE) for each in line.split("\t")]) for number, line in lines]
    rows = []
    with open_text(path) as file:
        reader = csv.reader(file, strict=True, skipinitialspace=True)
        try:
            for fields in reader:
                stripped = [each.strip(WHITESPACE) for each in fields]
                if any(stripped):
                    rows.append((reader.line_num, stripped))
        except csv.Error as error:
            raise DataError(
                str(Fault(str(path), reader.line_num, "fields between commas, quoted or not", str(error)))
            ) from error
    return ",", rows


def shuffled(links: Links, seed: int) -> Links:
    """The links in a seeded order that depends on which they are, not on how they stood."""
    in_order = np.lexsort(links.numpy().T[::-1])
    # RandomState's streams are frozen (NEP 19): the split of a seed outlives every version of NumPy.
    return links[torch.from_numpy(in_order[np.random.RandomState(seed).permutation(len(links))])]


def carve_links(links: Links, share: float, seed: int = 0) -> tuple[Links, Links]:
    """Seeds and a validation part out of seeds, at random by the seed; no entity is in both.

    Where there are two seeds and a share, one at least is for validation.

    Raises ValueError where the share is not in [0, 1).
    """
    if not 0 <= share < 1:
        raise ValueError(f"the share of links for validation must be in [0, 1), not {share}")
    mixed = shuffled(links, seed)
    valid = mixed[: max(round(share * len(mixed)), share > 0 and len(mixed) > 1)]
    return untouched(mixed, valid), valid


def untouched(links: Links, others: Links) -> Links:
    """The links that share no entity with others."""
    touched = torch.isin(links[:, 0], others[:, 0]) | torch.isin(links[:, 1], others[:, 1])
    return links[~touched]
