"""Manifests: what is known of a published data set before its files are read. One YAML file a data set or family of them.

They live in the project's folder ``datasets/``, which installs as the package ``gnnkg.manifests``. Every path in a manifest
is relative to a folder of data sets (``GNNKG_DATASETS``); a file may lie there gzipped, with ``.gz`` behind its name. The
checksum is that of the unpacked content: ``gzip -dcf FILE | sha256sum``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from gnnkg.data.triples import ROLES, DataError

FORMATS = ("text", "openke", "ids")


@dataclass(frozen=True, slots=True)
class Source:
    """A file of a data set."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Side:
    """Side information: what it gives, how it is read, and from which files."""

    gives: str
    """entity_labels, relation_labels, texts.NAME or features.NAME"""
    reader: str
    """a function of ``side.py``"""
    files: tuple[Source, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QuerySet:
    """Published multi-hop queries about a data set."""

    name: str
    title: str
    source: str
    """where its makers published it"""
    files: Mapping[str, Source]
    """entities, relations: the names of its ids; valid/1p, test/1p, ...: the hard answers to each query of a structure"""
    paper: str = ""
    licence: str = "not stated"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is known of a data set. Counts are those of the published files, repeated lines included."""

    name: str
    title: str
    about: str
    source: str
    """where its makers published it"""
    licence: str
    format: str
    """``text``: names; ``openke``: ids with a count line; ``ids``: ids and dictionaries"""
    files: Mapping[str, Source]
    """train, valid, test; entities and relations where ids are published"""
    expected: Mapping[str, int]
    paper: str = ""
    columns: tuple[str, ...] = ROLES
    shapes: Mapping[str, str] = field(default_factory=dict)
    """of the dictionaries of ids: "id name", "name id" or "name" """
    side: tuple[Side, ...] = ()
    queries: tuple[QuerySet, ...] = ()
    """published multi-hop queries; see ``gnnkg.data.multihop``"""
    validation: Mapping[str, Any] | None = None
    """arguments of ``carve_validation``, where validation is carved out of train because the published one is broken"""
    pairs_with: str = ""
    """the data set of the other graph, in an inductive or an alignment task"""
    links: Mapping[str, Any] | None = None
    """``path``, ``sha256``, ``test``: a file of links by published ids to the entities of ``pairs_with``, of which the first so
    many are for the test and the rest seeds"""
    new_entities: str = ""
    """in an inductive task, the data set that models of this one are tested on: ``gnnkg evaluate RUN --on``"""
    download: Mapping[str, Any] | None = None
    """``base``: an address to which a file's path is added; or ``archive`` with ``members``, by path. None: see ``no_download``"""
    no_download: str = ""
    """why there is no address"""


def manifest_names() -> list[str]:
    """The names of all data sets with a manifest."""
    return sorted(_manifests())


def manifest(name: str) -> Manifest | None:
    """The manifest of a data set, in whatever case its name is given; None where there is none."""
    found = _manifests()
    return found.get(name) or {each.lower(): entry for each, entry in found.items()}.get(name.lower())


@cache
def _manifests() -> dict[str, Manifest]:
    found: dict[str, Manifest] = {}
    beside = Path(__file__).resolve().parents[2]
    in_place = (beside / "pyproject.toml").is_file()
    # gnnkg.manifests as installed, or the folder beside the package where the project is used in place
    folder = beside / "datasets" if in_place else resources.files("gnnkg.manifests")
    for file in folder.iterdir():
        if file.name.endswith(".yaml"):
            for entry in read_manifests(file.read_text(encoding="utf-8"), file.name.removesuffix(".yaml")):
                found[entry.name] = entry
    return found


def read_manifests(text: str, name: str) -> Iterator[Manifest]:
    """The manifests in a YAML text: one, or one a member, each with what the family shares.

    Raises DataError where a key is missing or unknown.
    """
    family = yaml.safe_load(text)
    members = family.pop("members", {"": {}})
    for member, own in members.items():
        yield _manifest({**family, **own}, f"{name}/{member}" if member else name)


def _manifest(entry: dict[str, Any], name: str) -> Manifest:
    accepted = {each.name for each in fields(Manifest)} - {"name"}
    unknown = sorted(entry.keys() - accepted)
    missing = sorted({"title", "about", "source", "licence", "format", "files", "expected"} - entry.keys())
    if unknown or missing:
        said = [f"{key!r} is unknown" for key in unknown] + [f"{key!r} is missing" for key in missing]
        raise DataError(f"manifest {name}: {', '.join(said)}; keys are {', '.join(sorted(accepted))}")
    if entry["format"] not in FORMATS:
        raise DataError(f"manifest {name}: format is one of {', '.join(FORMATS)}, not {entry['format']!r}")
    entry["files"] = {role: Source(**file) for role, file in entry["files"].items()}
    entry["side"] = tuple(_side(each) for each in entry.get("side", ()))
    entry["queries"] = tuple(_queries(each, name) for each in entry.get("queries", ()))
    entry["columns"] = tuple(entry.get("columns", ROLES))
    return Manifest(name=name, **entry)


def _side(entry: dict[str, Any]) -> Side:
    entry = dict(entry)
    files = tuple(Source(**file) for file in entry.pop("files", ()))
    return Side(entry.pop("gives"), entry.pop("reader"), files, entry)


def _queries(entry: dict[str, Any], name: str) -> QuerySet:
    try:
        return QuerySet(**{**entry, "files": {role: Source(**file) for role, file in entry["files"].items()}})
    except (KeyError, TypeError) as error:
        keys = ", ".join(each.name for each in fields(QuerySet))
        raise DataError(f"manifest {name}: a query set has the keys {keys}; {error}") from error
