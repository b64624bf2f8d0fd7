"""Pictures of entities in a folder or an archive, and the vectors that something makes of them."""

from __future__ import annotations

import gzip
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

import numpy as np

from gnnkg.data.triples import DataError
from gnnkg.data.vectors.reading import Vectors

SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff")
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip")
AT_ONCE = 32
"""pictures that are seen together"""
DAMAGE = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, RuntimeError)
"""what the readers of archives raise; RuntimeError for one with a password or of another compression"""

Where = TypeVar("Where")
See = Callable[[Sequence[bytes]], np.ndarray]
"""files of pictures -> a vector (F,) each"""


class Picture(NamedTuple):
    name: str
    """of what it shows"""
    place: str
    """where it lies in the folder or archive"""
    content: bytes


def holds_pictures(path: Path) -> bool:
    """Whether a path is a folder or an archive, and no file of vectors."""
    return path.is_dir() or path.name.lower().endswith(ARCHIVES)


def pictures(path: Path) -> Iterator[Picture]:
    """The pictures of a folder or of an archive (.tar, .tar.gz, .zip), each by the name of what it shows.

    That is the file's name without its suffix, or that of the folder in which it lies: ``Q42.jpg``, or ``Q42/0.jpg`` and
    ``Q42/1.jpg``. Folders around everything name nothing. Nothing is unpacked to disk. Raises DataError for a damaged archive, and
    where there is nothing at the path.
    """
    if not path.exists():
        raise DataError(f"there is no folder and no archive {path}")
    if path.is_dir():
        files = {PurePosixPath(each.relative_to(path)): each for each in sorted(path.rglob("*")) if each.is_file()}
        yield from _named(files, Path.read_bytes)
        return
    try:
        if path.name.lower().endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                names = (each.filename for each in archive.infolist() if not each.is_dir())
                yield from _named({PurePosixPath(name): name for name in names}, archive.read)
        else:
            with tarfile.open(path) as archive:
                members = {PurePosixPath(each.name): each for each in archive if each.isfile()}
                _read_to_the_end(archive)
                yield from _named(members, lambda member: _content(archive, member))
    except DAMAGE as error:
        raise DataError(f"{path} is no archive that can be read ({error})") from error


def vectors_of_pictures(path: Path, see: See) -> Vectors:
    """A vector of each thing that is shown: the mean over its pictures.

    Raises DataError where there is no picture, and for a file that is none.
    """
    total: dict[str, np.ndarray] = {}
    count: dict[str, int] = {}
    remaining = pictures(path)
    while some := list(islice(remaining, AT_ONCE)):
        try:
            seen = see([each.content for each in some])
        except ValueError as error:
            raise DataError(f"{path}, {_culprit(see, some)}: {error}") from error
        for each, vector in zip(some, seen, strict=True):
            total[each.name] = total.get(each.name, 0) + vector.astype(np.float64)
            count[each.name] = count.get(each.name, 0) + 1
    if not total:
        raise DataError(f"{path} holds no picture ({', '.join(SUFFIXES)})")
    values = np.stack([each / count[name] for name, each in total.items()]).astype(np.float32)
    return Vectors(values, tuple(total), str(path), sum(n > 1 for n in count.values()))


def _named(files: Mapping[PurePosixPath, Where], read: Callable[[Where], bytes]) -> Iterator[Picture]:
    found = {tuple(p for p in path.parts if p != "/"): where for path, where in files.items() if _is_picture(path)}
    around = 0
    if len(found) > 1:
        shortest = min(len(parts) for parts in found) - 1  # of folders
        while around < shortest and len({parts[around] for parts in found}) == 1:
            around += 1
    for parts, where in found.items():
        first, *inside = parts[around:]
        yield Picture(first if inside else PurePosixPath(first).stem, "/".join(parts), read(where))


def _is_picture(path: PurePosixPath) -> bool:
    """Not so what a Mac packs beside each picture."""
    return path.name.lower().endswith(SUFFIXES) and not path.name.startswith("._") and "__MACOSX" not in path.parts


def _read_to_the_end(archive: tarfile.TarFile) -> None:
    """A compressed archive has a checksum behind its last byte."""
    file = archive.fileobj
    while file is not None and file.read(1 << 20):
        pass


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None, "a member that is a file has content"
    return file.read()


def _culprit(see: See, some: Sequence[Picture]) -> str:
    """Which of some pictures cannot be seen."""
    for each in some:
        try:
            see([each.content])
        except ValueError:
            return each.place
    return " or ".join(each.place for each in some)
