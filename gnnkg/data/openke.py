"""OpenKE's files of ids: a line with the count, if any, then ``head tail relation`` (in this order) as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from gnnkg.data.lines import Layout, numbered, shown
from gnnkg.data.text import OnError, find_layout, read_layout
from gnnkg.data.triples import DataError, Triples

OPENKE_COLUMNS = ("head", "tail", "relation")


def read_openke(path: Path | str, on_error: OnError = "raise") -> Triples:
    """The triples of ``train2id.txt`` and the like, by id; K-ON's begin with a fact, and without the count.

    Raises DataError where the count is not that of the lines, FaultyLine where a line is not three whole numbers.
    """
    path = Path(path)
    number, line = next(numbered(path), (0, ""))
    fields = line.split()
    if len(fields) == 3 and all(field.isdecimal() for field in fields):
        return _read_numbers(path, "\t" if "\t" in line else " ", OPENKE_COLUMNS, 0, on_error)
    if not line.strip().isdecimal():
        raise DataError(f"{path}, line {max(number, 1)}: expected the number of facts, or a fact, found {shown(line)}")
    triples = _read_numbers(path, "\t" if "\t" in _second(path) else " ", OPENKE_COLUMNS, number, on_error)
    stood = len(triples) + triples.num_faulty
    if stood != int(line):
        raise DataError(
            f"{path}: line {number} promises {int(line):,} facts, {stood:,} follow; the file may be cut off"
        )
    return triples


def read_id_triples(path: Path | str, columns: tuple[str, ...] | None = None, on_error: OnError = "raise") -> Triples:
    """The triples of a text file of numbers, by id, in the order of ``columns`` (head, relation, tail)."""
    layout = find_layout(Path(path), columns)
    return _read_numbers(Path(path), layout.separator, layout.columns, layout.skip, on_error)


def with_names(triples: Triples, entities: Mapping[int, str], relations: Mapping[int, str]) -> Triples:
    """Triples by id as triples by the names that the ids stand for.

    Raises DataError where an id has no name.
    """

    def named(column: pa.DictionaryArray, names: Mapping[int, str], kind: str) -> pa.DictionaryArray:
        ids = [int(text) for text in column.dictionary.to_pylist()]
        nameless = [index for index in ids if index not in names]
        if nameless:
            raise DataError(
                f"{triples.source}: {kind} id {min(nameless)} has no name among the {len(names):,} that are given"
            )
        return pa.DictionaryArray.from_arrays(column.indices, pa.array([names[index] for index in ids], pa.string()))

    return replace(
        triples,
        head=named(triples.head, entities, "entity"),
        relation=named(triples.relation, relations, "relation"),
        tail=named(triples.tail, entities, "entity"),
    )


def _second(path: Path) -> str:
    lines = numbered(path)
    next(lines, None)
    return next(lines, (0, ""))[1]


def _read_numbers(path: Path, separator: str, columns: tuple[str, ...], skip: int, on_error: OnError) -> Triples:
    return read_layout(path, Layout(separator, columns, skip, numeric=True), on_error)
