"""Triples from separated text: tabs, commas, semicolons or spaces, columns in any order, with or without a header.

pyarrow reads the file in parallel into dictionary-encoded columns. Where it meets anything but plain facts, ``lines.py``
reads the file again, line by line, and says what is wrong or rewrites what is merely unusual.
"""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from gnnkg.data.damaged import intact
from gnnkg.data.lines import SEPARATORS, UNIT, WHITESPACE, FaultyLine, Layout, numbered, shown, sift, split
from gnnkg.data.report import Fault
from gnnkg.data.triples import ROLES, DataError, Triples, encode

OnError = Literal["raise", "skip"]

_HEADER_WORDS = {
    "head": {"head", "subject", "source", "src", "from"},
    "relation": {"relation", "relationship", "predicate", "property", "edge"},
    "tail": {"tail", "object", "target", "dst", "to"},
}
_HEADER_AROUND = re.compile(r"^#\s*|[_ ](entity|id|label|name)$")
"""what may stand around such a word: # head, head_entity"""
_HEADER_LETTERS = {"head": {"h", "s"}, "relation": {"r", "p", "rel"}, "tail": {"t", "o"}}


class SkippedLines(UserWarning):
    """Lines that are no fact were left out, as ``on_error="skip"`` asks."""


def read_text(
    path: Path | str,
    *,
    columns: Sequence[str] | None = None,
    separator: str | None = None,
    header: bool | None = None,
    on_error: OnError = "raise",
) -> Triples:
    """The triples of a text file, gzipped (``.gz``) or not.

    ``columns`` says what each field holds, by default head, relation, tail; a field of any other name is ignored.
    ``separator`` is found from the first line where it is None. ``header=None`` takes the first line for a header where it
    reads as one (head/subject/source, relation/predicate, tail/object/target; also # head or head_entity), and then its names
    give the columns. Blank lines, CRLF and a byte order mark do not matter, nor does whitespace around a name. Between commas
    and semicolons a name may stand in double quotes.

    Raises FaultyLine at the first line that is no fact, or, with ``on_error="skip"``, leaves such lines out, lists them in
    the result and warns.
    """
    path = Path(path)
    return read_layout(path, find_layout(path, columns, separator, header), on_error)


def find_layout(
    path: Path, columns: Sequence[str] | None = None, separator: str | None = None, header: bool | None = None
) -> Layout:
    """How a file is to be read, from its first line that is not blank and what is known already."""
    if separator is not None and separator not in SEPARATORS:
        raise DataError(f"a separator is a tab, a comma, a semicolon or a space, not {separator!r}")
    number, line = next(numbered(path), (0, ""))
    if separator is None:
        num_fields = {sign: len(_names(line, sign)) for sign in SEPARATORS}
        as_many = [sign for sign, count in num_fields.items() if count == len(columns or ROLES)]
        enough = [sign for sign, count in num_fields.items() if count > 2]
        separator = (as_many or enough or ["\t"])[0]
    first = _names(line, separator)
    found = _header_columns(first, letters=bool(header))
    if header is None:
        header = found is not None
    if header and columns is None:
        if found is None:
            raise DataError(
                f"{path}, line {number}: expected a header that names head, relation and tail, found {shown(line)}; "
                f"say what the columns hold with columns=..."
            )
        columns = found
    if columns is None:  # a full stop may end each line, as in MoMoK's files
        columns = (*ROLES, "full stop") if len(first) == 4 and first[-1] == "." else ROLES
    return Layout(separator, tuple(columns), skip=number if header else 0)


def _names(line: str, separator: str) -> list[str]:
    """The fields of a first line, in lower case; none where a quote is open, which the readers will report."""
    try:
        return [name.lower() for name in split(line, separator)]
    except csv.Error:
        return []


def _header_columns(names: Sequence[str], letters: bool) -> tuple[str, ...] | None:
    """The role that each name of a header gives its column, or None where the three roles are not all there, once."""
    columns = []
    for position, written in enumerate(names):
        name = _HEADER_AROUND.sub("", written)
        words = (r for r in ROLES if name in _HEADER_WORDS[r] or (letters and name in _HEADER_LETTERS[r]))
        columns.append(next(words, f"column {position + 1}"))
    return (
        tuple(columns)
        if sorted(set(columns) & set(ROLES)) == sorted(ROLES) and len(set(columns)) == len(columns)
        else None
    )


