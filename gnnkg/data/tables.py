"""Triples from tables in memory: pandas data frames and Arrow tables; and from parquet files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from gnnkg.data.damaged import intact
from gnnkg.data.lines import WHITESPACE
from gnnkg.data.triples import ROLES, DataError, Triples, encode

Table = pd.DataFrame | pa.Table


def read_table(table: Table, columns: Sequence[str] = ROLES, source: str = "table") -> Triples:
    """The triples in three columns of a table, given in the order head, relation, tail. Numbers are read as names.

    Whitespace around a name does not matter. Raises DataError where a column is missing or holds no names, or a row lacks one of
    the three.
    """
    if len(columns) != 3:
        raise DataError(f"columns name the head, the relation and the tail of a table, not {', '.join(columns)}")
    present = list(table.columns if isinstance(table, pd.DataFrame) else table.column_names)
    absent = [name for name in columns if name not in present]
    if absent:
        raise DataError(
            f"{source} has no column {absent[0]!r} but {', '.join(map(str, present))}; name them with columns=..."
        )
    encoded = [_names(_column(table, name, source), name, source) for name in columns]
    return Triples(*encoded, source=source)


def read_parquet(path: Path | str, columns: Sequence[str] = ROLES) -> Triples:
    """The triples in three columns of a parquet file."""
    from pyarrow import parquet

    with intact(path):
        table = parquet.read_table(path, columns=None)
    return read_table(table, columns, str(path))


def _column(table: Table, name: str, source: str) -> pa.ChunkedArray:
    if isinstance(table, pa.Table):
        return table.column(name)
    try:
        return pa.Table.from_pandas(table[[name]], preserve_index=False).column(0)
    except (pa.ArrowException, UnicodeEncodeError) as error:
        raise DataError(
            f"{source}: column {name!r} is neither text nor whole numbers ({error}); make it text, with .astype(str) for instance"
        ) from error


def _names(column: pa.ChunkedArray, name: str, source: str) -> pa.DictionaryArray:
    if pa.types.is_floating(column.type):
        raise DataError(
            f"{source}: column {name!r} holds floating-point numbers or gaps; names must be text or whole numbers"
        )
    if column.null_count:
        row = int(np.flatnonzero(np.asarray(column.is_null()))[0])
        raise DataError(f"{source}, row {row}: expected a name in column {name!r}, found none")
    if pa.types.is_dictionary(column.type):
        column = column.cast(pa.dictionary(pa.int32(), pa.string()))
    try:
        encoded = encode(column)
    except pa.ArrowException as error:
        raise DataError(
            f"{source}: column {name!r} holds {column.type}; names must be text or whole numbers"
        ) from error
    trimmed = pc.call_function("utf8_trim", [encoded.dictionary.cast(pa.string())], pc.TrimOptions(WHITESPACE))
    empty = np.flatnonzero(np.asarray(pc.call_function("equal", [trimmed, ""])))
    rows = np.flatnonzero(np.isin(np.asarray(encoded.indices), empty)) if len(empty) else empty
    if len(rows):
        raise DataError(f"{source}, row {rows[0]}: expected a name in column {name!r}, found an empty one")
    return pa.DictionaryArray.from_arrays(encoded.indices, trimmed)
