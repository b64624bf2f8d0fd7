"""Published data sets by name: ``load("fb15k-237")``."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gnnkg.data.assemble import assemble
from gnnkg.data.cache import locate, present, verified
from gnnkg.data.carve import carve_validation
from gnnkg.data.classes import with_classes
from gnnkg.data.dataset import SPLITS, Dataset, Feature
from gnnkg.data.dictionaries import read_dictionary
from gnnkg.data.files import from_folder
from gnnkg.data.given import with_features, with_texts
from gnnkg.data.hidden import hide_facts
from gnnkg.data.manifest import Manifest, manifest, manifest_names
from gnnkg.data.names import closest
from gnnkg.data.openke import read_id_triples, read_openke, with_names
from gnnkg.data.side import NUMBER_READERS, TEXT_READERS, feature
from gnnkg.data.text import read_text
from gnnkg.data.triples import DataError, Triples

BUNDLED = "cldr"
"""the data set that needs no file"""


class FolderPassedOver(UserWarning):
    """A folder is called like a published data set, which was loaded."""


def dataset_names() -> list[str]:
    """The names that ``load`` knows."""
    return sorted([BUNDLED, *manifest_names()])


def load(
    name: str,
    root: Path | str | None = None,
    *,
    published_split: bool = False,
    carve: float = 0.0,
    carve_seed: int = 0,
    hide: float = 0.0,
    hide_seed: int = 0,
    features: Mapping[str, Path | str] | None = None,
    texts: Mapping[str, Path | str] | None = None,
    classes: str | None = None,
    **options: Any,
) -> Dataset:
    """A data set by name (in any case), or from a folder of one's own by its path.

    Files are looked for under ``root`` if it is given, or else in the folders of ``GNNKG_DATASETS`` and in the user's cache,
    and downloaded where the manifest has an address; each must have the checksum of the manifest. ``published_split`` leaves
    a broken published validation split as it is. ``carve`` makes a share of the training facts the validation split of a data set
    that has none (``carve_validation``). ``hide`` takes a share of the training facts out (``hide_facts``). ``features``
    and ``texts``: files of one's own, by the names of what they give (``with_features``, ``with_texts``). ``classes``: a text that
    lists the classes of entities, which are then what is to be predicted (``with_classes``). ``options`` go to the builder of
    ``cldr`` or to ``from_folder``.

    A published data set goes before a folder of its name, with a warning (FolderPassedOver): ``./NAME`` is the folder.

    Raises DataError for an unknown name, with the closest ones; TypeError for an option that the data set does not take;
    DatasetNotFound with the places that were searched; WrongChecksum for a file that is another; ValueError for ``carve`` where
    there are validation facts.
    """
    dataset = _load(name, root, published_split, options)
    if carve and len(dataset.valid):
        raise ValueError(f"{dataset.name} has {len(dataset.valid):,} validation facts: there is nothing to carve")
    dataset = carve_validation(dataset, carve, carve_seed) if carve else dataset
    dataset = with_features(dataset, features) if features else dataset
    dataset = with_texts(dataset, texts) if texts else dataset
    dataset = with_classes(dataset, classes) if classes else dataset
    return hide_facts(dataset, hide, hide_seed) if hide else dataset


def _load(name: str, root: Path | str | None, published_split: bool, options: dict[str, Any]) -> Dataset:
    known = manifest(name)
    if known is None:
        files = {"root": root is not None, "published_split": published_split}
        useless = [option for option, given in files.items() if given]
        if name.lower() == BUNDLED:
            from gnnkg.data.cldr import load_cldr

            _refuse(BUNDLED, "is built, and takes", useless)
            _pass_over(name, BUNDLED, [])
            return load_cldr(**options)
        if Path(name).is_dir():
            _refuse(f"the folder {name}", "is read where and as it is, and takes", useless)
            return from_folder(name, **options)
        near = ", ".join(closest(name, dataset_names()))
        hint = f"did you mean {near}?" if near else "gnnkg datasets lists the names"
        raise DataError(f"no data set is called {name!r}, and there is no such folder in {Path.cwd()}; {hint}")
    _refuse(known.name, "takes", options)
    repair = None if published_split else known.validation
    place = locate(known, root)
    _pass_over(name, known.name, [path for file in known.files.values() if (path := present(place, file))])
    dataset = read(known, place, without=("valid",) if repair else ())
    return carve_validation(dataset, **repair) if repair else dataset


def _refuse(what: str, takes: str, options: Iterable[str]) -> None:
    if told := ", ".join(options):
        raise TypeError(f"{what} {takes} no option {told}")


def _pass_over(name: str, published: str, files: Sequence[Path]) -> None:
    """Warn of a folder that the name means as well, unless the files of the data set lie there."""
    folder = Path(name)
    if folder.is_dir() and not any(folder.resolve() in file.resolve().parents for file in files):
        message = f"{name} is the published data set {published}, and not the folder {folder.resolve()}: write ./{name} for that"
        warnings.warn(message, FolderPassedOver, stacklevel=4)


def read(known: Manifest, root: Path, without: Sequence[str] = ()) -> Dataset:
    """A data set as its manifest describes it, from files under a folder, with its published splits but for some."""
    paths = {role: verified(root, file, known.name) for role, file in known.files.items() if role not in without}
    splits: dict[str, Triples] = {}
    entities = relations = None
    if known.format == "text":
        splits = {
            split: read_text(paths[split], columns=known.columns, header=False) for split in SPLITS if split in paths
        }
    else:
        for split in SPLITS:
            if split in paths:
                openke = known.format == "openke"
                splits[split] = read_openke(paths[split]) if openke else read_id_triples(paths[split], known.columns)
        named = {kind: _dictionary(known, paths, kind, splits) for kind in ("entities", "relations")}
        splits = {split: with_names(each, named["entities"], named["relations"]) for split, each in splits.items()}
        entities, relations = list(named["entities"].values()), list(named["relations"].values())
    dataset = assemble(known.name, splits, entities=entities, relations=relations, source=str(paths["train"].parent))
    return _with_side(dataset, known, root)


def _dictionary(known: Manifest, paths: dict[str, Path], kind: str, splits: dict[str, Triples]) -> dict[int, str]:
    """Names by id; an id without a dictionary is its own name."""
    if kind in paths:
        return read_dictionary(paths[kind], known.shapes.get(kind))  # type: ignore[arg-type]  # checked by the reader
    columns = ("head", "tail") if kind == "entities" else ("relation",)
    ids = {int(text) for each in splits.values() for c in columns for text in getattr(each, c).dictionary.to_pylist()}
    return {index: str(index) for index in sorted(ids)}


def _with_side(dataset: Dataset, known: Manifest, root: Path) -> Dataset:
    """The data set with what its side files say; a missing one is noted, and its information absent."""
    labels: dict[str, dict[str, str]] = {"entity_labels": {}, "relation_labels": {}}
    texts: dict[str, tuple[str | None, ...]] = {}
    features: dict[str, Feature] = {}
    notes = list(dataset.report.notes)
    for side in known.side:
        missing = [file.path for file in side.files if present(root, file) is None]
        if missing:
            notes.append(f"{side.gives}: absent, because {', '.join(missing)} is not there")
            continue
        paths = [verified(root, file, known.name) for file in side.files]
        kind, _, column = side.gives.partition(".")
        if kind == "features":
            features[column] = feature(NUMBER_READERS[side.reader](paths, **side.options), dataset.entities)
            continue
        options = dict(side.options)
        if side.reader == "from_identifiers":
            options["identifiers"] = dataset.relations if kind == "relation_labels" else dataset.entities
        found = TEXT_READERS[side.reader](paths, **options)
        if kind == "texts":
            texts[column] = tuple(found.get(name) or None for name in dataset.entities)
        else:
            labels[kind] = {**found, **labels[kind]}
    return replace(
        dataset,
        entity_labels=_labelled(dataset.entities, labels["entity_labels"]),
        relation_labels=_labelled(dataset.relations, labels["relation_labels"]),
        texts=texts,
        features=features,
        report=replace(dataset.report, notes=tuple(notes)),
    )


def _labelled(identifiers: Sequence[str], labels: dict[str, str]) -> tuple[str, ...]:
    return tuple(labels.get(name) or name for name in identifiers)
