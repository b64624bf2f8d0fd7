"""Where a number comes from: the code, the packages, the machine, the time and the memory."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil
import torch

PACKAGES = ("torch", "dgl", "numpy", "gnnkg")


@dataclass(frozen=True, slots=True)
class Provenance:
    """What every result carries."""

    config: Mapping[str, Any]
    seed: int
    command: str
    commit: str
    """of gnnkg's own repository, ``+changes`` where the package differs from it; ``gnnkg VERSION`` for an installed package"""
    versions: Mapping[str, str]
    hardware: Mapping[str, Any]
    time: str
    """UTC, ISO 8601"""
    peak_memory_bytes: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def provenance(config: Mapping[str, Any], seed: int, command: str | None = None) -> Provenance:
    """Of this process, now. ``command`` is the line that started it where it is not given."""
    return Provenance(
        config=config,
        seed=seed,
        command=command or command_line(),
        commit=commit(),
        versions=versions(),
        hardware=hardware(),
        time=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        peak_memory_bytes=peak_memory(),
    )


def command_line() -> str:
    """What was typed, without the folder of the program."""
    return shlex.join([Path(sys.argv[0]).name or "python", *sys.argv[1:]])


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def commit(package: Path = Path(__file__).parents[1]) -> str:
    """The commit of the repository that ``package`` is developed in; its version where it is installed elsewhere."""
    root = package.parent
    installed = f"gnnkg {versions()['gnnkg']}"
    if not (root / "pyproject.toml").is_file() or _git(root, "rev-parse", "--show-toplevel") != str(root.resolve()):
        return installed
    head = _git(root, "rev-parse", "--verify", "HEAD")
    if head is None:
        return installed
    return head + ("+changes" if _git(root, "status", "--porcelain", "--", package.name) else "")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def hardware() -> dict[str, Any]:
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpu": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def peak_memory(device: torch.device | None = None) -> int:
    """Bytes: the most this process has held in memory so far; on a GPU, the most that its tensors have."""
    if device is not None and device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
