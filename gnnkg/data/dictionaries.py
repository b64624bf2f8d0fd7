"""Dictionaries of ids: which entity or relation has which published id."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal

from gnnkg.data.lines import WHITESPACE, is_text, no_text, numbered, shown
from gnnkg.data.report import Fault
from gnnkg.data.triples import DataError

Shape = Literal["id name", "name id", "name"]
_SHAPES: Mapping[str, Shape] = {
    "entities.dict": "id name",
    "relations.dict": "id name",
    "entity2id.txt": "name id",
    "relation2id.txt": "name id",
}
"""of files that are called so, where their lines are two numbers"""


def read_dictionary(path: Path | str, shape: Shape | None = None) -> dict[int, str]:
    """Names by id, in ascending order of the ids.

    ``"id name"`` is RotatE's ``entities.dict``, ``"name id"`` OpenKE's ``entity2id.txt``, ``"name"`` one name a line in the
    order of ids; None tells them from the first line, and where that can be read both ways, from the name of the file. A tab
    separates the two, or else whitespace (a name may hold some). A first line that is one number is a count, and is checked.

    Raises DataError with file and line where a line is none of this, or an id or a name stands twice.
    """
    path = Path(path)
    lines = list(numbered(path))
    count = None
    if shape != "name" and lines and lines[0][1].strip(WHITESPACE).isdecimal():
        count = int(lines.pop(0)[1])
    if shape is None:
        shape = _shape(path, lines[0][1] if lines else "0\t")
    names: dict[int, str] = {}
    for position, (number, line) in enumerate(lines):
        try:
            index, name = (position, line.strip(WHITESPACE)) if shape == "name" else _pair(line, shape)
            name.encode()
        except ValueError:
            raise DataError(
                str(Fault(str(path), number, f"{shape!r} separated by a tab or spaces", shown(line)))
            ) from None
        if index in names:
            raise DataError(str(Fault(str(path), number, "an id that did not stand before", f"{index} again")))
        names[index] = name
    if count is not None and count != len(names):
        raise DataError(f"{path}: the first line promises {count:,} names, {len(names):,} follow")
    if len(set(names.values())) != len(names):
        raise DataError(f"{path}: {len(names) - len(set(names.values())):,} names stand twice")
    return dict(sorted(names.items()))


def read_names(path: Path | str, shape: Shape | None = None) -> list[str]:
    """The names of ids 0, 1, ...; raises DataError where an id is missing between."""
    names = read_dictionary(path, shape)
    missing = next((i for i, index in enumerate(names) if i != index), None)
    if missing is not None:
        raise DataError(f"{path}: ids must be 0 to {len(names) - 1:,}, but {missing:,} is missing")
    return list(names.values())


def read_texts(path: Path | str, joined: str = "; ") -> dict[str, str]:
    """Texts by name, from lines ``name TAB text``. Texts of a name that stands several times are joined.

    Raises DataError with file and line where a line holds no tab, or is no UTF-8.
    """
    texts: dict[str, str] = {}
    for number, line in numbered(Path(path)):
        if not is_text(line):
            raise DataError(str(Fault(str(path), number, *no_text(line))))
        name, tab, text = line.partition("\t")
        if not tab:
            raise DataError(str(Fault(str(path), number, "a name, a tab and a text", shown(line))))
        name, text = name.strip(WHITESPACE), text.strip(WHITESPACE)
        if text:
            texts[name] = f"{texts[name]}{joined}{text}" if name in texts else text
    return texts


def of_others(
    path: Path | str, told: Collection[str], name: str, identifiers: Sequence[str], kind: str = "entities"
) -> DataError:
    """What is to be raised where a file tells of nothing that a data set has."""
    if not told:
        return DataError(f"{path} tells of no {kind}: it is empty")
    return DataError(
        f"{path} tells of {len(told):,} {kind} ({', '.join(list(told)[:3])}, ...), and of none of {name}'s "
        f"({', '.join(identifiers[:3])}, ...): its first column are identifiers"
    )


def _pair(line: str, shape: Shape) -> tuple[int, str]:
    line = line.strip(WHITESPACE)
    number_first = shape == "id name"
    if "\t" in line:
        left, right = line.split("\t", 1) if number_first else line.rsplit("\t", 1)
    else:
        left, right = line.split(None, 1) if number_first else line.rsplit(None, 1)
    index, name = (left, right) if number_first else (right, left)
    if not index.strip().isdecimal():
        raise ValueError(index)
    return int(index), name.strip(WHITESPACE)


def _shape(path: Path, line: str) -> Shape:
    first, last = bool(re.match(r"\s*\d+\s", line)), bool(re.search(r"\s\d+\s*$", line))
    if first and last:
        named = _SHAPES.get(path.name.removesuffix(".gz"))
        if named is None:
            shapes = " or ".join(f"{name} if it is {shape!r}" for name, shape in list(_SHAPES.items())[::2])
            raise DataError(f"{path} can be read both ways: say shape=..., or call it {shapes}")
        return named
    return "id name" if first else "name id" if last else "name"