def read_layout(path: Path, layout: Layout, on_error: OnError = "raise") -> Triples:
    """The triples of a file whose layout is known."""
    if on_error not in ("raise", "skip"):
        raise ValueError(f'on_error is "raise" or "skip", not {on_error!r}')
    with intact(path):
        plain = _parse(path, layout.separator, layout)
    if plain is not None:
        return Triples(*plain, source=str(path))
    good, faults, num_faulty = sift(path, layout, stop=on_error == "raise")
    if faults and on_error == "raise":
        raise FaultyLine(faults[0])
    columns = _parse(good, UNIT, Layout(layout.separator, ROLES, numeric=layout.numeric))
    if columns is None:
        raise DataError(f"{path} cannot be read as {layout.expected}")
    if faults:
        warn_skipped(faults, num_faulty)
    return Triples(*columns, source=str(path), faults=faults, num_faulty=num_faulty)


def warn_skipped(faults: Sequence[Fault], num_faulty: int) -> None:
    """Say how many lines were left out, and the first of them."""
    warnings.warn(f"{num_faulty:,} lines skipped; the first: {faults[0]}", SkippedLines, stacklevel=4)


def _parse(source: Path | io.BytesIO, separator: str, layout: Layout) -> list[pa.DictionaryArray] | None:
    """The three columns, or None where a line is not plainly a fact."""
    if isinstance(source, Path) and source.suffix != ".gz" and source.stat().st_size == 0:
        return [encode(pa.array([], pa.string()))] * 3
    # A field to ignore may hide a quote, or be none where spaces stand in a run: then it is looked at too.
    columns = list(layout.columns if separator in " ,;" else ROLES)
    try:
        table = arrow_csv.read_csv(
            str(source) if isinstance(source, Path) else source,
            read_options=arrow_csv.ReadOptions(column_names=layout.columns, skip_rows=layout.skip, block_size=32 << 20),
            parse_options=arrow_csv.ParseOptions(delimiter=separator, quote_char=False),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=columns, column_types=dict.fromkeys(columns, pa.dictionary(pa.int32(), pa.binary()))
            ),
        )
    except pa.ArrowInvalid as error:
        return [encode(pa.array([], pa.string()))] * 3 if "Empty CSV file" in str(error) else None
    around = WHITESPACE + ('"' if separator in ",;" else "")
    cleaned = {}
    for name in columns:
        column = encode(table.column(name))
        names = _plain(column.dictionary, _pattern(separator, name in ROLES, layout.numeric), around)
        if names is None:
            return None
        cleaned[name] = pa.DictionaryArray.from_arrays(column.indices, names)
    return [cleaned[role] for role in ROLES]


def _pattern(separator: str, role: bool, numeric: bool) -> str:
    """What a plain field looks like; it may stand in quotes between commas and semicolons, but hold none."""
    around = f"[{WHITESPACE}]*"
    if not role:
        return '^([^"]*|"[^"]*")$' if separator in ",;" else f"^[^{WHITESPACE}]+$"
    if separator == " ":
        name = "[0-9]{1,18}" if numeric else f"[^{WHITESPACE}{UNIT}]+"
        return f"^{name}$"
    forbidden = UNIT + ('"' if separator in ",;" else "")
    edge = f"[^{WHITESPACE}{forbidden}]"
    name = "[0-9]{1,18}" if numeric else f"{edge}(?:[^{forbidden}]*{edge})?"
    plain = f"{around}{name}{around}"
    return f'^(?:{plain}|"{plain}")$' if separator in ",;" else f"^{plain}$"


def _plain(raw: pa.Array, pattern: str, around: str) -> pa.Array | None:
    """Names without the signs around them, or None where one does not look plain or is no UTF-8."""
    try:
        names = raw.cast(pa.string())
    except pa.ArrowInvalid:
        return None
    matched = pc.call_function("match_substring_regex", [names], pc.MatchSubstringOptions(pattern))
    return pc.call_function("utf8_trim", [names], pc.TrimOptions(around)) if matched.true_count == len(names) else None
