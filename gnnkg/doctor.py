"""What is installed, what is active, what is missing, and for each thing that is missing the one command that mends it.

Works, and says so, where almost anything is missing: every part of gnnkg that it asks is imported when it is asked.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from packaging.requirements import Requirement

State = Literal["fine", "note", "missing"]

NEW_PYTHON = "conda create -n gnnkg python=3.11"
CUDA_TORCH = "pip install --force-reinstall --no-deps torch --index-url https://download.pytorch.org/whl/cu130"
CUDA_DGL = "pip install --no-deps dgl==2.4.0 -f https://data.dgl.ai/wheels/torch-2.4/cu124/repo.html"
TOO_LITTLE = 2**30
"""bytes of free memory below which trainings are hard"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    topic: str
    name: str
    found: str
    state: State = "fine"
    """``note``: gnnkg works without; ``missing``: it does not"""
    command: str | None = None
    """what mends it, where something is to mend"""


def doctor() -> int:
    """Prints every finding; the exit status is 1 where something is missing that gnnkg cannot do without."""
    findings = diagnose()
    _print(findings)
    return int(any(finding.state == "missing" for finding in findings))


def diagnose() -> list[Finding]:
    """Everything that was looked at, topic by topic."""
    findings: list[Finding] = []
    for section in (_python, _packages, _dgl, _devices, _backends, _data):
        try:
            findings += section()
        except ImportError as error:  # what is missing has its own finding among the packages
            findings.append(Finding(section.__name__[1:], "not looked at", str(error).partition("\n")[0], "note"))
    return findings


def _python() -> Iterator[Finding]:
    version = platform.python_version()
    if not (3, 10) <= sys.version_info < (3, 13):
        yield Finding("python", "Python", f"{version}; DGL has builds for 3.10 to 3.12", "missing", NEW_PYTHON)
    else:
        yield Finding("python", "Python", f"{version}, {sys.executable}")
    yield Finding("python", "system", platform.platform())


def requirements() -> tuple[list[str], dict[str, list[str]]]:
    """What gnnkg requires, and what each of its extras does; as installed, or as the project beside it says."""
    from packaging.requirements import Requirement

    extras: dict[str, list[str]] = {}
    try:
        every = [Requirement(line) for line in metadata.requires("gnnkg") or ()]
        for name in metadata.metadata("gnnkg").get_all("Provides-Extra") or ():
            extras[name] = [str(r) for r in every if r.marker and not _applies(r, "") and _applies(r, name)]
        return [str(r) for r in every if _applies(r, "")], extras
    except metadata.PackageNotFoundError:
        import tomllib

        project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return project["dependencies"], project["optional-dependencies"]


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _packages() -> Iterator[Finding]:
    needed, extras = requirements()
    for line in needed:
        yield _package(line, "missing")
    for extra in sorted(extras.keys() - {"test", "dev", "benchmarks"}):
        for line in extras.get(extra, ()):
            yield _package(line, "note")


def _package(line: str, otherwise: State) -> Finding:
    """A requirement, and what of it is installed."""
    from packaging.requirements import Requirement

    wanted = Requirement(line)
    wanted.marker = None
    command = f"pip install '{wanted}'"
    try:
        version = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return Finding("packages", wanted.name, "not installed", otherwise, command)
    if not wanted.specifier.contains(version, prereleases=True):
        return Finding("packages", wanted.name, f"{version}, but gnnkg needs {wanted.specifier}", otherwise, command)
    return Finding("packages", wanted.name, version)


def _dgl() -> Iterator[Finding]:
    from gnnkg._dgl import SWITCH, status

    active = status()
    if active.error is not None:
        yield Finding("dgl", "DGL", active.error.partition("\n")[0], "missing", active.command)
        return
    if active.state == "shim":
        found = f"{active.version}, with a stand-in for {' and '.join(active.stand_ins)} ({SWITCH}=0 switches it off)"
    else:
        found = f"{active.version}, as it is installed"
    yield Finding("dgl", "DGL", found)
    import torch

    if torch.cuda.is_available():
        if _dgl_uses_cuda():
            yield Finding("dgl", "DGL on CUDA", "yes")
        else:
            why = "no: a CPU build. gnnkg's own kernels run on the GPU all the same"
            yield Finding("dgl", "DGL on CUDA", why, "note", CUDA_DGL)


def _dgl_uses_cuda() -> bool:
    from gnnkg._dgl import dgl

    try:
        dgl.graph(([0], [0])).to("cuda")
    except dgl.DGLError:
        return False
    return True


