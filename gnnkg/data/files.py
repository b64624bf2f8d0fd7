"""A data set from files or tables of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from gnnkg.data.assemble import Overlap, assemble
from gnnkg.data.dataset import SPLITS, Dataset
from gnnkg.data.dictionaries import Shape, of_others, read_names, read_texts
from gnnkg.data.lines import numbered
from gnnkg.data.openke import read_openke, with_names
from gnnkg.data.rdf import read_rdf
from gnnkg.data.tables import Table, read_parquet, read_table
from gnnkg.data.text import OnError, read_text
from gnnkg.data.triples import ROLES, DataError, Triples

_STEMS = {"train": ("train",), "valid": ("valid", "dev", "validation", "val"), "test": ("test",)}
_SUFFIXES = (".txt", ".tsv", ".csv", ".nt", ".ttl", ".parquet")


def from_files(
    train: Path | str,
    valid: Path | str | None = None,
    test: Path | str | None = None,
    *,
    name: str | None = None,
    columns: Sequence[str] | None = None,
    separator: str | None = None,
    header: bool | None = None,
    entities: Path | str | None = None,
    relations: Path | str | None = None,
    on_error: OnError = "raise",
    overlap: Overlap = "keep",
) -> Dataset:
    """A data set from one file a split: text (see ``read_text``), N-Triples, Turtle or parquet, told by the suffix.

    ``entities`` and ``relations`` are dictionaries with ids of your choice (``id TAB name``); otherwise ids follow the sorted
    names. Duplicates, facts in two splits and entities unseen in train are treated as ``gnnkg.data.assemble`` says.
    """
    paths = {split: Path(path) for split, path in zip(SPLITS, (train, valid, test), strict=True) if path is not None}
    splits = {split: _read(path, columns, separator, header, on_error) for split, path in paths.items()}
    labels = _labels(list(splits.values()))
    folder = paths["train"].parent
    texts = _texts(folder)
    dataset = assemble(
        name or folder.resolve().name,
        splits,
        entities=_names(Path(entities)) if entities is not None else None,
        relations=_names(Path(relations)) if relations is not None else None,
        entity_labels=labels | texts["entity"],
        relation_labels=labels | texts["relation"],
        overlap=overlap,
        source=str(folder),
    )
    return _told_of(dataset, folder, texts)


def from_folder(
    folder: Path | str,
    *,
    name: str | None = None,
    columns: Sequence[str] | None = None,
    separator: str | None = None,
    header: bool | None = None,
    on_error: OnError = "raise",
    overlap: Overlap = "keep",
) -> Dataset:
    """A data set from a folder with ``train``, and perhaps ``valid`` (or ``dev``) and ``test``, as .txt, .tsv, .csv, .nt, .ttl
    or .parquet, gzipped or not; or with OpenKE's ``train2id.txt``, ``entity2id.txt``, ``relation2id.txt`` (K-ON: without counts).

    ``entities.dict`` and ``relations.dict``, ``entity2id.txt`` and ``relation2id.txt`` (MoMoK), or ``entities.txt`` and
    ``relations.txt`` (VISTA, MyGO: a name a line) give published ids, ``entity2text.txt`` and ``relation2text.txt`` labels, where
    they are there. Raises DataError that says what was looked for where there is no training file, or more than one.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder")
    if _find(folder, ["train2id.txt"]):
        return _from_openke(folder, name, on_error, overlap)
    names = {split: [stem + suffix for stem in stems for suffix in _SUFFIXES] for split, stems in _STEMS.items()}
    paths = {split: _find(folder, candidates) for split, candidates in names.items()}
    if paths["train"] is None:
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:10]) or "nothing"
        raise DataError(
            f"{folder} holds no training facts: looked for train2id.txt, {', '.join(names['train'])} "
            f"(or with .gz), found {there}"
        )
    dictionaries = {kind: find_dictionary(folder, kind) for kind in ("entities", "relations")}
    return from_files(
        paths["train"],
        paths["valid"],
        paths["test"],
        name=name,
        columns=columns,
        separator=separator,
        header=header,
        on_error=on_error,
        overlap=overlap,
        **dictionaries,
    )


def from_tables(
    train: Table,
    valid: Table | None = None,
    test: Table | None = None,
    *,
    name: str = "table",
    columns: Sequence[str] = ROLES,
    entity_labels: Mapping[str, str] | None = None,
    relation_labels: Mapping[str, str] | None = None,
    overlap: Overlap = "keep",
) -> Dataset:
    """A data set from pandas data frames or Arrow tables, one a split. ``columns`` names head, relation and tail, in this order."""
    tables = {split: table for split, table in zip(SPLITS, (train, valid, test), strict=True) if table is not None}
    splits = {split: read_table(table, columns, split) for split, table in tables.items()}
    return assemble(
        name,
        splits,
        entity_labels=entity_labels,
        relation_labels=relation_labels,
        overlap=overlap,
        source="tables in memory",
    )


