"""Triples from RDF: N-Triples and Turtle, through pyoxigraph (``pip install gnnkg[rdf]``).

A statement whose object is a literal is no fact: it is counted, and an ``rdfs:label`` becomes the label of its subject,
English or without a language before any other. A resource without one, in any file of a data set, is labelled by the end of its
IRI. Blank nodes belong to their file; they are named ``_:file/0, _:file/1, ...`` as they come.
"""

from __future__ import annotations

import codecs
import gzip
import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from gnnkg.data.damaged import intact
from gnnkg.data.labels import label_from_identifier
from gnnkg.data.lines import SHOWN_FAULTS, FaultyLine, shown
from gnnkg.data.report import Fault
from gnnkg.data.text import OnError, warn_skipped
from gnnkg.data.triples import DataError, Triples

_LABEL = "http://www.w3.org/2000/01/rdf-schema#label"


def read_rdf(path: Path | str, on_error: OnError = "raise") -> Triples:
    """The triples of a ``.nt`` or ``.ttl`` file, gzipped or not.

    Raises ImportError where pyoxigraph is missing, and FaultyLine where the file breaks RDF's grammar. ``on_error="skip"``
    leaves faulty lines of N-Triples out; Turtle's statements go over lines, so a faulty Turtle file is always refused.
    """
    try:
        import pyoxigraph as ox
    except ImportError as error:
        raise ImportError("N-Triples and Turtle are read through pyoxigraph: pip install 'gnnkg[rdf]'") from error
    path = Path(path)
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    formats = {".nt": ox.RdfFormat.N_TRIPLES, ".ttl": ox.RdfFormat.TURTLE}
    if suffix not in formats:
        raise DataError(f"{path}: RDF is read from .nt and .ttl files, gzipped or not")

    def parse(source: io.BufferedIOBase) -> Iterator[Any]:
        return ox.parse(source, format=formats[suffix])  # type: ignore[arg-type]  # it asks for read() alone

    faults: list[Fault] = []
    stem = path.name.split(".")[0]
    try:
        with intact(path), _open(path) as source:
            triples = _collect(parse(source), stem, ox)
    except SyntaxError as error:
        if on_error == "raise" or suffix == ".ttl":
            raise _faulty(path, error) from None
        with intact(path), _open(path) as source:
            triples = _collect(_line_by_line(source, path, parse, faults), stem, ox)
        warn_skipped(faults, len(faults))
    head, relation, tail, literals, *labels = triples
    return Triples(head, relation, tail, str(path), tuple(faults[:SHOWN_FAULTS]), len(faults), literals, *labels)


def _open(path: Path) -> io.BufferedIOBase:
    """A file, gzipped or not, behind its byte order mark if it has one."""
    # The caller closes it; gzip's type is not a BufferedIOBase to the checker, though it is one.
    file: io.BufferedIOBase = gzip.open(path) if path.suffix == ".gz" else open(path, "rb")  # type: ignore[assignment]  # noqa: SIM115
    if file.read(3) != codecs.BOM_UTF8:
        file.seek(0)
    return file


def _faulty(path: Path, error: SyntaxError) -> DataError:
    number = error.lineno or 1
    with _open(path) as lines:
        line = next((raw for i, raw in enumerate(lines, start=1) if i == number), b"")
    return FaultyLine(Fault(str(path), number, f"RDF ({error.msg})", shown(line.decode(errors="replace").strip())))


def _line_by_line(
    source: Iterable[bytes], path: Path, parse: Callable[[io.BufferedIOBase], Iterator[Any]], faults: list[Fault]
) -> Iterator[Any]:
    for number, line in enumerate(source, start=1):
        try:
            yield from list(parse(io.BytesIO(line)))
        except SyntaxError as error:
            found = shown(line.decode(errors="replace").strip())
            faults.append(Fault(str(path), number, f"RDF ({error.msg})", found))


def _collect(statements: Iterable[Any], stem: str, ox: Any) -> tuple:
    """Head, relation and tail columns, the number of literals, the labels, and those made out of identifiers."""
    codes: tuple[list[int], list[int], list[int]] = ([], [], [])
    entities: dict[str, int] = {}
    relations: dict[str, int] = {}
    blanks: dict[str, str] = {}
    labels: dict[str, tuple[bool, str]] = {}
    literals = 0

    def name(node: Any) -> str:
        if isinstance(node, ox.BlankNode):
            return blanks.setdefault(node.value, f"_:{stem}/{len(blanks)}")
        return node.value if isinstance(node, ox.NamedNode) else str(node)

    for statement in statements:
        head, relation, tail = statement.subject, statement.predicate.value, statement.object
        if isinstance(tail, ox.Literal):
            literals += 1
            if relation == _LABEL:
                preferred = (tail.language or "en").split("-")[0] == "en"
                known = labels.get(name(head))
                if known is None or (preferred and not known[0]):
                    labels[name(head)] = (preferred, tail.value)
            continue
        codes[0].append(entities.setdefault(name(head), len(entities)))
        codes[1].append(relations.setdefault(relation, len(relations)))
        codes[2].append(entities.setdefault(name(tail), len(entities)))

    def column(indices: list[int], names: dict[str, int]) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), pa.array(list(names), pa.string()))

    stated = {each: label for each, (_, label) in labels.items()}
    made = {each: label_from_identifier(each) for each in (*entities, *relations)}
    columns = column(codes[0], entities), column(codes[1], relations), column(codes[2], entities)
    return *columns, literals, stated, made
