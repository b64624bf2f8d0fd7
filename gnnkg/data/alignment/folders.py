"""Folders that hold both graphs and the links, in the two layouts of the field. Files may be gzipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from gnnkg.data.alignment.links import Find, carve_links, read_links, shuffled, untouched
from gnnkg.data.alignment.pair import AlignmentData, Links
from gnnkg.data.assemble import assemble
from gnnkg.data.dataset import Dataset
from gnnkg.data.dictionaries import read_dictionary, read_texts
from gnnkg.data.files import plain_or_gzipped
from gnnkg.data.labels import label_from_identifier
from gnnkg.data.lines import numbered, shown
from gnnkg.data.openke import read_id_triples, with_names
from gnnkg.data.report import Fault
from gnnkg.data.side import json_words
from gnnkg.data.text import read_text
from gnnkg.data.triples import DataError

ATTRIBUTES = "attributes"
"""the name of a text that holds the attributes of an entity, separated by tabs"""
ENGLISH_NAME = "english_name"
"""the name of a text that holds an entity's name in English"""


def from_eva(
    folder: Path | str, *, seeds: float = 0.3, valid: float = 0.1, seed: int = 0, name: str | None = None
) -> AlignmentData:
    """A folder as of EVA or DBP15K: ``ent_ids_1/2`` (id, URI), ``triples_1/2`` of ids that both graphs share, and links by id.

    Links: ``sup_ent_ids`` holds the seeds and ``dev_ent_ids`` the validation part; those of ``ref_ent_ids`` or ``ill_ent_ids`` in
    neither are for the test. Without the former a share ``seeds`` of these, drawn by ``seed``, are seeds; without the latter a
    share ``valid`` of the seeds is the validation part. ``rel_ids_1/2`` (or ``rel_ids``), ``training_attrs_1/2`` (URI, attributes)
    and ``translated_ent_name/*.json`` (id, words; in the folder, or beside it by its name) are read where there.
    """
    folder = Path(folder)
    ids = [_eva_names(folder, side) for side in "12"]
    sides = [_eva_side(folder, side, names) for side, names in zip("12", ids, strict=True)]
    left, right = (position(names, "entity id") for names in ids)
    every = plain_or_gzipped(folder, "ill_ent_ids") or plain_or_gzipped(folder, "ref_ent_ids")
    supervised, development = (plain_or_gzipped(folder, f"{part}_ent_ids") for part in ("sup", "dev"))
    if every is None:
        raise DataError(f"{folder} holds no links: looked for ill_ent_ids and ref_ent_ids")
    chosen_on = None if development is None else read_links(development, left, right)
    links = _without(read_links(every, left, right), chosen_on)
    if supervised is not None:
        given = read_links(supervised, left, right)
        test = _without(links, given)
    else:
        given, test = _drawn(links, seeds, seed)
    if chosen_on is None:
        given, chosen_on = carve_links(given, valid, seed)
    return AlignmentData(name or folder.resolve().name, sides[0], sides[1], given, chosen_on, test)


def from_openea(
    folder: Path | str,
    *,
    fold: int = 1,
    seeds: float = 0.3,
    valid: float = 0.1,
    seed: int = 0,
    name: str | None = None,
) -> AlignmentData:
    """A folder as of OpenEA: ``rel_triples_1/2``, ``attr_triples_1/2``, and ``721_5fold/FOLD/{train,valid,test}_links`` by name.

    Without ``721_5fold``, ``ent_links`` are divided as those of ``from_eva`` by ``seeds``, ``valid`` and ``seed``.
    """
    folder = Path(folder)
    sides = [_openea_side(folder, side) for side in "12"]
    folds = folder / "721_5fold"
    within = folds / str(fold)
    if not within.is_dir() and (folds.is_dir() or plain_or_gzipped(folder, "ent_links") is None):
        raise DataError(f"{folder} has no fold {fold}: there is no folder {within}")
    left, right = (side.entity_id for side in sides)
    if within.is_dir():
        train, chosen_on, test = (
            read_links(_need(within, f"{part}_links"), left, right) for part in ("train", "valid", "test")
        )
    else:
        given, test = _drawn(read_links(_need(folder, "ent_links"), left, right), seeds, seed)
        train, chosen_on = carve_links(given, valid, seed)
    return AlignmentData(name or folder.resolve().name, sides[0], sides[1], train, chosen_on, test)


def _drawn(links: Links, share: float, seed: int) -> tuple[Links, Links]:
    """A seeded share of the links, and of the others those that share no entity with it."""
    mixed = shuffled(links, seed)
    count = round(share * len(mixed))
    return mixed[:count], untouched(mixed[count:], mixed[:count])


def _without(links: Links, others: Links | None) -> Links:
    """The links that are not among others."""
    known = set() if others is None else {tuple(link) for link in others.tolist()}
    return links[torch.tensor([tuple(link) not in known for link in links.tolist()], dtype=torch.bool)]


