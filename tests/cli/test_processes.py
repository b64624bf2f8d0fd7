from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gnnkg.cli import main
from gnnkg.run import RunDirectory


def test_two_processes_train_one_run(experiment, tmp_path):
    path = tmp_path / "run"
    command = [sys.executable, "-m", "gnnkg", "train", str(experiment), "--run", str(path), "--quiet"]
    settings = ["--devices", "2", "--accelerator", "cpu"]
    done = subprocess.run(
        [*command, *settings], capture_output=True, text=True, env={**os.environ, "PYTHONWARNINGS": "ignore"}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("run directory:") == 1
    assert RunDirectory.open(path).metrics["step"].tolist() == [10, 20]
    assert main(["evaluate", str(path)]) == 0


def test_several_processes_must_know_the_folder(experiment, capsys):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LOCAL_RANK", raising=False)
        assert main(["train", str(experiment), "--devices", "2", "--accelerator", "cpu"]) == 2
    assert "name it with --run" in capsys.readouterr().err
