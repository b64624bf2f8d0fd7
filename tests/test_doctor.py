from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import psutil
import pytest
import torch
from packaging.requirements import Requirement

from gnnkg import _dgl, doctor
from gnnkg.doctor import Finding
from gnnkg.ops import matching


@pytest.fixture(scope="module")
def findings() -> list[Finding]:
    return doctor.diagnose()


def named(findings: list[Finding], name: str) -> Finding:
    (found,) = [finding for finding in findings if finding.name == name]
    return found


def test_here_nothing_essential_is_missing(findings):
    assert [finding for finding in findings if finding.state == "missing"] == []
    assert {finding.topic for finding in findings} == {"python", "packages", "dgl", "devices", "backends", "data"}
    assert named(findings, "torch").found == torch.__version__
    assert named(findings, "Numba (CPU)").found.startswith("works")
    assert named(findings, "bundled").found == "cldr"


def test_every_requirement_of_the_project_is_looked_at(findings):
    looked_at = {finding.name for finding in findings if finding.topic == "packages"}
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert looked_at >= {Requirement(line).name for line in project["dependencies"]}
    assert looked_at >= {"pyoxigraph", "torch_geometric"}


def test_requirements_as_installed(monkeypatch):
    lines = [
        "torch>=2.11",
        'pyoxigraph>=0.4; extra == "rdf"',
        'pytest>=8; extra == "test"',
        'old>1; python_version < "3"',
    ]
    monkeypatch.setattr(metadata, "requires", lambda name: lines)

    class Metadata:
        def get_all(self, key: str) -> list[str]:
            return ["rdf", "test"]

    monkeypatch.setattr(metadata, "metadata", lambda name: Metadata())
    needed, extras = doctor.requirements()
    assert needed == ["torch>=2.11"]
    assert {name: [Requirement(line).name for line in of] for name, of in extras.items()} == {
        "rdf": ["pyoxigraph"],
        "test": ["pytest"],
    }
    assert doctor._package(extras["rdf"][0], "note").name == "pyoxigraph"


@pytest.mark.parametrize("name", ["torch", "dgl", "numba", "rich", "jsonargparse", "pyoxigraph", "torch_geometric"])
def test_a_package_that_is_missing(monkeypatch, name):
    installed = metadata.version

    def version(asked: str) -> str:
        if asked == name:
            raise metadata.PackageNotFoundError(asked)
        return installed(asked)

    monkeypatch.setattr(metadata, "version", version)
    finding = named(list(doctor._packages()), name)
    assert finding.found == "not installed"
    assert finding.state == ("note" if name in ("pyoxigraph", "torch_geometric") else "missing")
    assert (finding.command or "").startswith(f"pip install '{name}")
    assert Requirement((finding.command or "").split("'")[1]).name == name
    assert all(other.command is None for other in doctor._packages() if other.name != name)


def test_a_package_that_is_too_old(monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda name: "2.2.1")
    finding = doctor._package("torch>=2.11", "missing")
    assert (finding.state, finding.found) == ("missing", "2.2.1, but gnnkg needs >=2.11")
    assert finding.command == "pip install 'torch>=2.11'"


@pytest.mark.parametrize(("version", "state"), [((3, 9, 1), "missing"), ((3, 12, 0), "fine"), ((3, 13, 0), "missing")])
def test_python_without_a_build_of_dgl(monkeypatch, version, state):
    monkeypatch.setattr(sys, "version_info", version)
    finding = next(doctor._python())
    monkeypatch.undo()
    assert finding.state == state
    assert finding.command == (doctor.NEW_PYTHON if state == "missing" else None)


@pytest.mark.parametrize("state", ["unavailable", "switched off"])
def test_dgl_that_cannot_be_imported(monkeypatch, state):
    status = _dgl.Status(
        state, "2.1.0", (), "DGL cannot be imported.\n    Install it:\n    pip install dgl", "pip install dgl"
    )
    monkeypatch.setattr(_dgl, "status", lambda: status)
    assert list(doctor._dgl()) == [Finding("dgl", "DGL", "DGL cannot be imported.", "missing", "pip install dgl")]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (_dgl.Status("shim", "2.1.0", ("dgl.graphbolt",)), "2.1.0, with a stand-in for dgl.graphbolt"),
        (_dgl.Status("healthy", "2.4.0", ()), "2.4.0, as it is installed"),
    ],
)
def test_what_of_dgl_is_active(monkeypatch, status, words):
    monkeypatch.setattr(_dgl, "status", lambda: status)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (finding,) = doctor._dgl()
    assert finding.state == "fine"
    assert finding.found.startswith(words)


@pytest.mark.parametrize(("cuda_build", "command"), [(True, None), (False, doctor.CUDA_DGL)])
def test_dgl_on_a_gpu(monkeypatch, cuda_build, command):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(doctor, "_dgl_uses_cuda", lambda: cuda_build)
    finding = named(list(doctor._dgl()), "DGL on CUDA")
    assert (finding.command, finding.state) == (command, "fine" if cuda_build else "note")


