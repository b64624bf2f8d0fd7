"""What someone knows about a data set's entities besides: texts, numbers and vectors, out of files of their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gnnkg.data.dataset import Dataset, Feature
from gnnkg.data.dictionaries import of_others
from gnnkg.data.side import feature, numbers, texts
from gnnkg.data.triples import DataError
from gnnkg.data.vectors.kept import SUFFIXES, read_feature

LINES = (".tsv", ".txt")


def with_features(dataset: Dataset, files: Mapping[str, Path | str]) -> Dataset:
    """This data set with features out of files, by the names that they shall have.

    Vectors are what ``gnnkg convert`` wrote (.safetensors, .npz). Numbers are lines ``identifier TAB attribute TAB number`` (.tsv
    or .txt, gzipped or not), a column an attribute; several values are averaged, and what is not there is absent.

    Raises DataError where a file is another, or has none of the entities, and where the data set has a feature of the name already.
    """
    _free(dataset, "feature", files, dataset.features)
    found, notes = {}, []
    for name, path in files.items():
        found[name], strange = _feature(Path(path), dataset, name)
        notes.append(_note(f"features.{name}", int(found[name].has.sum()), strange, path, dataset))
    return replace(_noted(dataset, notes), features={**dataset.features, **found})


def with_texts(dataset: Dataset, files: Mapping[str, Path | str]) -> Dataset:
    """This data set with texts out of files of lines ``identifier TAB text``, gzipped or not, by the names that they shall have.

    Raises DataError as ``with_features``.
    """
    _free(dataset, "text", files, dataset.texts)
    found, notes = {}, []
    for name, path in files.items():
        told = texts([_there(Path(path))])
        found[name] = tuple(told.get(entity) for entity in dataset.entities)
        if not any(found[name]):
            raise of_others(path, told, dataset.name, dataset.entities)
        count = sum(text is not None for text in found[name])
        notes.append(_note(f"texts.{name}", count, _strange(told, dataset), path, dataset))
    return replace(_noted(dataset, notes), texts={**dataset.texts, **found})


def _feature(path: Path, dataset: Dataset, name: str) -> tuple[Feature, int]:
    """And how many identifiers of the file are no entity's."""
    if path.suffix in SUFFIXES:
        return read_feature(path, dataset, name), 0
    if path.name.removesuffix(".gz").endswith(LINES):
        told = numbers([_there(path)])
        found, identifiers = feature(told, dataset.entities), dict.fromkeys(identifier for identifier, _ in told)
        if not found.names:
            raise of_others(path, identifiers, dataset.name, dataset.entities)
        return found, _strange(identifiers, dataset)
    raise DataError(
        f"{path}: a feature is vectors ({' or '.join(SUFFIXES)}; gnnkg convert makes them of other files) or numbers "
        f"({' or '.join(LINES)}: lines of an identifier, an attribute and a number)"
    )


def _there(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    return path


def _free(dataset: Dataset, kind: str, names: Collection[str], taken: Collection[str]) -> None:
    if twice := sorted(set(names) & set(taken)):
        raise DataError(f"{dataset.name} has a {kind} {', '.join(twice)} itself: give yours another name")


def _strange(told: Collection[str], dataset: Dataset) -> int:
    known = set(dataset.entities)
    return sum(identifier not in known for identifier in told)


def _note(what: str, count: int, strange: int, path: Path | str, dataset: Dataset) -> str:
    others = f", which has {strange:,} unknown to {dataset.name}" if strange else ""
    return f"{what}: {count:,} of {len(dataset.entities):,} entities, from {path}{others}"


def _noted(dataset: Dataset, notes: Sequence[str]) -> Dataset:
    return replace(dataset, report=replace(dataset.report, notes=(*dataset.report.notes, *notes)))
