"""Whose rows are these: vectors by published id or by name, put in the order of a data set's entities."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from gnnkg.data.cache import locate, verified
from gnnkg.data.dataset import Dataset, Feature
from gnnkg.data.dictionaries import read_dictionary
from gnnkg.data.files import dictionary_shape, find_dictionary, plain_or_gzipped
from gnnkg.data.labels import label_from_identifier
from gnnkg.data.lines import numbered, shown
from gnnkg.data.manifest import manifest
from gnnkg.data.report import Fault
from gnnkg.data.triples import DataError
from gnnkg.data.vectors.reading import Key, Vectors, told


class Matched(NamedTuple):
    """A feature, and what matching met."""

    feature: Feature
    notes: tuple[str, ...]


def matched(
    vectors: Vectors,
    dataset: Dataset,
    name: str,
    *,
    ids: Mapping[int, str] | None = None,
    links: Mapping[str, str] | None = None,
    missing: Sequence[Key] = (),
) -> Matched:
    """The vectors as a feature called ``name``: row i is of entity i, and what is not there is masked, never a zero row.

    Numbers are published ids, whose names ``ids`` gives (``published_ids``), as words too; where all names of a file are numbers,
    ids go before labels that look like them. Names are identifiers; the readable end of one, as in
    ``.../resource/Ettore_Scola``; labels; or what ``links`` leads to such a name. ``missing``: rows of the file that mean absent.

    Raises DataError where numbers have no names, a table has not a row an id, two rows are of one entity, or no row matches.
    """
    keys: Sequence[Key] = range(len(vectors.values)) if vectors.keys is None else vectors.keys
    numbers = all(str(key).isdecimal() for key in keys)
    find = _Finder(dataset, ids, links or {}, vectors.source, ids_first=numbers)
    if vectors.keys is None:
        _check_rows(vectors, dataset, ids)
    unknown = [key for key in missing if find.row(key) is None]
    if unknown:
        raise DataError(f"{vectors.source}: what is said to be missing is no entity of {dataset.name}: {told(unknown)}")
    gone = {find.row(key) for key in missing}
    values = torch.zeros(len(dataset.entities), vectors.values.shape[1])
    present = torch.zeros(len(dataset.entities), dtype=torch.bool)
    of: dict[int, Key] = {}
    strange: list[Key] = []
    for place, key in enumerate(keys):
        row = find.row(key)
        if row is None:
            strange.append(key)
        elif row in of:
            raise DataError(f"{vectors.source}: {of[row]!r} and {key!r} are both {dataset.entities[row]!r}: keep one")
        elif row not in gone:
            of[row] = key
            values[row] = torch.from_numpy(vectors.values[place])
            present[row] = True
    if not of:
        raise DataError(
            f"{vectors.source}: none of its {len(keys):,} rows is of an entity of {dataset.name}. It names {told(keys)}; the data "
            f"set has {told(dataset.entities)}. --links FILE leads from one kind of names to the other, --ids FILE gives the "
            "names of published ids"
        )
    zeros = int((present & ~values.any(1)).sum())
    notes = [f"{len(of):,} of {len(present):,} entities have {values.shape[1]:,} numbers"]
    notes += [f"{vectors.pooled:,} of them the mean of several vectors"] * bool(vectors.pooled)
    notes += [f"{len(strange):,} rows are of no entity of {dataset.name}: {told(strange)}"] * bool(strange)
    notes += [f"{zeros:,} rows are zeros and count as present: name them with --missing if they are not"] * bool(zeros)
    names = tuple(f"{name} {i}" for i in range(values.shape[1]))
    return Matched(Feature(values, present.unsqueeze(1).expand(values.shape), names), tuple(notes))


class _Finder:
    """The place of an entity among all, by whatever names it; ``ids_first``: published ids before labels that look like them."""

    def __init__(
        self,
        dataset: Dataset,
        ids: Mapping[int, str] | None,
        links: Mapping[str, str],
        source: str,
        ids_first: bool,
    ) -> None:
        self.dataset, self.ids, self.links, self.source, self.ids_first = dataset, ids, links, source, ids_first
        plain = [label_from_identifier(name) for name in dataset.entities]
        self.places = [_places(names) for names in (dataset.entities, plain, dataset.entity_labels)]

    def row(self, key: Key) -> int | None:
        if isinstance(key, str):
            number = int(key) if key.isdecimal() and key not in self.places[0] else None
            if self.ids_first and self.ids is not None and number is not None and number in self.ids:
                return self._named(self.ids[number])
            found = self._named(key)
            linked = self.links.get(key) or self.links.get(label_from_identifier(key))
            if found is None and linked is not None:
                found = self._named(linked)
            if found is not None or self.ids is None or not key.isdecimal():
                return found
        if self.ids is None:
            raise DataError(
                f"{self.source} names rows by number, and the ids of {self.dataset.name} are not published ones but those of its "
                "sorted names: give --ids FILE, such as entity2id.txt, with the names that the numbers stand for"
            )
        name = self.ids.get(int(key))
        return None if name is None else self._named(name)

    def _named(self, name: str) -> int | None:
        for places in self.places:
            for word in (name, label_from_identifier(name)):
                if word in places:
                    return places[word]
        return None


def _places(names: Iterable[str]) -> dict[str, int]:
    """Where a name stands, if it stands once."""
    places: dict[str, int] = {}
    twice = set()
    for i, name in enumerate(names):
        if name in places:
            twice.add(name)
        places[name] = i
    return {name: i for name, i in places.items() if name not in twice}


def _check_rows(vectors: Vectors, dataset: Dataset, ids: Mapping[int, str] | None) -> None:
    rows, last = len(vectors.values), -1 if ids is None else max(ids)
    exact = ids is not None and len(ids) == last + 1 == len(dataset.entities)
    if ids is not None and (rows <= last or (exact and rows != last + 1)):
        raise DataError(
            f"{vectors.source} has {rows:,} rows of {vectors.values.shape[1]:,} numbers, and the ids of {dataset.name} go to "
            f"{last:,}: a table has a row an id. Is it of another data set, or are the axes swapped?"
        )


def published_ids(name: str, dataset: Dataset) -> dict[int, str] | None:
    """The names of the published ids of a data set that was loaded by ``name``; None where it has none.

    Where every identifier is a number, that is the id.
    """
    known = manifest(name)
    if known is not None and "entities" in known.files:
        shape = known.shapes.get("entities")
        return read_dictionary(verified(locate(known), known.files["entities"], known.name), shape)  # type: ignore[arg-type]
    path = find_dictionary(Path(name)) if Path(name).is_dir() else None
    if path is None and not Path(name).exists():  # a side of a folder of EVA
        path = plain_or_gzipped(Path(name).parent, f"ent_ids_{Path(name).name}")
    if path is not None:
        return read_dictionary(path, dictionary_shape(path))
    if all(each.isdecimal() for each in dataset.entities):
        return {int(each): each for each in dataset.entities}
    return None


def read_links(path: Path | str) -> dict[str, str]:
    """Pairs of names for one thing, both ways: ``name TAB name`` (K-ON's ``ent_links``), or ``name <SameAs> name .`` (MMKB).

    Names are known by their readable end as well. A name with several partners leads to the first.
    """
    links: dict[str, str] = {}
    for number, line in numbered(Path(path)):
        fields = [field.strip() for field in line.split("\t")] if "\t" in line else line.removesuffix(" .").split()
        if len(fields) not in (2, 3) or not all(fields):
            raise DataError(str(Fault(str(path), number, "two names of one thing", shown(line))))
        for name, other in ((fields[0], fields[-1]), (fields[-1], fields[0])):
            links.setdefault(name, other)
            links.setdefault(label_from_identifier(name), other)
    return links


def read_missing(path: Path | str, key: str) -> list[Key]:
    """The ids or names that a ``missing.json`` lists: a list, or ``{file name: list}``, of which ``key`` names one.

    Raises DataError for anything else.
    """
    path = Path(path)
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is no JSON file ({error})") from error
    if isinstance(found, Mapping):
        if key not in found:
            raise DataError(f"{path} lists nothing for {key!r}; it has {', '.join(map(repr, found)) or 'nothing'}")
        found = found[key]
    if not isinstance(found, list) or not all(type(each) in (int, str) for each in found):
        raise DataError(f"{path}: expected a list of ids or names, found {shown(json.dumps(found))}")
    return found
