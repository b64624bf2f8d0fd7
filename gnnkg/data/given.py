"""What someone knows about a data set's entities besides: texts, numbers and vectors, out of files of their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from gnnkg.data.dataset import Dataset, Feature
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
    found = {name: _feature(Path(path), dataset, name) for name, path in files.items()}
    counts = {f"features.{name}": int(each.has.sum()) for name, each in found.items()}
    return replace(_noted(dataset, counts, files), features={**dataset.features, **found})


def with_texts(dataset: Dataset, files: Mapping[str, Path | str]) -> Dataset:
    """This data set with texts out of files of lines ``identifier TAB text``, gzipped or not, by the names that they shall have.

    Raises DataError as ``with_features``.
    """
    _free(dataset, "text", files, dataset.texts)
    found = {}
    for name, path in files.items():
        told = texts([_there(Path(path))])
        if wrong := next((entity for entity, text in told.items() if not _is_unicode(text)), None):
            raise DataError(f"{path}: the text of {wrong} is no UTF-8; save the file in that encoding")
        found[name] = tuple(told.get(entity) for entity in dataset.entities)
        if not any(found[name]):
            raise _of_others(path, told, dataset)
    counts = {f"texts.{name}": sum(text is not None for text in each) for name, each in found.items()}
    return replace(_noted(dataset, counts, files), texts={**dataset.texts, **found})


def _feature(path: Path, dataset: Dataset, name: str) -> Feature:
    if path.suffix in SUFFIXES:
        return read_feature(path, dataset, name)
    if path.name.removesuffix(".gz").endswith(LINES):
        told = numbers([_there(path)])
        found = feature(told, dataset.entities)
        if not found.names:
            raise _of_others(path, dict.fromkeys(identifier for identifier, _ in told), dataset)
        return found
    raise DataError(
        f"{path}: a feature is vectors ({' or '.join(SUFFIXES)}; gnnkg convert makes them of other files) or numbers "
        f"({' or '.join(LINES)}: lines of an identifier, an attribute and a number)"
    )


def _there(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    return path


def _is_unicode(text: str) -> bool:
    """Whether every byte of it was a part of a character."""
    return not any("\ud800" <= sign <= "\udfff" for sign in text)


def _free(dataset: Dataset, kind: str, names: Collection[str], taken: Collection[str]) -> None:
    if twice := sorted(set(names) & set(taken)):
        raise DataError(f"{dataset.name} has a {kind} {', '.join(twice)} itself: give yours another name")


def _of_others(path: Path | str, told: Collection[str], dataset: Dataset) -> DataError:
    if not told:
        return DataError(f"{path} tells of no entity: it is empty")
    return DataError(
        f"{path} tells of {len(told):,} entities ({', '.join(list(told)[:3])}, ...), and of none of {dataset.name}'s "
        f"({', '.join(dataset.entities[:3])}, ...): its first column are identifiers"
    )


def _noted(dataset: Dataset, counts: Mapping[str, int], files: Mapping[str, Path | str]) -> Dataset:
    total = len(dataset.entities)
    notes = (
        f"{what}: {count:,} of {total:,} entities, from {path}"
        for (what, count), path in zip(counts.items(), files.values(), strict=True)
    )
    return replace(dataset, report=replace(dataset.report, notes=(*dataset.report.notes, *notes)))
