from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

import gnnkg.cli
from gnnkg.cli import commands, main

COMMANDS = {path.stem for path in Path(gnnkg.cli.__file__).parent.glob("[!_]*.py")}
"""a command is a file"""


def test_help_lists_every_command_with_a_sentence(capsys):
    assert set(commands()) == COMMANDS >= {"train", "resume", "evaluate", "predict"}
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for name, summary in commands().items():
        assert summary.endswith(".") or ";" in summary, f"{name} has no sentence of help"
        assert summary in out


def test_no_arguments_mean_help(capsys):
    assert main([]) == 0
    assert "usage: gnnkg COMMAND" in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0
    assert f"gnnkg {name}" in capsys.readouterr().out


def test_help_is_quick_because_it_imports_no_torch():
    script = "import sys; from gnnkg.cli import main; main(['--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True).returncode == 0


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("gnnkg 0")


def test_an_unknown_command_lists_the_known(capsys):
    assert main(["trian"]) == 2
    assert "no command 'trian' (did you mean train?)" in capsys.readouterr().err


def test_the_module_runs_as_a_program_and_fails_with_one_message(tmp_path):
    command = [sys.executable, "-m", "gnnkg", "evaluate", str(tmp_path / "nothing")]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    assert done.returncode == 2
    assert done.stderr.strip() == f"gnnkg evaluate: there is no folder {tmp_path / 'nothing'}"


def test_waiting_threads_sleep_unless_the_user_wants_them_to_spin(monkeypatch, capsys):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    main(["parts", "DistMult"])
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    main(["parts", "DistMult"])
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


def test_a_bug_shows_its_traceback(monkeypatch):
    def broken(argv):
        return int("x")  # a ValueError that nobody raised on purpose

    monkeypatch.setattr("gnnkg.cli.datasets.run", broken)
    with pytest.raises(ValueError, match="invalid literal"):
        main(["datasets"])


def test_a_full_disk_gets_one_message(monkeypatch, capsys):
    def full(argv):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("gnnkg.cli.datasets.run", full)
    assert main(["datasets"]) == 2
    assert "No space left on device" in capsys.readouterr().err


def test_an_interruption_has_the_status_of_one(monkeypatch, capsys):
    def interrupted(argv):
        raise KeyboardInterrupt

    monkeypatch.setattr("gnnkg.cli.datasets.run", interrupted)
    assert main(["datasets"]) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["the current folder", "the folder of the experiment"])
def test_an_experiment_may_name_a_class_beside_it(experiment, tmp_path, monkeypatch, capsys, where):
    beside, module = tmp_path / "own", f"own_losses_of_{where.replace(' ', '_')}"
    beside.mkdir()
    (beside / f"{module}.py").write_text("from gnnkg.losses import Margin\nclass Own(Margin):\n    pass\n")
    (beside / "own.yaml").write_text(experiment.read_text())
    monkeypatch.chdir(beside if where == "the current folder" else tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if Path(entry or ".").resolve() != beside.resolve()])
    file = experiment if where == "the current folder" else beside / "own.yaml"
    loss = ["--terms.plain.loss", f"{{class_path: {module}.Own, init_args: {{margin: 2}}}}"]
    assert main(["train", str(file), "--run", str(tmp_path / "run"), "--steps", "1", "--quiet", *loss]) == 0
    assert f"{module}.Own" in (tmp_path / "run" / "config.yaml").read_text()


def test_a_class_that_lies_elsewhere_is_told_how_to_be_found(experiment, capsys):
    loss = ["--terms.plain.loss", "{class_path: nowhere_at_all.Own}"]
    assert main(["train", str(experiment), *loss]) == 2
    assert "a file of your own that lies elsewhere, name its folder in PYTHONPATH" in capsys.readouterr().err