@pytest.mark.parametrize(
    ("driver", "build", "command"),
    [
        (None, None, None),
        ("/usr/bin/nvidia-smi", None, doctor.CUDA_TORCH),
        ("/usr/bin/nvidia-smi", "13.0", "nvidia-smi"),
    ],
)
def test_no_cuda(monkeypatch, driver, build, command):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", build)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: driver)
    finding = named(list(doctor._devices()), "CUDA")
    assert (finding.command, finding.state) == (command, "note" if command else "fine")


def test_gpus_are_listed_with_their_memory(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda i: (2**30, (i + 1) * 2**31))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda i: f"GPU {i}")
    listed = list(doctor._devices())
    assert named(listed, "cuda:1").found == "GPU 1, 1.0 GiB free of 4.0 GiB"
    assert "CUDA" not in [finding.name for finding in listed]


def test_little_memory_is_noted(monkeypatch):
    memory = psutil.virtual_memory()._replace(available=2**29)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    assert named(list(doctor._devices()), "memory").state == "note"


def test_a_gpu_without_triton(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name == "triton" else True)
    finding = named(list(doctor._backends()), "Triton (CUDA)")
    assert (finding.state, finding.command) == ("missing", "pip install triton")


def broken(*tensors: torch.Tensor) -> torch.Tensor:
    raise RuntimeError("LLVM is not what it was\nand more")


@pytest.mark.parametrize(
    ("op", "words"),
    [
        (broken, "does not work: RuntimeError: LLVM is not what it was"),
        (lambda *tensors: torch.tensor([[4.0]]), "computes 1 + 1 + 1 = 4"),
    ],
)
def test_a_backend_that_fails(monkeypatch, op, words):
    monkeypatch.setattr(matching, "l1", op)
    finding = named(list(doctor._backends()), "Numba (CPU)")
    assert (finding.state, finding.found) == ("missing", words)
    assert finding.command == "pip install --force-reinstall numba"


def test_data_folders(monkeypatch, tmp_path):
    (tmp_path / "umls").mkdir()
    (tmp_path / "umls" / "train.txt").touch()
    absent = tmp_path / "absent"
    monkeypatch.setenv("GNNKG_DATASETS", os.pathsep.join([str(tmp_path), str(absent)]))
    monkeypatch.setenv("GNNKG_CACHE", str(tmp_path / "cache"))
    _, here, nowhere, cache = doctor._data()
    assert here.found.startswith(f"{tmp_path}: 1 of ")
    assert here.found.endswith(": umls")
    assert (nowhere.found, nowhere.state) == (f"{absent}: no such folder", "note")
    assert nowhere.command == "export GNNKG_DATASETS=FOLDER"
    assert (cache.found, cache.state) == (f"{tmp_path / 'cache' / 'datasets'}: made when it is first used", "fine")
    assert not (tmp_path / "cache").exists()


def test_no_data_folder_and_no_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("GNNKG_DATASETS", raising=False)
    monkeypatch.setenv("GNNKG_CACHE", str(tmp_path))
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: path != tmp_path)
    _, unset, cache = doctor._data()
    assert (unset.state, unset.command) == ("note", "export GNNKG_DATASETS=FOLDER")
    assert (cache.state, cache.command) == ("note", "export GNNKG_CACHE=FOLDER")


FINDINGS = [
    Finding("packages", "torch", "2.13.0"),
    Finding("packages", "pyoxigraph", "not installed", "note", "pip install 'pyoxigraph[all]>=0.4'"),
]
REPORT = """\
packages
  ok       torch              2.13.0
  note     pyoxigraph         not installed
what mends it
  pyoxigraph         pip install 'pyoxigraph[all]>=0.4'
"""


@pytest.mark.parametrize("rich", [True, False])
def test_report(monkeypatch, capsys, rich):
    monkeypatch.setattr(doctor, "diagnose", lambda: FINDINGS)
    if not rich:
        monkeypatch.setitem(sys.modules, "rich.console", None)
    assert doctor.doctor() == 0
    assert capsys.readouterr().out == REPORT


def test_exit_status_where_something_essential_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "diagnose", lambda: [*FINDINGS, Finding("dgl", "DGL", "broken", "missing", "mend")])
    assert doctor.doctor() == 1
    assert "  MISSING  DGL                broken\n" in capsys.readouterr().out


def test_where_torch_is_missing():
    code = """
import sys
from importlib import metadata
sys.modules["torch"] = None
installed = metadata.version
def version(name):
    if name == "torch":
        raise metadata.PackageNotFoundError(name)
    return installed(name)
metadata.version = version
from gnnkg.doctor import doctor
sys.exit(doctor())
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "MISSING  torch " in done.stdout
    assert "pip install 'torch>=2.11'" in done.stdout
    assert "note     not looked at" in done.stdout
