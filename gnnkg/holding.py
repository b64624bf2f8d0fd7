"""One process at a time: two that train the same run would write over each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


class InUse(RuntimeError):
    """Another process is at work there."""


@contextmanager
def held(folder: Path, wait: bool = False) -> Iterator[None]:
    """Holds a folder until the end of the block or of the process, however that ends. Raises InUse, unless it is to ``wait``.

    A process may hold a folder again that it holds. The operating system frees the lock; its file, ``.lock``, may stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", is_singleton=True)
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        raise InUse(f"another process is at work in {folder}: wait for it, or stop it") from None
    try:
        yield
    finally:
        lock.release()