def is_openea(folder: Path) -> bool:
    """Whether the folder has the layout of OpenEA, or else that of EVA."""
    return plain_or_gzipped(folder, "rel_triples_1") is not None


def side_of(folder: Path, side: str) -> Dataset:
    """The graph "1" or "2" of a folder in either layout, which may hold no links."""
    return _openea_side(folder, side) if is_openea(folder) else _eva_side(folder, side, _eva_names(folder, side))


def _openea_side(folder: Path, side: str) -> Dataset:
    triples = read_text(_need(folder, f"rel_triples_{side}"), columns=("head", "relation", "tail"), header=False)
    attributes = plain_or_gzipped(folder, f"attr_triples_{side}")
    dataset = assemble(f"{folder.name}/{side}", {"train": triples}, source=str(folder))
    return _with_text(dataset, ATTRIBUTES, {} if attributes is None else _attributes(attributes))


def _eva_names(folder: Path, side: str) -> dict[int, str]:
    return read_dictionary(_need(folder, f"ent_ids_{side}"), "id name")


def _eva_side(folder: Path, side: str, names: dict[int, str]) -> Dataset:
    triples = read_id_triples(_need(folder, f"triples_{side}"), ("head", "relation", "tail"))
    dictionary = plain_or_gzipped(folder, f"rel_ids_{side}") or plain_or_gzipped(folder, "rel_ids")
    if dictionary is not None:
        relations = read_dictionary(dictionary, "id name")
    else:
        relations = {int(text): text for text in triples.relation.dictionary.to_pylist()}
    named = with_names(triples, names, relations)
    dataset = assemble(f"{folder.name}/{side}", {"train": named}, entities=list(names.values()), source=str(folder))
    attributes = plain_or_gzipped(folder, f"training_attrs_{side}")
    dataset = _with_text(dataset, ATTRIBUTES, {} if attributes is None else read_texts(attributes, "\t"))
    translated = _translated(folder)
    if translated is not None:
        try:
            found = json_words([translated, _need(folder, f"ent_ids_{side}")])
        except (ValueError, TypeError) as error:
            raise DataError(f"{translated} is no list of [id, [word, ...]] as JSON ({error})") from error
        dataset = _with_text(dataset, ENGLISH_NAME, found)
    return replace(dataset, entity_labels=tuple(label_from_identifier(name) for name in dataset.entities))


def _with_text(dataset: Dataset, text: str, found: Mapping[str, str]) -> Dataset:
    if not found:
        return dataset
    return replace(dataset, texts={**dataset.texts, text: tuple(found.get(name) or None for name in dataset.entities)})


def _translated(folder: Path) -> Path | None:
    """The names in English of a folder's entities: the one file in its own ``translated_ent_name``, or beside it by its name."""
    own = _json_files(folder / "translated_ent_name")
    if len(own) > 1:
        raise DataError(f"{own[0].parent} holds {', '.join(path.name for path in own)}: keep the one of this pair")
    name = folder.resolve().name
    beside = _json_files(folder.resolve().parent / "translated_ent_name")
    return next(iter(own or [path for path in beside if path.name.split(".")[0].endswith(name)]), None)


def _json_files(folder: Path) -> list[Path]:
    return sorted([*folder.glob("*.json"), *folder.glob("*.json.gz")])


def _attributes(path: Path) -> dict[str, str]:
    """The attributes of each entity, joined by tabs, of lines ``entity TAB attribute TAB value``."""
    found: dict[str, dict[str, None]] = {}
    for number, line in numbered(path):
        fields = line.split("\t", 2)
        if len(fields) != 3:
            raise DataError(str(Fault(str(path), number, "an entity, an attribute and a value", shown(line))))
        found.setdefault(fields[0], {})[fields[1]] = None
    return {name: "\t".join(attributes) for name, attributes in found.items()}


def position(names: dict[int, str], kind: str) -> Find:
    """Where a published id stands among all."""
    place = {str(index): i for i, index in enumerate(names)}

    def find(text: str) -> int:
        if text not in place:
            raise LookupError(f"{text} is no {kind} of its side")
        return place[text]

    return find


def is_side(path: Path) -> bool:
    """Whether ``FOLDER/1`` or ``FOLDER/2`` names a side of a folder in one of the layouts, and is no folder itself."""
    names = [f"{stem}_{path.name}{ending}" for stem in ("ent_ids", "rel_triples") for ending in ("", ".gz")]
    return path.name in ("1", "2") and not path.exists() and any((path.parent / name).is_file() for name in names)


def _need(folder: Path, name: str) -> Path:
    """Raises DataError where it is not there, or twice."""
    found = plain_or_gzipped(folder, name)
    if found is None:
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:10]) if folder.is_dir() else "no folder"
        raise DataError(f"{folder} holds no {name} (or {name}.gz); found {there}")
    return found
