"""Alignment data by name: ``load_alignment("dbp15k/zh_en")``. The manifest of the left graph has the links."""

from __future__ import annotations

from pathlib import Path

from gnnkg.data.alignment.folders import from_eva, from_openea, is_openea, is_side, position, side_of
from gnnkg.data.alignment.languages import cldr_in_two_languages
from gnnkg.data.alignment.links import Find, carve_links, read_links
from gnnkg.data.alignment.pair import AlignmentData
from gnnkg.data.cache import locate, verified
from gnnkg.data.dataset import Dataset
from gnnkg.data.dictionaries import read_dictionary
from gnnkg.data.files import from_files
from gnnkg.data.load import BUNDLED, load
from gnnkg.data.manifest import Source, manifest, manifest_names
from gnnkg.data.names import closest
from gnnkg.data.triples import DataError


def alignment_names() -> list[str]:
    """The names that ``load_alignment`` knows."""
    pairs = (name.rpartition("/")[0] for name in manifest_names() if getattr(manifest(name), "links", None))
    return sorted(["cldr", *pairs])


def load_alignment(name: str, root: Path | str | None = None, *, valid: float = 0.1, seed: int = 0) -> AlignmentData:
    """Two graphs and their links by name, or from a folder in the layout of EVA or of OpenEA.

    The published test links stay what they are; a share ``valid`` of the published seeds becomes the validation part, drawn by
    ``seed``, where none is published. Raises DataError for an unknown name, and as ``load`` does.
    """
    if name.lower() == "cldr":
        return cldr_in_two_languages(seed=seed, valid=valid)
    known = manifest(f"{name}/1")
    if known is None or known.links is None:
        folder = Path(name)
        if folder.is_dir():
            read = from_openea if is_openea(folder) else from_eva
            return read(folder, valid=valid, seed=seed)
        near = ", ".join(closest(name, alignment_names())) or ", ".join(alignment_names())
        raise DataError(f"no alignment data are called {name!r}, and there is no such folder; did you mean {near}?")
    left, right = load(known.name, root), load(known.pairs_with, root)
    there = locate(known, root)
    links = read_links(
        verified(there, Source(known.links["path"], known.links["sha256"]), known.name),
        _by_published_id(known.name, there, left.entities),
        _by_published_id(known.pairs_with, there, right.entities),
    )
    num_test = known.links["test"]
    train, chosen_on = carve_links(links[num_test:], valid, seed)
    return AlignmentData(known.name.rpartition("/")[0], left, right, train, chosen_on, links[:num_test])


def load_side(name: str, root: Path | str | None = None) -> Dataset:
    """One of the graphs of an alignment: a data set by name or folder, a file of facts, or a side of an alignment's folder.

    The sides are called as those of published pairs: ``FOLDER/1`` and ``FOLDER/2``. Raises as ``load`` does.
    """
    path, published = Path(name), name.lower() == BUNDLED or manifest(name) is not None
    if path.is_file() and not published:
        return from_files(path, name=path.name.split(".")[0])
    if is_side(path) and not published:
        return side_of(path.parent, path.name)
    if path.suffix and not published and not path.is_dir():
        raise DataError(f"there is no file {path} of facts, nor a data set of that name")
    return load(name, root)


def _by_published_id(name: str, root: Path, entities: tuple[str, ...]) -> Find:
    known = manifest(name)
    assert known is not None
    names = read_dictionary(verified(root, known.files["entities"], name), "id name")
    assert tuple(names.values()) == entities
    return position(names, "entity id")
