from __future__ import annotations

import json
import subprocess
from datetime import datetime
from pathlib import Path

import numpy as np
import psutil
import torch

from gnnkg.evaluation import provenance as origin


def git(folder: Path, *arguments: str) -> str:
    author = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *author, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_every_field_is_filled():
    found = origin.provenance({"lr": 0.1}, seed=3)
    values = found.to_dict()
    assert all(values[name] not in ("", None) for name in values)
    assert (values["config"], values["seed"]) == ({"lr": 0.1}, 3)
    assert values["versions"]["torch"] == torch.__version__
    assert values["versions"]["numpy"] == np.__version__
    assert set(values["versions"]) == {"python", "torch", "dgl", "numpy", "gnnkg"}
    assert values["hardware"]["cores"] >= 1
    assert values["hardware"]["cpu"]
    assert datetime.fromisoformat(values["time"]).tzinfo is not None
    assert json.loads(json.dumps(values)) == values


def test_peak_memory_is_in_bytes_and_at_least_what_is_held_now():
    held = psutil.Process().memory_info().rss
    assert 0.9 * held < origin.peak_memory() < psutil.virtual_memory().total  # the kernel counts pages in batches


def test_the_command_names_no_folder(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/opt/somewhere/gnnkg", "train", "my file.yaml"])
    assert origin.command_line() == "gnnkg train 'my file.yaml'"


def test_the_commit_is_that_of_the_package_s_own_repository(tmp_path):
    package = tmp_path / "project" / "gnnkg"
    package.mkdir(parents=True)
    (package / "core.py").write_text("one")
    version = f"gnnkg {origin.versions()['gnnkg']}"
    assert origin.commit(package) == version  # no repository
    git(tmp_path, "init")
    (tmp_path / "project" / "pyproject.toml").touch()
    assert origin.commit(package) == version  # somebody else's repository
    git(package.parent, "init")
    assert origin.commit(package) == version  # no commit yet
    git(package.parent, "add", ".")
    git(package.parent, "commit", "-m", "first")
    head = git(package.parent, "rev-parse", "HEAD")
    assert origin.commit(package) == head
    (package.parent / "notes.txt").touch()
    assert origin.commit(package) == head
    (package / "core.py").write_text("two")
    assert origin.commit(package) == head + "+changes"