def _from_openke(folder: Path, name: str | None, on_error: OnError, overlap: Overlap) -> Dataset:
    vocabulary = {}
    for kind in ("entity", "relation"):
        path = _find(folder, [f"{kind}2id.txt"])
        if path is None:
            raise DataError(f"{folder} holds train2id.txt but no {kind}2id.txt with the names of its ids")
        vocabulary[kind] = read_names(path, "name id")
    paths = {split: _find(folder, [f"{stem}2id.txt" for stem in stems]) for split, stems in _STEMS.items()}
    splits = {
        split: with_names(
            read_openke(path, on_error), dict(enumerate(vocabulary["entity"])), dict(enumerate(vocabulary["relation"]))
        )
        for split, path in paths.items()
        if path is not None
    }
    texts = _texts(folder)
    dataset = assemble(
        name or folder.resolve().name,
        splits,
        entities=vocabulary["entity"],
        relations=vocabulary["relation"],
        entity_labels=texts["entity"],
        relation_labels=texts["relation"],
        overlap=overlap,
        source=str(folder),
    )
    return _told_of(dataset, folder, texts)


def find_dictionary(folder: Path, kind: Literal["entities", "relations"] = "entities") -> Path | None:
    """The file of published ids in a folder; None where there is none. Raises DataError where one lies there twice."""
    single = {"entities": "entity", "relations": "relation"}[kind]
    found = (_find(folder, [name]) for name in (f"{kind}.dict", f"{single}2id.txt", f"{kind}.txt"))
    return next((path for path in found if path is not None), None)


def dictionary_shape(path: Path) -> Shape | None:
    """The shape of a dictionary that its first line does not tell: in ``entities.txt`` a number is a name, and no count."""
    _, first = next(numbered(path), (0, ""))
    return "name" if path.name.startswith(("entities.txt", "relations.txt")) and "\t" not in first else None


def _names(path: Path) -> list[str]:
    return read_names(path, dictionary_shape(path))


def plain_or_gzipped(folder: Path, name: str) -> Path | None:
    """A file of this name, plain or gzipped as ``name.gz``; None where there is neither. Raises DataError where there are both."""
    return _find(folder, [name])


def _find(folder: Path, names: Sequence[str]) -> Path | None:
    """The one file of some names, gzipped or not; None where there is none. Raises DataError where there are several."""
    found = [
        folder / (name + ending) for name in names for ending in ("", ".gz") if (folder / (name + ending)).is_file()
    ]
    if len(found) > 1:
        raise DataError(
            f"{folder} holds {' and '.join(path.name for path in found)}: keep one, or name the files yourself"
        )
    return found[0] if found else None


def _read(
    path: Path, columns: Sequence[str] | None, separator: str | None, header: bool | None, on_error: OnError
) -> Triples:
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if suffix in (".nt", ".ttl"):
        return read_rdf(path, on_error)
    if suffix == ".parquet":
        return read_parquet(path, columns or ROLES)
    return read_text(path, columns=columns, separator=separator, header=header, on_error=on_error)


def _labels(splits: Sequence[Triples]) -> dict[str, str]:
    """The labels that stand beside the facts, of the first split that states one; made ones where none does."""
    made = {name: label for triples in splits for name, label in triples.made_labels.items()}
    return made | {name: label for triples in reversed(splits) for name, label in triples.labels.items()}


def _texts(folder: Path) -> dict[str, dict[str, str]]:
    """What ``entity2text.txt`` and ``relation2text.txt`` say, where they are there."""
    paths = {kind: _find(folder, [f"{kind}2text.txt"]) for kind in ("entity", "relation")}
    return {kind: read_texts(path) if path else {} for kind, path in paths.items()}


def _told_of(dataset: Dataset, folder: Path, texts: Mapping[str, Mapping[str, str]]) -> Dataset:
    """The data set, if the texts are about it. Raises DataError where those of a file are about others alone."""
    for kind, plural, identifiers in (
        ("entity", "entities", dataset.entities),
        ("relation", "relations", dataset.relations),
    ):
        if texts[kind] and texts[kind].keys().isdisjoint(identifiers):
            path = _find(folder, [f"{kind}2text.txt"])
            raise of_others(path or folder, texts[kind], dataset.name, identifiers, plural)
    return dataset
