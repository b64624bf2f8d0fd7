from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "loading.py"


def test_loading_is_measured_and_a_broken_limit_is_an_error():
    arguments = ["--facts", "200000", "--entities", "20000", "--relations", "50", "--max-bytes", "1e6"]
    done = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "limits broken: 60.0 s, 0.001 GB" in done.stderr
    result = json.loads(done.stdout)
    assert result["read"] == 200_000
    assert 150_000 < result["facts"] <= 200_000
    assert result["relations"] == 50
    assert result["seconds"] < 30
    assert result["peak_bytes"] < 2e9
