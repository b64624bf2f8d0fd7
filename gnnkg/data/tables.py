"""Triples from tables in memory: pandas data frames and Arrow tables; and from parquet files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from gnnkg.data.triples import ROLES, DataError, Triples, encode

Table = pd.DataFrame | pa.Table


def read_table(table: Table, columns: Sequence[str] = ROLES, source: str = "table") -> Triples:
    """The triples in three columns of a table, given in the order head, relation, tail. Numbers are read as names.

    Raises DataError where a column is missing or a row lacks one of the three.
    """
    if len(columns) != 3:
        raise DataError(f"columns name the head, the relation and the tail of a table, not {', '.join(columns)}")
    present = list(table.columns if isinstance(table, pd.DataFrame) else table.column_names)
    absent = [name for name in columns if name not in present]
    if absent:
        raise DataError(
            f"{source} has no column {absent[0]!r} but {', '.join(map(str, present))}; name them with columns=..."
        )
    if isinstance(table, pd.DataFrame):
        table = pa.Table.from_pandas(table[list(columns)], preserve_index=False)
    encoded = [_names(table.column(name), name, source) for name in columns]
    return Triples(*encoded, source=source)


def read_parquet(path: Path | str, columns: Sequence[str] = ROLES) -> Triples:
    """The triples in three columns of a parquet file."""
    from pyarrow import parquet

    return read_table(parquet.read_table(path, columns=None), columns, str(path))


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
    return encode(column)
