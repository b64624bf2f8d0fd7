"""A folder is held by one process at a time, and freed by any end of it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gnnkg.holding import InUse, held

HOLDS = """
import sys, time
from pathlib import Path
from gnnkg.holding import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path: Path):
    """Another process that holds ``tmp_path / "run"``."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, tmp_path / "run"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_folder_that_another_process_holds_is_refused_until_that_is_killed(other, tmp_path):
    with pytest.raises(InUse, match=r"another process is at work in .*run: wait"), held(tmp_path / "run"):
        pass
    other.send_signal(signal.SIGKILL)
    other.wait()
    with held(tmp_path / "run"):
        pass


def test_a_process_may_hold_again_what_it_holds(tmp_path):
    for _ in range(2):
        with held(tmp_path), held(tmp_path):
            pass


def test_other_folders_are_free(other, tmp_path):
    with held(tmp_path / "another"):
        pass
