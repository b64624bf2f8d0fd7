"""Modules with classes of one's own that an experiment names: where they lie, so that its run finds them again."""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

INSTALLED = {"site-packages", "dist-packages"}
"""folders of these names hold packages that were installed: whoever opens a run installs them too"""


class MissingModule(ImportError):
    """A run names classes of a module that is no longer where it was."""


def modules_named(config: Any) -> set[str]:
    """The modules or packages at the beginning of every ``class_path`` in a config, but for gnnkg and torch."""
    return {path.partition(".")[0] for path in _class_paths(config) if "." in path} - {"gnnkg", "torch"}


def _class_paths(config: Any) -> Iterator[str]:
    if isinstance(config, Mapping):
        if isinstance(path := config.get("class_path"), str):
            yield path
        for value in config.values():
            yield from _class_paths(value)


def homes(config: Mapping[str, Any]) -> dict[str, str]:
    """The folder that each module of one's own is imported from, by its name. Installed ones are left out."""
    found = {name: _home(name) for name in sorted(modules_named(config))}
    return {name: str(home) for name, home in found.items() if home is not None and not _installed(home)}


def find_again(config: Mapping[str, Any], homes: Mapping[str, str]) -> None:
    """Lets a run name the modules that its experiment named: their folders, and no others, join ``sys.path``.

    Raises MissingModule where one is gone, and where another module of its name would be taken for it.
    """
    for name in sorted(modules_named(config) & homes.keys()):
        home = Path(homes[name])
        there = (home / f"{name}.py").is_file() or (home / name).is_dir()
        if there and str(home) not in sys.path:
            sys.path.append(str(home))
            importlib.invalidate_caches()
        now = _home(name)
        if now is None:
            raise MissingModule(
                f"the experiment names classes of {name}, which lay in {home} and is no longer there: put it back, or name the "
                "folder where it is now in PYTHONPATH"
            )
        if there and now != home.resolve():
            raise MissingModule(
                f"the experiment names classes of {name} in {home}, and another {name} in {now} is imported in its place: rename "
                "either, or work in another folder"
            )


def _home(name: str) -> Path | None:
    """The folder that a module is imported from; None where there is no such module, or no file."""
    loaded = sys.modules.get(name)
    spec = importlib.util.find_spec(name) if loaded is None else getattr(loaded, "__spec__", None)
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).resolve().parent
    return Path(spec.origin).resolve().parent if spec.has_location and spec.origin else None


def _installed(home: Path) -> bool:
    return bool(INSTALLED & set(home.parts)) or home.is_relative_to(Path(sysconfig.get_path("stdlib")).resolve())