def _devices() -> Iterator[Finding]:
    import psutil
    import torch

    threads = f"{torch.get_num_threads()} threads of torch on {_cores()} cores"
    yield Finding("devices", "CPU", f"{platform.processor() or platform.machine()}, {threads}")
    memory = psutil.virtual_memory()
    found = f"{memory.available / 2**30:.1f} GiB free of {memory.total / 2**30:.1f} GiB"
    yield Finding("devices", "memory", found, "note" if memory.available < TOO_LITTLE else "fine")
    for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        free, total = torch.cuda.mem_get_info(i)
        found = f"{torch.cuda.get_device_name(i)}, {free / 2**30:.1f} GiB free of {total / 2**30:.1f} GiB"
        yield Finding("devices", f"cuda:{i}", found)
    if not torch.cuda.is_available():
        if not shutil.which("nvidia-smi"):
            yield Finding("devices", "CUDA", "no device")
        elif torch.version.cuda is None:
            yield Finding("devices", "CUDA", "a device, but a CPU build of torch", "note", CUDA_TORCH)
        else:
            found = f"torch for CUDA {torch.version.cuda} finds no device; the driver may be too old"
            yield Finding("devices", "CUDA", found, "note", "nvidia-smi")


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _backends() -> Iterator[Finding]:
    """Each backend does a sum, and is believed if it is right."""
    import torch

    from gnnkg.ops import matching

    for name, device in (("Numba (CPU)", "cpu"), ("Triton (CUDA)", "cuda")):
        module = name.split()[0].lower()
        if device == "cuda" and not torch.cuda.is_available():
            yield Finding("backends", name, "not needed: there is no CUDA device")
            continue
        if find_spec(module) is None:
            yield Finding("backends", name, "not installed", "missing", f"pip install {module}")
            continue
        try:
            distance = matching.l1(torch.ones(1, 3, device=device), torch.zeros(1, 1, 3, device=device)).item()
        except Exception as error:
            found = f"does not work: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
            yield Finding("backends", name, found, "missing", f"pip install --force-reinstall {module}")
            continue
        right = distance == 3
        found = f"works, {metadata.version(module)}" if right else f"computes 1 + 1 + 1 = {distance:g}"
        command = None if right else f"pip install --force-reinstall {module}"
        yield Finding("backends", name, found, "fine" if right else "missing", command)


def _data() -> Iterator[Finding]:
    from gnnkg.data.cache import present, search_path, user_cache
    from gnnkg.data.load import BUNDLED
    from gnnkg.data.manifest import manifest, manifest_names

    yield Finding("data", "bundled", BUNDLED)
    if not os.environ.get("GNNKG_DATASETS"):
        found = "not set: published data sets are looked for in the cache, or downloaded"
        yield Finding("data", "GNNKG_DATASETS", found, "note", "export GNNKG_DATASETS=FOLDER")
    known = [found for name in manifest_names() if (found := manifest(name))]
    for folder in search_path():
        cache = folder == user_cache()
        name = "cache" if cache else "GNNKG_DATASETS"
        if folder.is_dir():
            here = [each.name for each in known if present(folder, each.files["train"])]
            found = f"{folder}: {len(here)} of {len(known)} published data sets: {', '.join(here)}".removesuffix(": ")
        else:
            found = f"{folder}: {'made when it is first used' if cache else 'no such folder'}"
        if cache and not _writable(folder):
            yield Finding("data", name, f"{folder}: cannot be written", "note", "export GNNKG_CACHE=FOLDER")
        elif not cache and not folder.is_dir():
            yield Finding("data", name, found, "note", "export GNNKG_DATASETS=FOLDER")
        else:
            yield Finding("data", name, found)


def _writable(folder: Path) -> bool:
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return os.access(existing, os.W_OK)


WORDS = {"fine": "ok", "note": "note", "missing": "MISSING"}
STYLES = {"fine": "green", "note": "yellow", "missing": "bold red"}


def _lines(findings: list[Finding]) -> Iterator[tuple[str, str]]:
    """The report, and the style of each line."""
    topic = ""
    for finding in findings:
        if finding.topic != topic:
            topic = finding.topic
            yield topic, "bold"
        yield f"  {WORDS[finding.state]:8} {finding.name:18} {finding.found}", STYLES[finding.state]
    to_mend = [finding for finding in findings if finding.command]
    if to_mend:
        yield "what mends it", "bold"
    for finding in to_mend:
        yield f"  {finding.name:18} {finding.command}", STYLES[finding.state]


def _print(findings: list[Finding]) -> None:
    try:
        from rich.console import Console
    except ImportError:
        for line, _ in _lines(findings):
            print(line)
        return
    console = Console(soft_wrap=True, highlight=False)
    for line, style in _lines(findings):
        console.print(line, style=style, markup=False)
