"""Where the files of a data set lie: the folders that are searched, checksums, and downloads."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

from gnnkg.data.damaged import intact
from gnnkg.data.manifest import Manifest, Source
from gnnkg.data.triples import DataError
from gnnkg.stored import cache_folder


class DatasetNotFound(DataError, FileNotFoundError):
    """The files of a data set are in none of the folders that were searched."""


class WrongChecksum(DataError):
    """A file is not the one that its manifest describes."""


def user_cache() -> Path:
    """The folder for downloaded data sets."""
    return cache_folder() / "datasets"


def search_path() -> list[Path]:
    """The folders in which data sets are looked for: those of ``GNNKG_DATASETS``, then the user's cache."""
    named = [Path(entry) for entry in os.environ.get("GNNKG_DATASETS", "").split(os.pathsep) if entry]
    return [*named, user_cache()]


def locate(manifest: Manifest, root: Path | str | None = None) -> Path:
    """The folder that the manifest's paths are relative to: ``root``, or the first of ``search_path()`` that holds the data
    set; downloaded into the cache where none does and the manifest has an address.

    Raises DatasetNotFound with the folders that were searched.
    """
    train = manifest.files["train"]
    searched = [Path(root)] if root is not None else search_path()
    for folder in searched:
        if present(folder, train) is not None:
            return folder
    if root is None and manifest.download is not None:
        return download(manifest, user_cache())
    listed = "\n".join(f"  {folder / train.path}" for folder in searched)
    advice = (
        "It can be downloaded: leave root out."
        if manifest.download is not None
        else f"It is not downloaded, because {manifest.no_download or 'its manifest gives no address'}."
    )
    raise DatasetNotFound(
        f"data set {manifest.name} was not found; looked for\n{listed}\n{advice} Its makers published it at {manifest.source}; "
        f"point GNNKG_DATASETS at the folder that holds it."
    )


def present(root: Path, source: Source) -> Path | None:
    """Where a file lies under a root, gzipped or not; the root may be the data set's own folder."""
    relative = Path(source.path)
    inside = [relative, Path(*relative.parts[1:])] if len(relative.parts) > 1 else [relative]
    for path in inside:
        for candidate in (root / path, root / f"{path}.gz"):
            if candidate.is_file():
                return candidate
    return None


def verified(root: Path, source: Source, name: str) -> Path:
    """Where a file lies, once its content is known to be the one that the manifest describes.

    Raises DatasetNotFound where it is missing, WrongChecksum where it is another.
    """
    path = present(root, source)
    if path is None:
        raise DatasetNotFound(f"data set {name} is not complete: {root / source.path} is missing (with or without .gz)")
    found = content_hash(path)
    if found != source.sha256:
        raise WrongChecksum(
            f"{path} is not the file that the manifest of {name} describes: expected the SHA-256 {source.sha256} of its "
            f"unpacked content, got {found}. Replace it, or read your own version with gnnkg.data.from_folder."
        )
    return path


def content_hash(path: Path) -> str:
    """The SHA-256 of a file's content, unpacked where it is gzipped. Raises DataError where the file is damaged."""
    digest = hashlib.sha256()
    with intact(path), gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def download(manifest: Manifest, root: Path) -> Path:
    """Download the files of a data set into a folder, each put in place only when it is complete and its checksum right.

    Raises DataError where an address cannot be read, WrongChecksum where it serves something else.
    """
    assert manifest.download is not None
    files = [*manifest.files.values(), *(file for side in manifest.side for file in side.files)]
    missing = [file for file in files if present(root, file) is None]
    if "archive" in manifest.download:
        with _fetched(manifest.download["archive"], manifest.name) as archive:
            for file in missing:
                member = manifest.download["members"].get(file.path)
                if member is not None:
                    with _member(archive, member) as content:
                        _put(content, root / file.path, file, manifest.name)
    else:
        for file in missing:
            with _fetched(manifest.download["base"] + quote(file.path), manifest.name) as content:
                _put(content, root / file.path, file, manifest.name)
    return root


@contextmanager
def _fetched(url: str, name: str) -> Iterator[io.BufferedIOBase]:
    """What an address serves, as a temporary file."""
    with tempfile.TemporaryFile() as file:
        try:
            with urlopen(url, timeout=60) as response:
                shutil.copyfileobj(response, file)
        except (URLError, OSError) as error:
            raise DataError(f"data set {name} cannot be downloaded from {url}: {error}") from error
        file.seek(0)
        yield file


@contextmanager
def _member(archive: io.BufferedIOBase, member: str) -> Iterator[io.BufferedIOBase]:
    """One member of a zip or tar archive, read in place: nothing is unpacked under a name that the archive chose."""
    archive.seek(0)
    packed = zipfile.is_zipfile(archive)
    archive.seek(0)
    with zipfile.ZipFile(archive) if packed else tarfile.open(fileobj=archive) as opened:
        try:
            content = opened.open(member) if isinstance(opened, zipfile.ZipFile) else opened.extractfile(member)
        except KeyError:
            content = None
        if content is None:
            raise DataError(f"{member} is no file of the archive")
        with content:
            yield content  # type: ignore[misc]  # both are a BufferedIOBase, whatever typeshed says


def _put(content: io.BufferedIOBase, path: Path, source: Source, name: str) -> None:
    """Write a file beside its place, check it, and move it there in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            shutil.copyfileobj(content, file)
            file.flush()
            os.fsync(file.fileno())
        found = content_hash(Path(temporary))
        if found != source.sha256:
            raise WrongChecksum(
                f"{name}: what was downloaded as {path.name} has the SHA-256 {found}, not {source.sha256}"
            )
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
