"""The careful reader of a text file, line by line: it finds what the fast one stumbled over, and says where.

It is the definition of what a fact's line is; ``text.py`` gives the same triples faster where every line is one.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gnnkg.data.damaged import intact
from gnnkg.data.report import Fault
from gnnkg.data.triples import ROLES, DataError

SEPARATORS = {"\t": "tabs", ",": "commas", ";": "semicolons", " ": "spaces"}
WHITESPACE = " \t\n\v\f\r"
UNIT = "\x1f"
"""ASCII's unit separator, which the rewritten lines are joined with"""
SHOWN_FAULTS = 10
"""how many faulty lines of a file are kept to be shown; all are counted"""


class FaultyLine(DataError):
    """A line that is no fact; ``fault`` says where it stands and what was expected."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f'{fault} (on_error="skip" leaves such lines out and counts them)')
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Layout:
    """How the lines of a file are to be read."""

    separator: str
    columns: tuple[str, ...]
    """what each field holds: head, relation, tail, or anything else for a field to ignore"""
    skip: int = 0
    """leading lines that hold no fact: a header, a count"""
    numeric: bool = False
    """whether the three are whole numbers from 0, not names"""

    def __post_init__(self) -> None:
        if sorted(set(self.columns) & set(ROLES)) != sorted(ROLES) or len(set(self.columns)) != len(self.columns):
            raise DataError(f"columns must name head, relation and tail, each once, not {', '.join(self.columns)}")

    @property
    def quoted(self) -> bool:
        """Names may stand in double quotes where a comma or a semicolon separates them."""
        return self.separator in ",;"

    @property
    def expected(self) -> str:
        return f"{len(self.columns)} fields ({', '.join(self.columns)}) separated by {SEPARATORS[self.separator]}"


def open_text(path: Path) -> io.TextIOWrapper:
    """A text file, gzipped or not, with or without a byte order mark. Bytes that are no UTF-8 become surrogates."""
    raw = gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb")  # noqa: SIM115  # closed with the wrapper
    return io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline=None)  # type: ignore[arg-type]  # GzipFile reads as a buffer


def split(line: str, separator: str) -> list[str]:
    """The fields of a line, bare of surrounding whitespace. Spaces separate in runs.

    Raises csv.Error where a quoted field does not end.
    """
    if separator == " ":
        return re.findall(rf"[^{WHITESPACE}]+", line)
    fields = line.split(separator)
    if separator in ",;" and '"' in line:
        fields = next(csv.reader([line], delimiter=separator, strict=True, skipinitialspace=True))
    return [entry.strip(WHITESPACE) for entry in fields]


class Sifted(NamedTuple):
    """What ``sift`` found."""

    good: io.BytesIO
    """lines of head, relation and tail with a unit separator between, behind a byte order mark"""
    faults: tuple[Fault, ...]
    """the first lines that are no fact"""
    num_faulty: int


def sift(path: Path, layout: Layout, stop: bool = False) -> Sifted:
    """The facts of a file and the lines that are no fact; with ``stop`` up to the first of these."""
    good, faults, num_faulty = io.BytesIO(), [], 0
    good.write(codecs.BOM_UTF8)  # so that none is looked for in the first name
    places = [layout.columns.index(role) for role in ROLES]
    for number, line in numbered(path, layout.skip):
        fields, problem = _fields(line, layout)
        if problem is None:
            good.write((UNIT.join(fields[place] for place in places) + "\n").encode())
            continue
        num_faulty += 1
        if len(faults) < SHOWN_FAULTS:
            faults.append(Fault(str(path), number, *problem))
        if stop:
            break
    good.seek(0)
    return Sifted(good, tuple(faults), num_faulty)


def numbered(path: Path, skip: int = 0) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers from 1, after the first ``skip`` lines.

    Raises DataError where the file is damaged.
    """
    with intact(path), open_text(path) as lines:
        for number, line in enumerate(lines, start=1):
            if number > skip and line.strip(WHITESPACE):
                yield number, line.rstrip("\n")


def _fields(line: str, layout: Layout) -> tuple[list[str], tuple[str, str] | None]:
    """The fields of a line, and (expected, found) where it is no fact."""
    try:
        fields = split(line, layout.separator)
    except csv.Error:
        return [], ("a closing quote", shown(line))
    if len(fields) != len(layout.columns):
        return fields, (layout.expected, f"{len(fields)}: {shown(line)}")
    for role, entry in zip(layout.columns, fields, strict=True):
        if role not in ROLES:
            continue
        if not entry:
            return fields, (f"a {role}", f"an empty field: {shown(line)}")
        if not is_text(entry):
            return fields, no_text(line)
        if UNIT in entry:
            return fields, (f"a {role}", f"a control character: {shown(line)}")
        if layout.numeric and not (entry.isascii() and entry.isdigit() and len(entry) < 19):
            return fields, (f"a whole number as {role}", shown(entry))
    return fields, None


def is_text(entry: str) -> bool:
    """Whether every byte of it was a part of a character."""
    try:
        entry.encode()
    except UnicodeEncodeError:  # a byte that was no UTF-8 stands as a surrogate
        return False
    return True


def no_text(line: str) -> tuple[str, str]:
    """(expected, found) for a line that holds bytes which are no UTF-8."""
    return "UTF-8 text", repr(line.encode(errors="surrogateescape"))[1:]


def shown(text: str, width: int = 120) -> str:
    """A text for a message, shortened."""
    return repr(text if len(text) <= width else text[:width] + " ...")
