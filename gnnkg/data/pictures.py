"""Pictures of entities in a folder or an archive, and the vectors that something makes of them."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from gnnkg.data.triples import DataError
from gnnkg.data.vectors.reading import Vectors

SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff")
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip")
AT_ONCE = 32
"""pictures that are seen together"""

See = Callable[[Sequence[bytes]], np.ndarray]
"""files of pictures -> a vector (F,) each"""


def holds_pictures(path: Path) -> bool:
    """Whether a path is a folder or an archive, and no file of vectors."""
    return path.is_dir() or path.name.lower().endswith(ARCHIVES)


def pictures(path: Path) -> Iterator[tuple[str, bytes]]:
    """The pictures of a folder or of an archive (.tar, .tar.gz, .zip), each by the name of what it shows.

    That is the file's name without its suffix, or the folder's in which it lies: ``Q42.jpg``, or ``Q42/0.jpg`` and ``Q42/1.jpg``.
    One folder around everything has no name of anything. Nothing is unpacked to disk. Raises DataError for a damaged archive.
    """
    if path.is_dir():
        yield from _named(
            {each.relative_to(path): each.read_bytes for each in sorted(path.rglob("*")) if each.is_file()}
        )
    elif path.name.lower().endswith(".zip"):
        try:
            with zipfile.ZipFile(path) as archive:
                names = (each.filename for each in archive.infolist() if not each.is_dir())
                yield from _named({PurePosixPath(name): _reader(archive.read, name) for name in names})
        except zipfile.BadZipFile as error:
            raise DataError(f"{path} is no zip archive that can be read ({error})") from error
    else:
        try:
            with tarfile.open(path) as archive:
                members = {PurePosixPath(each.name): each for each in archive if each.isfile()}
                yield from _named({name: _reader(_content, archive, each) for name, each in members.items()})
        except (tarfile.TarError, EOFError) as error:
            raise DataError(f"{path} is no tar archive that can be read ({error})") from error


def vectors_of_pictures(path: Path, see: See) -> Vectors:
    """A vector of each thing that is shown: the mean over its pictures.

    Raises DataError where there is no picture, and for a file that is none.
    """
    total: dict[str, np.ndarray] = {}
    count: dict[str, int] = {}
    remaining = pictures(path)
    while some := list(islice(remaining, AT_ONCE)):
        names, contents = zip(*some, strict=True)
        try:
            seen = see(contents)
        except ValueError as error:
            raise DataError(f"{path}, {_culprit(see, names, contents)}: {error}") from error
        for name, vector in zip(names, seen, strict=True):
            total[name] = total.get(name, 0) + vector.astype(np.float64)
            count[name] = count.get(name, 0) + 1
    if not total:
        raise DataError(f"{path} holds no picture ({', '.join(SUFFIXES)})")
    values = np.stack([each / count[name] for name, each in total.items()]).astype(np.float32)
    return Vectors(values, tuple(total), str(path), sum(n > 1 for n in count.values()))


def _named(files: Mapping[Any, Callable[[], bytes]]) -> Iterator[tuple[str, bytes]]:
    """Pictures by name, of files by path."""
    found = {tuple(path.parts): read for path, read in files.items() if _is_picture(path.parts)}
    around = len(found) > 1 and len({parts[0] for parts in found}) == 1 and all(len(parts) > 1 for parts in found)
    for parts, read in found.items():
        first, *inside = parts[1:] if around else parts
        yield first if inside else PurePosixPath(first).stem, read()


def _is_picture(parts: tuple[str, ...]) -> bool:
    return parts[-1].lower().endswith(SUFFIXES) and not any(part.startswith((".", "__MACOSX")) for part in parts)


def _reader(read: Callable[..., bytes], *arguments: object) -> Callable[[], bytes]:
    return lambda: read(*arguments)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None, "a member that is a file has content"
    return file.read()


def _culprit(see: See, names: Sequence[str], contents: Sequence[bytes]) -> str:
    """Which of some pictures cannot be seen."""
    for name, content in zip(names, contents, strict=True):
        try:
            see([content])
        except ValueError:
            return name
    return " or ".join(names)
