from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from gnnkg.data.manifest import manifest_names

PROJECT = Path(__file__).parents[2]


def test_manifests_are_found_where_the_package_is_installed(tmp_path):
    library = tmp_path / "lib"
    build = ["setup.py", "-q", "egg_info", "--egg-base", str(tmp_path), "build_py", "--build-lib", str(library)]
    subprocess.run([sys.executable, "-W", "ignore", *build], cwd=PROJECT, check=True, capture_output=True)
    code = "import gnnkg.data.manifest as m; print(m.__file__); print(*m.manifest_names(), sep='\\n')"
    environment = {**os.environ, "PYTHONPATH": str(library)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    place, *names = done.stdout.splitlines()
    assert Path(place).is_relative_to(library)
    assert names == manifest_names()
    assert (library / "gnnkg" / "py.typed").is_file()
