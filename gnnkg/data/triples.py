"""Triples by name, as every reader gives them: three dictionary-encoded columns, so that no name is stored twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gnnkg.data.report import Fault

ROLES = ("head", "relation", "tail")


class DataError(ValueError):
    """Data that cannot be read, or that do not fit together."""


@dataclass(frozen=True, slots=True, eq=False)
class Triples:
    """Heads, relations and tails of M triples, and what the reader met on the way."""

    head: pa.DictionaryArray
    relation: pa.DictionaryArray
    tail: pa.DictionaryArray
    source: str = ""
    """the file, for messages"""
    faults: tuple[Fault, ...] = ()
    """the first lines that were skipped"""
    num_faulty: int = 0
    """how many lines were skipped"""
    literals: int = 0
    """RDF statements about literals, which are no facts"""
    labels: Mapping[str, str] = field(default_factory=dict)
    """labels that stood beside the facts, by identifier"""
    made_labels: Mapping[str, str] = field(default_factory=dict)
    """labels made out of identifiers, for where no split states one"""

    def __len__(self) -> int:
        return len(self.head)

    @property
    def entities(self) -> pa.Array:
        """The names in use as head or tail, each once, in no order."""
        return pa.concat_arrays([self.head.dictionary, self.tail.dictionary]).unique()


def encode(column: pa.Array | pa.ChunkedArray) -> pa.DictionaryArray:
    """A column of strings, or a dictionary of them in chunks, as one dictionary-encoded array."""
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    if isinstance(column, pa.ChunkedArray):
        column = column.unify_dictionaries()
        values = column.chunk(0).dictionary if column.num_chunks else pa.array([], pa.string())
        codes = [np.asarray(chunk.indices) for chunk in column.chunks] or [np.empty(0, np.int32)]
        return pa.DictionaryArray.from_arrays(pa.array(np.concatenate(codes)), values)
    return column


def vocabulary(*columns: pa.Array) -> pa.Array:
    """The distinct names of some arrays, sorted by code point: ids do not depend on the order of lines."""
    return pa.concat_arrays([column.cast(pa.string()) for column in columns]).unique().sort()


def column_ids(column: pa.DictionaryArray, names: pa.Array, kind: str, source: str) -> np.ndarray:
    """The position in ``names`` of each entry of a column, (M,) int64.

    Raises DataError where a name is not among them.
    """
    position = pc.call_function("index_in", [column.dictionary], pc.SetLookupOptions(names))
    if position.null_count:
        missing = column.dictionary.filter(position.is_null())
        shown = ", ".join(repr(name) for name in missing.slice(0, 3).to_pylist())
        raise DataError(f"{source}: {len(missing):,} {kind} names stand in no dictionary of ids, e.g. {shown}")
    return np.asarray(position).astype(np.int64)[np.asarray(column.indices)]
