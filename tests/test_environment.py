"""constraints.txt and environment.yml against pyproject.toml: what is installed is what is required."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

tomllib = pytest.importorskip("tomllib")

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins() -> dict[str, SpecifierSet]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    return {canonicalize_name(found.name): found.specifier for found in map(Requirement, filter(None, lines))}


@pytest.mark.parametrize("group", ["dependencies", "rdf", "pyg", "test", "dev"])
def test_every_requirement_is_pinned_to_a_version_that_it_allows(group):
    lines = PROJECT["dependencies"] if group == "dependencies" else PROJECT["optional-dependencies"][group]
    assert lines
    for line in lines:
        wanted = Requirement(line)
        (pin,) = pins()[canonicalize_name(wanted.name)]
        assert pin.operator == "=="
        assert wanted.specifier.contains(pin.version), line


def test_conda_installs_the_same():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (python,) = [entry.removeprefix("python=") for entry in conda if entry.startswith("python=")]
    assert SpecifierSet(PROJECT["requires-python"]).contains(python)
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert "--constraint constraints.txt" in pip
    (package,) = [line.removeprefix("--editable ") for line in pip if line.startswith("--editable ")]
    assert package.removeprefix(".[").removesuffix("]") in PROJECT["optional-dependencies"]
