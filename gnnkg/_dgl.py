"""The one place that imports DGL: ``from gnnkg._dgl import dgl``.

PyPI's DGL (2.1.0) works with any torch, but ``import dgl`` stops on a current one. It imports GraphBolt, which needs a
native library named after the exact torch version (there up to 2.2.1) and ``torchdata.datapipes`` (gone since torchdata
0.10). Where ``packaging`` is not installed, it asks for ``setuptools.extern.packaging`` (gone from new setuptools).
gnnkg needs none of the three. Where one is missing, a stand-in is put into ``sys.modules`` before DGL is imported;
where nothing is missing, DGL is imported as it is. ``GNNKG_DGL_SHIM=0`` switches the stand-ins off. From 2.4 on, DGL
does not import GraphBolt any more.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch

if TYPE_CHECKING:
    dgl: Any  # untyped upstream

SWITCH = "GNNKG_DGL_SHIM"
INSTALL = "pip install 'dgl>=2.1'"
REINSTALL = "pip install --force-reinstall --no-deps dgl==2.1.0"
NEWER = "pip install --no-deps dgl==2.4.0 -f https://data.dgl.ai/wheels/torch-2.4/repo.html"
OLDER_PYTHON = "conda create -n gnnkg python=3.11 && conda activate gnnkg && pip install gnnkg"


class Status(NamedTuple):
    """What of DGL is active."""

    state: Literal["healthy", "shim", "switched off", "unavailable"]
    version: str | None
    stand_ins: tuple[str, ...]
    """the modules that stand-ins replace, or would replace"""
    error: str | None = None
    """why DGL cannot be imported, and every way to mend it"""
    command: str | None = None
    """the first of those ways"""


class _GraphBolt(ModuleType):
    """A stand-in for ``dgl.graphbolt``: every name in it is a type, and making or calling one raises ImportError."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)

        def refuse(cls: type, *args: object, **kwargs: object) -> None:
            raise ImportError(
                f"dgl.graphbolt.{name} needs a GraphBolt library for torch {torch.__version__}: there is none"
            )

        made = type(name, (), {"__new__": refuse, "__module__": self.__name__})
        setattr(self, name, made)
        return made


def _find(name: str) -> ModuleSpec | None:
    try:
        return find_spec(name)
    except (ImportError, ValueError):  # an import hook that refuses it; a module without a spec
        return None


def _folder() -> Path | None:
    """Where DGL is installed."""
    spec = _find("dgl")
    return Path(spec.origin).parent if spec and spec.origin else None


def _version() -> str | None:
    """DGL's version, read from its files: importing is what may fail."""
    folder = _folder()
    file = folder / "_ffi" / "libinfo.py" if folder else None
    found = re.search(r"__version__ = ['\"](.+?)['\"]", file.read_text("utf-8")) if file and file.is_file() else None
    return found[1] if found else None


def _needed() -> tuple[str, ...]:
    """The modules that ``import dgl`` asks for in vain."""
    folder, version = _folder(), re.match(r"(\d+)\.(\d+)", _version() or "")
    if folder is None or version is None or (int(version[1]), int(version[2])) >= (2, 4):
        return ()
    needed = []
    torchdata = _find("torchdata")
    pipes = torchdata and torchdata.origin and (Path(torchdata.origin).parent / "datapipes").is_dir()
    libraries = (folder / "graphbolt").glob(f"*graphbolt_pytorch_{torch.__version__.split('+')[0]}.*")
    if not pipes or not any(libraries):
        needed.append("dgl.graphbolt")
    vendored = _vendored_packaging()
    if not _find("packaging") and vendored and not (vendored.parent / "extern").is_dir():
        needed.append("setuptools.extern.packaging")
    return tuple(needed)


def _vendored_packaging() -> Path | None:
    """The folder in which setuptools keeps its own copy of ``packaging``."""
    setuptools = _find("setuptools")
    folder = Path(setuptools.origin).parent / "_vendor" if setuptools and setuptools.origin else None
    return folder if folder and (folder / "packaging").is_dir() else None


def _install(stand_ins: tuple[str, ...]) -> None:
    if "dgl.graphbolt" in stand_ins:
        sys.modules["dgl.graphbolt"] = _GraphBolt("dgl.graphbolt", "A stand-in, see gnnkg._dgl.")
    if "setuptools.extern.packaging" in stand_ins:
        sys.path.append(str(_vendored_packaging()))
        sys.modules["setuptools.extern.packaging"] = importlib.import_module("packaging")
        importlib.import_module("packaging.version")
        sys.path.pop()


def _switched_off() -> bool:
    return os.environ.get(SWITCH, "1").lower() in ("0", "false", "no", "off")


class DGLUnavailable(ImportError):
    """DGL cannot be imported: why, then each way to mend it as what it does and the command."""

    def __init__(self, reason: str, *ways: tuple[str, str]) -> None:
        self.command = ways[0][1]
        super().__init__("\n    ".join([reason, *(line for way in ways for line in way)]))


def _diagnosis(error: Exception) -> DGLUnavailable:
    if _folder() is None:
        if sys.version_info >= (3, 13):
            return DGLUnavailable("DGL has no build for Python 3.13 and later.", ("Use an earlier one:", OLDER_PYTHON))
        return DGLUnavailable("DGL is not installed.", ("Install it:", INSTALL))
    absent = error.name.split(".")[0] if isinstance(error, ModuleNotFoundError) and error.name else "dgl"
    if _switched_off() and _needed():
        first = (f"Switch on what {SWITCH} switches off:", f"unset {SWITCH}")
    elif absent not in ("dgl", "torchdata"):
        first = (f"Install {absent}:", f"pip install {absent}")
    else:
        first = ("Install it anew:", REINSTALL)
    reason = f"DGL {_version()} cannot be imported with torch {torch.__version__} ({type(error).__name__}: {error})."
    return DGLUnavailable(reason, first, ("Or install a DGL that does not import GraphBolt:", NEWER))


_active: tuple[str, ...] = ()


def _import() -> ModuleType:
    global _active
    present = sys.modules.get("dgl")
    if present is not None:
        return present
    # Where nothing is set, DGL prints a line and writes a file into the home folder.
    if os.environ.setdefault("DGLBACKEND", "pytorch") != "pytorch":
        reason = f"gnnkg uses DGL on PyTorch, but DGLBACKEND is {os.environ['DGLBACKEND']}."
        raise DGLUnavailable(reason, ("Set it:", "export DGLBACKEND=pytorch"))
    # A failed import leaves modules behind, and one on top of them would lack parts.
    for name in [name for name in sys.modules if name.startswith("dgl.")]:
        del sys.modules[name]
    needed = () if _switched_off() else _needed()
    _install(needed)
    try:
        module = importlib.import_module("dgl")
    except Exception as error:
        for name in needed:
            sys.modules.pop(name, None)
        raise _diagnosis(error) from error
    _active = needed
    return module


def __getattr__(name: str) -> ModuleType:
    if name != "dgl":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()["dgl"] = module = _import()
    return module


def status() -> Status:
    """What of DGL is active. Imports DGL; never raises."""
    try:
        _import()
    except DGLUnavailable as error:
        off = _switched_off() and bool(_needed())
        return Status("switched off" if off else "unavailable", _version(), _needed(), str(error), error.command)
    return Status("shim" if _active else "healthy", getattr(sys.modules["dgl"], "__version__", None), _active)
