"""The import of DGL, each time in a fresh interpreter, with every warning an error."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

CURRENT = version("dgl").startswith("2.1") and not torch.__version__.startswith("2.2.")
needs_shim = pytest.mark.skipif(not CURRENT, reason="DGL 2.1 with a newer torch than it was built for is not installed")


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    keep = {name: value for name, value in os.environ.items() if name not in ("DGLBACKEND", "GNNKG_DGL_SHIM")}
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, env=keep | environment, capture_output=True, text=True, timeout=120)


def output(code: str, **environment: str) -> str:
    done = run(code, **environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def fake_dgl(folder: Path, version: str, library: str = "") -> str:
    """A package that looks like a DGL of that version; returns a PYTHONPATH that puts it first."""
    package = folder / "dgl"
    (package / "_ffi").mkdir(parents=True)
    (package / "graphbolt").mkdir()
    (package / "__init__.py").write_text(f"__version__ = {version!r}\nfrom dgl import graphbolt\n")
    (package / "_ffi" / "libinfo.py").write_text(f"__version__ = {version!r}\n")
    (package / "graphbolt" / "__init__.py").write_text("real = True\n")
    if library:
        (package / "graphbolt" / library).touch()
        (folder / "torchdata" / "datapipes").mkdir(parents=True)
        (folder / "torchdata" / "__init__.py").touch()
    return os.pathsep.join([str(folder), os.getcwd()])


WORKS = """
import tempfile, torch, warnings
from gnnkg._dgl import dgl, status
import dgl.function as fn

warnings.filterwarnings("ignore", "Dataloader CPU affinity opt")  # DGL's advice on speed

graph = dgl.heterograph({
    ("entity", "0", "entity"): (torch.tensor([0, 1, 2]), torch.tensor([1, 2, 0])),
    ("entity", "1", "entity"): (torch.tensor([3]), torch.tensor([0])),
})
graph.ndata["x"] = torch.arange(4.0).unsqueeze(1).requires_grad_()
graph["0"].update_all(fn.copy_u("x", "m"), fn.sum("m", "y"))
assert graph.ndata["y"].squeeze().tolist() == [2.0, 0.0, 1.0, 0.0]
graph.ndata["y"].sum().backward()

assert dgl.sampling.sample_neighbors(graph, {"entity": [0]}, 1, edge_dir="in").num_edges() == 2
sampler = dgl.dataloading.NeighborSampler([2, 2])
batches = list(dgl.dataloading.DataLoader(graph, {"entity": torch.arange(4)}, sampler, batch_size=2))
assert [len(outputs["entity"]) for _, outputs, _ in batches] == [2, 2]

with tempfile.NamedTemporaryFile() as file:
    dgl.save_graphs(file.name, [graph])
    (loaded,), _ = dgl.load_graphs(file.name)
assert loaded.canonical_etypes == graph.canonical_etypes and loaded.num_edges("0") == 3
print(status().state, *status().stand_ins)
"""


def test_graphs_messages_sampling_loading_and_files_work():
    assert output(WORKS).split()[0] in ("shim", "healthy")


@needs_shim
def test_stand_in_is_active_and_refuses_use_and_nothing_is_written_home(tmp_path):
    code = """
from gnnkg._dgl import dgl, status
print(status().state, status().version, *status().stand_ins)
import dgl.graphbolt as gb
print(isinstance(1, gb.ItemSet), hasattr(gb, "__wrapped__"))
try:
    gb.ItemSet(3)
except ImportError as error:
    print(error)
