"""Imports run downward only. Read from the source, so that those inside functions count too."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "gnnkg"
FAMILIES = {"encoders", "features", "scorers", "samplers", "transforms", "losses", "terms", "data"}
LAYERS = [
    {"__main__"},
    {"cli"},
    {"quickstart", "lab"},
    {"experiment", "alignment"},
    {"parts", "train", "doctor"},
    {"state"},
    {"run", "config"},
    {"checkpoint", "devices", "progress"},
    {"evaluation"},
    FAMILIES,
    {"strength"},
    {"noise", "inputs"},
    {"core"},
    {"graph"},
    {"interchange"},
    {"ops", "_dgl", "stored", "holding", "annotations", "own_modules", "schedules"},
]
"""From the top. A part may import parts of lower layers, and itself."""
LAYER = {part: depth for depth, layer in enumerate(LAYERS) for part in layer}
MODULES = sorted(ROOT.rglob("*.py"))


def part_of(name: str) -> str:
    """``gnnkg.data.queries`` belongs to ``data``; the package itself is ``__init__``."""
    return name.split(".")[1] if "." in name else "__init__"


def modules_named(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    assert node.level == 0, "imports are absolute"
    if node.module == "gnnkg":
        return [f"gnnkg.{alias.name}" for alias in node.names]
    return [node.module or ""]


def imports(source: str, typing_too: bool = True) -> list[str]:
    """The modules that a source imports, anywhere in it; those for type checking only are left out on request."""
    tree = ast.parse(source)
    typing_only = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for child in ast.walk(statement)
    }
    nodes = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    return [name for node in nodes if typing_too or node not in typing_only for name in modules_named(node)]


def upward(part: str, source: str) -> list[str]:
    """The imports of a source in ``part`` that do not run downward."""
    ours = [name for name in imports(source) if name.split(".")[0] == "gnnkg" and name != "gnnkg.__version__"]
    return [name for name in ours if (other := part_of(name)) != part and LAYER[other] <= LAYER[part]]


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


def test_modules_were_found() -> None:
    assert len(MODULES) >= 40
    assert {part_of(name_of(path)) for path in MODULES} - {"__init__"} <= set(LAYER), (
        "a new part needs a place in LAYERS"
    )


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_run_downward(path: Path) -> None:
    part = part_of(name_of(path))
    if part != "__init__":  # the package itself lends names of every part
        assert upward(part, path.read_text("utf-8")) == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_one_module_imports_dgl_and_one_reads_pickles_and_none_runs_what_they_name(path: Path) -> None:
    source = path.read_text("utf-8")
    named = {name.split(".")[0] for name in imports(source, typing_too=False)}
    assert not named & {"cloudpickle", "dill", "joblib", "shelve"}
    assert "pickle" not in named or path.name == "plain_pickle.py", (
        "read_plain reads built-in values and refuses the rest"
    )
    assert "dgl" not in named or path.name == "_dgl.py", "import it as: from gnnkg._dgl import dgl"
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    called = {ast.unparse(node.func) for node in calls}
    assert not called & {"torch.save", "pandas.read_pickle", "pd.read_pickle"}
    assert "torch.load" not in called or path.name == "plain_pickle.py", "read_tensors runs no code"
    loads = [node for node in calls if ast.unparse(node.func) in ("torch.load", "np.load", "numpy.load")]
    safe = {"torch.load": "weights_only=True", "np.load": "allow_pickle=False", "numpy.load": "allow_pickle=False"}
    for node in loads:
        assert safe[ast.unparse(node.func)] in [ast.unparse(keyword) for keyword in node.keywords]


@pytest.mark.parametrize(
    ("part", "line", "wrong"),
    [
        ("graph", "from gnnkg.core import Batch", True),
        ("scorers", "from gnnkg.encoders.table import Table", True),
        ("core", "import gnnkg.train", True),
        ("ops", "def f():\n    from gnnkg.graph import KnownTails", True),
        ("ops", "from gnnkg import graph", True),
        ("data", "from gnnkg import Dataset", None),
        ("core", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from gnnkg.data import Dataset", True),
        ("scorers", "from gnnkg.scorers.spaces import uniform", False),
        ("train", "from gnnkg.run import RunDirectory", False),
        ("cli", "import torch, gnnkg.graph", False),
    ],
)
def test_the_rule_itself(part: str, line: str, wrong: bool | None) -> None:
    if wrong is None:  # a name that the package lends is no part
        with pytest.raises(KeyError):
            upward(part, line)
    else:
        assert bool(upward(part, line)) is wrong
