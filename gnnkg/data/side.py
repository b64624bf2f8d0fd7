"""Side information of published data sets: labels, texts and numbers, each read by a function that a manifest names.

A reader takes the paths of its files and the options of its manifest. Texts come by identifier, numbers by identifier and
attribute; what is not there is absent, and never a zero.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from gnnkg.data.damaged import intact
from gnnkg.data.dataset import Feature
from gnnkg.data.dictionaries import read_dictionary, read_texts
from gnnkg.data.labels import label_from_identifier
from gnnkg.data.lines import numbered, shown
from gnnkg.data.report import Fault
from gnnkg.data.triples import DataError

LARGEST = float(torch.finfo(torch.float32).max)

Texts = Mapping[str, str]
Numbers = Mapping[tuple[str, str], Sequence[float]]
"""the values of (identifier, attribute); there may be several"""


def texts(paths: Sequence[Path], until: str = "", prefix: str = "") -> Texts:
    """Lines ``identifier TAB text``; ``until`` cuts each text at the first such sign, ``prefix`` goes before identifiers."""
    return {prefix + name: text.split(until)[0] if until else text for name, text in read_texts(paths[0]).items()}


def json_field(paths: Sequence[Path], field: str, key: str = "", prefix: str = "") -> Texts:
    """``{identifier: {field: text, ...}}``; with ``key`` the identifier stands in a field too."""
    entries = ((entry.get(key) if key else name, entry) for name, entry in _json(paths[0]).items())
    return {prefix + name: entry[field] for name, entry in entries if name and entry.get(field)}


def json_types(paths: Sequence[Path]) -> Texts:
    """``{identifier: [type, ...]}`` and ``{type: {"label": text}}``: the labels of the types, joined by semicolons."""
    types, named = (_json(path) for path in paths)
    return {name: "; ".join(named[each]["label"] for each in ids if each in named) for name, ids in types.items()}


def json_words(paths: Sequence[Path]) -> Texts:
    """``[[id, [word, ...]], ...]``, and a dictionary ``id TAB identifier``."""
    identifiers = read_dictionary(paths[1], "id name")
    return {identifiers[index]: " ".join(words) for index, words in _json(paths[0]) if index in identifiers}


def from_identifiers(paths: Sequence[Path], identifiers: Iterable[str]) -> Texts:
    """The identifiers themselves, made readable."""
    return {name: label_from_identifier(name) for name in identifiers}


def numbers(paths: Sequence[Path], prefix: str = "") -> Numbers:
    """Lines ``identifier TAB attribute TAB number``; a number may be an RDF literal, and a date is a fractional year.

    The second file, ``code TAB label``, names attributes; an attribute ``code_unit`` is named ``label (unit)``.
    """
    labels = read_texts(paths[1]) if len(paths) > 1 else {}
    found: dict[tuple[str, str], list[float]] = {}
    for number, line in numbered(paths[0]):
        fields = line.split("\t")
        value = parse_number(fields[2]) if len(fields) == 3 else None
        if value is None or not abs(value) <= LARGEST:
            raise DataError(
                str(Fault(str(paths[0]), number, "an identifier, an attribute and a finite number", shown(line)))
            )
        found.setdefault((prefix + fields[0], fields[1]), []).append(value)
    named = _attributes({attribute for _, attribute in found}, labels)
    return {(identifier, named[attribute]): values for (identifier, attribute), values in found.items()}


def countries(paths: Sequence[Path], aliases: Mapping[str, str]) -> Numbers:
    """Area, latitude and longitude out of mledoze's ``countries.json``, by lower-case name with underscores.

    ``aliases`` maps names of the data set to the ones that the file gives today.
    """
    found: dict[tuple[str, str], list[float]] = {}
    for name, country in _named_countries(paths[0], aliases):
        values = {"area": country["area"], "latitude": country["latlng"][0], "longitude": country["latlng"][1]}
        found |= {(name, attribute): [float(value)] for attribute, value in values.items()}
    return found


def flags(paths: Sequence[Path], aliases: Mapping[str, str]) -> Numbers:
    """Pictures of flags, ``<code of two letters>.png`` in a tar archive, described; names from ``countries.json`` as above."""
    from gnnkg.data.images import NAMES, described  # the only reader that needs Pillow
    from gnnkg.data.pictures import pictures

    names = {country["cca2"].lower(): name for name, country in _named_countries(paths[0], aliases)}
    found: dict[tuple[str, str], list[float]] = {}
    for code, _, content in pictures(paths[1]):
        if code in names:
            found |= {(names[code], column): [float(x)] for column, x in zip(NAMES, described(content), strict=True)}
    return found


def _named_countries(path: Path, aliases: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    today = {new: old for old, new in aliases.items()}
    for country in _json(path):
        name: str = country["name"]["common"]
        yield today.get(name, name.lower().replace(" ", "_")), country


TEXT_READERS: Mapping[str, Callable[..., Texts]] = {
    "texts": texts,
    "json_field": json_field,
    "json_types": json_types,
    "json_words": json_words,
    "from_identifiers": from_identifiers,
}
NUMBER_READERS: Mapping[str, Callable[..., Numbers]] = {"numbers": numbers, "countries": countries, "flags": flags}


def feature(given: Numbers, identifiers: Sequence[str]) -> Feature:
    """Numbers as a table with a mask, a column an attribute; several values of an attribute give their mean."""
    position = {name: i for i, name in enumerate(identifiers)}
    names = sorted({attribute for identifier, attribute in given if identifier in position})
    column = {name: i for i, name in enumerate(names)}
    values = torch.zeros(len(identifiers), len(names))
    present = torch.zeros(len(identifiers), len(names), dtype=torch.bool)
    for (identifier, attribute), several in given.items():
        if identifier in position:
            row, place = position[identifier], column[attribute]
            values[row, place] = sum(several) / len(several)
            present[row, place] = True
    return Feature(values, present, tuple(names))


def parse_number(text: str) -> float | None:
    """A number, plain or as an RDF literal; ``"1960-07-01T00:00:00Z"^^xsd:dateTime`` is 1960.5; None for anything else."""
    bare = text.strip().split("^^")[0].strip('"')
    date = re.match(r"([+-]?\d+)-(\d\d)-(\d\d)(T|$)", bare)
    if date:
        year, month, day = (int(part) for part in date.groups()[:3])
        return year + max(month - 1, 0) / 12 + max(day - 1, 0) / 365.25
    try:
        return float(bare)
    except ValueError:
        return None


def _attributes(names: Iterable[str], labels: Texts) -> dict[str, str]:
    """What attributes are called for people, where no other one would be called so too."""
    named = {name: _attribute(name, labels) for name in names}
    count = Counter(named.values())
    return {name: called if count[called] == 1 else name for name, called in named.items()}


def _attribute(name: str, labels: Texts) -> str:
    code, _, unit = name.partition("_")
    if code in labels:
        return labels[code] if unit in ("", "Q199") else f"{labels[code]} ({unit})"
    return label_from_identifier(name)


def _json(path: Path) -> Any:
    gzipped = path.suffix == ".gz"
    with intact(path), gzip.open(path, "rt", encoding="utf-8") if gzipped else open(path, encoding="utf-8") as file:
        return json.load(file)