"""
    first, second, third = output(code, HOME=str(tmp_path)).splitlines()
    assert first == f"shim {version('dgl')} dgl.graphbolt"
    assert second == "False False"
    assert "dgl.graphbolt.ItemSet" in third
    assert torch.__version__ in third
    assert not (tmp_path / ".dgl").exists()


@needs_shim
def test_switched_off_the_original_failure_comes_with_remedies():
    code = "from gnnkg._dgl import status; print(status().state); from gnnkg._dgl import dgl"
    done = run(code, GNNKG_DGL_SHIM="0")
    assert done.returncode == 1
    assert done.stdout == "switched off\n"
    message = done.stderr.split("DGLUnavailable: ")[-1]
    assert "torchdata.datapipes" in message
    assert "\n    unset GNNKG_DGL_SHIM\n" in message
    assert "dgl==2.4.0" in message


@needs_shim
def test_import_after_a_failed_import_of_dgl_itself():
    code = """
try:
    import dgl
except Exception:
    pass
else:
    raise AssertionError("expected to fail")
from gnnkg._dgl import dgl, status
print(status().state, dgl.graph(([0], [1])).num_edges(), hasattr(dgl.dataloading, "neighbor_sampler"))
"""
    # on a fresh machine a bare import of dgl says on stderr which backend it assumes
    assert output(code, DGLBACKEND="pytorch") == "shim 1 True\n"


@needs_shim
@pytest.mark.skipif(find_spec("setuptools.extern") is not None, reason="an old setuptools has it itself")
def test_packaging_is_borrowed_from_setuptools_where_it_is_missing():
    code = """
import sys
from importlib.machinery import PathFinder

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name == "packaging":
            spec = PathFinder.find_spec(name, [place for place in sys.path if place.endswith("_vendor")])
            if spec is None:
                raise ModuleNotFoundError(name)
            return spec

before = list(sys.path)
sys.meta_path.insert(0, Hide())
from gnnkg._dgl import dgl, status
assert sys.path == before
print(*status().stand_ins)
"""
    assert output(code) == "dgl.graphbolt setuptools.extern.packaging\n"


MISSING = """
import sys
{change}
class Block:
    def find_spec(self, name, path=None, target=None):
        if name == {blocked!r}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Block())
from gnnkg._dgl import status
print(status().state)
print(status().error)
from gnnkg._dgl import dgl
"""


@pytest.mark.parametrize(
    ("blocked", "change", "expected"),
    [
        ("dgl", "", "DGL is not installed.\n    Install it:\n    pip install 'dgl>=2.1'"),
        ("dgl", "import torch; sys.version_info = (3, 13)", "DGL has no build for Python 3.13"),
        ("pandas", "", "Install pandas:\n    pip install pandas"),
    ],
)
def test_what_is_missing_is_named_with_its_command(blocked, change, expected):
    done = run(MISSING.format(blocked=blocked, change=change))
    assert done.returncode == 1
    assert done.stdout.startswith("unavailable\n")
    assert expected in done.stdout
    assert expected in done.stderr.split("DGLUnavailable: ")[-1]


HEALTHY = """
import sys
{first}
from gnnkg._dgl import dgl, status
assert type(sys.modules["dgl.graphbolt"]).__name__ == "module" and dgl.graphbolt.real
assert dgl is sys.modules["dgl"]
print(*status())
"""


@pytest.mark.parametrize("first", ["", "import dgl"], ids=["fresh", "after the user's import"])
def test_nothing_is_touched_on_dgl_2_4(tmp_path, first):
    path = fake_dgl(tmp_path, "2.4.0")
    assert output(HEALTHY.format(first=first), PYTHONPATH=path) == "healthy 2.4.0 () None None\n"


def test_nothing_is_touched_where_graphbolt_has_its_library(tmp_path):
    path = fake_dgl(tmp_path, "2.1.0", f"libgraphbolt_pytorch_{torch.__version__.split('+')[0]}.so")
    assert output(HEALTHY.format(first=""), PYTHONPATH=path) == "healthy 2.1.0 () None None\n"


def test_another_backend_is_refused():
    done = run("from gnnkg._dgl import dgl", DGLBACKEND="mxnet")
    assert "DGLBACKEND is mxnet.\n    Set it:\n    export DGLBACKEND=pytorch\n" in done.stderr
