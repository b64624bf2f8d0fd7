"""Folders that hold both graphs and the links, in the two layouts of the field. Files may be gzipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from gnnkg.data.alignment.links import Find, carve_links, read_links, shuffled
from gnnkg.data.alignment.pair import AlignmentData, Links
from gnnkg.data.assemble import assemble
from gnnkg.data.dataset import Dataset
from gnnkg.data.dictionaries import read_dictionary, read_texts
from gnnkg.data.labels import label_from_identifier
from gnnkg.data.lines import numbered, shown
from gnnkg.data.openke import read_id_triples, with_names
from gnnkg.data.report import Fault
from gnnkg.data.text import read_text
from gnnkg.data.triples import DataError

ATTRIBUTES = "attributes"
"""the name of a text that holds the attributes of an entity, separated by tabs"""


def from_eva(
    folder: Path | str, *, seeds: float = 0.3, valid: float = 0.1, seed: int = 0, name: str | None = None
) -> AlignmentData:
    """A folder as of EVA or DBP15K: ``ent_ids_1/2`` (id, URI), ``triples_1/2`` of ids that both graphs share, and links by id.

    Links: where there is ``sup_ent_ids`` it holds the seeds, and those of ``ref_ent_ids`` or ``ill_ent_ids`` that are not among
    them are for the test; otherwise a share ``seeds`` of them, drawn by ``seed``, are seeds. A share ``valid`` of the seeds becomes
    the validation part. ``rel_ids_1/2`` (or ``rel_ids``) and ``training_attrs_1/2`` (URI, attributes) are read where there.
    """
    folder = Path(folder)
    ids = [read_dictionary(_need(folder, f"ent_ids_{side}"), "id name") for side in "12"]
    sides = [_eva_side(folder, side, names) for side, names in zip("12", ids, strict=True)]
    left, right = (position(names, "entity id") for names in ids)
    every = _find(folder, "ill_ent_ids") or _find(folder, "ref_ent_ids")
    supervised = _find(folder, "sup_ent_ids")
    if every is None:
        raise DataError(f"{folder} holds no links: looked for ill_ent_ids and ref_ent_ids")
    links = read_links(every, left, right)
    if supervised is not None:
        given = read_links(supervised, left, right)
        train = {tuple(link) for link in given.tolist()}
        test = links[torch.tensor([tuple(link) not in train for link in links.tolist()], dtype=torch.bool)]
    else:
        mixed = shuffled(links, seed)
        count = round(seeds * len(mixed))
        given, test = mixed[:count], mixed[count:]
    return _pair(name or folder.resolve().name, sides, given, test, valid, seed)


def from_openea(folder: Path | str, *, fold: int = 1, name: str | None = None) -> AlignmentData:
    """A folder as of OpenEA: ``rel_triples_1/2``, ``attr_triples_1/2``, and ``721_5fold/FOLD/{train,valid,test}_links`` by name."""
    folder = Path(folder)
    sides = []
    for side in "12":
        triples = read_text(_need(folder, f"rel_triples_{side}"), columns=("head", "relation", "tail"), header=False)
        attributes = _find(folder, f"attr_triples_{side}")
        dataset = assemble(f"{folder.name}/{side}", {"train": triples}, source=str(folder))
        sides.append(_with_attributes(dataset, {} if attributes is None else _attributes(attributes)))
    within = folder / "721_5fold" / str(fold)
    if not within.is_dir():
        raise DataError(f"{folder} has no fold {fold}: there is no folder {within}")
    left, right = (side.entity_id for side in sides)
    train, valid, test = (
        read_links(_need(within, f"{part}_links"), left, right) for part in ("train", "valid", "test")
    )
    return AlignmentData(name or folder.resolve().name, sides[0], sides[1], train, valid, test)


def _pair(name: str, sides: Sequence[Dataset], seeds: Links, test: Links, valid: float, seed: int) -> AlignmentData:
    train, chosen_on = carve_links(seeds, valid, seed)
    return AlignmentData(name, sides[0], sides[1], train, chosen_on, test)


def _eva_side(folder: Path, side: str, names: dict[int, str]) -> Dataset:
    triples = read_id_triples(_need(folder, f"triples_{side}"), ("head", "relation", "tail"))
    dictionary = _find(folder, f"rel_ids_{side}") or _find(folder, "rel_ids")
    if dictionary is not None:
        relations = read_dictionary(dictionary, "id name")
    else:
        relations = {int(text): text for text in triples.relation.dictionary.to_pylist()}
    named = with_names(triples, names, relations)
    dataset = assemble(f"{folder.name}/{side}", {"train": named}, entities=list(names.values()), source=str(folder))
    attributes = _find(folder, f"training_attrs_{side}")
    dataset = _with_attributes(dataset, {} if attributes is None else read_texts(attributes, "\t"))
    return replace(dataset, entity_labels=tuple(label_from_identifier(name) for name in dataset.entities))


def _with_attributes(dataset: Dataset, attributes: dict[str, str]) -> Dataset:
    if not attributes:
        return dataset
    return replace(dataset, texts={ATTRIBUTES: tuple(attributes.get(name) for name in dataset.entities)})


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


def _find(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _need(folder: Path, name: str) -> Path:
    found = _find(folder, name)
    if found is None:
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:10]) if folder.is_dir() else "no folder"
        raise DataError(f"{folder} holds no {name} (or {name}.gz); found {there}")
    return found
