"""The text of an experiment: a YAML file, what it takes from its base, and what the command line changes.

A file may begin with ``base: other.yaml``, a path relative to itself; then it holds only what differs. A plain key replaces the
base's value whole. A dotted key, such as ``terms.mutated.transform.keep: 0.5``, changes one field deep inside, just as
``--terms.mutated.transform.keep 0.5`` does on the command line.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import get_loader

DEFAULTS = {"encoder": "Table"}


class ConfigError(ValueError):
    """An experiment that cannot be understood; the message names the place, what was expected and what stood there."""


def load_file(path: Path, derived: tuple[Path, ...] = (), defaults: Mapping[str, Any] = DEFAULTS) -> dict[str, Any]:
    """A YAML file with what it takes from its base, and from the defaults where it has none. Raises ConfigError."""
    if derived and not path.is_file():
        raise ConfigError(f"{derived[-1]}: its base {path} does not exist")
    if path.resolve() in derived:
        raise ConfigError(f"{path} is based on itself")
    content = read_mapping(path)
    base = content.pop("base", None)
    inherited = defaults if base is None else load_file(path.parent / str(base), (*derived, path.resolve()), defaults)
    return change(inherited, content)


def read_mapping(path: Path) -> dict[str, Any]:
    """What stands in a YAML file, as it is. Raises ConfigError."""
    if not path.is_file():
        raise ConfigError(f"there is no file {path}")
    try:
        text = path.read_text(encoding="utf-8")
        content = get_loader("yaml")(text)
        _refuse_repeated(path, yaml.compose(text, yaml.SafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected a mapping of names to values, found {content!r}")
    return content


def _refuse_repeated(path: Path, node: yaml.Node | None) -> None:
    """YAML takes the last of several values under one key, and says nothing."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeated(path, item)
    elif isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                raise ConfigError(
                    f"{path}, line {line}: {key.value} stands there twice, first in line {seen[key.value]}; keep one of them"
                )
            seen[key.value] = line
            _refuse_repeated(path, value)


def importable_beside(path: Path) -> None:
    """Lets an experiment name classes in Python files that lie beside its own."""
    if (folder := str(path.resolve().parent)) not in sys.path:
        sys.path.append(folder)


def change(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``config`` with some fields replaced. A dotted key leads through mappings and the ``init_args`` of parts."""
    changed = dict(config)
    for key, value in changes.items():
        first, _, rest = str(key).partition(".")
        if not rest:
            changed[first] = value
            continue
        inner = changed.get(first) or {}
        inner = {"class_path": inner} if isinstance(inner, str) else inner
        if not isinstance(inner, Mapping):
            raise ConfigError(f"{key}: {first} is {inner!r}, which has no field {rest}")
        if "class_path" in inner and rest.split(".")[0] not in ("class_path", "init_args"):
            rest = f"init_args.{rest}"
        changed[first] = change(inner, {rest: value})
    return changed


def parse_overrides(arguments: Iterable[str]) -> dict[str, Any]:
    """``["--scorer.dim", "70", "--seed=3"]`` as ``{"scorer.dim": 70, "seed": 3}``. Raises ConfigError."""
    overrides: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        option = rest.pop(0)
        name, equals, text = option.removeprefix("--").partition("=")
        if not option.startswith("--") or not name:
            raise ConfigError(f"expected an override such as --scorer.dim 70, found {option!r}")
        if not equals:
            if not rest:
                raise ConfigError(f"{option} needs a value")
            text = rest.pop(0)
        try:
            overrides[name] = get_loader("yaml")(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"{option}: {text!r} is no valid YAML") from error
    return overrides
