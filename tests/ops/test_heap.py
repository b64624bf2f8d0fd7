from __future__ import annotations

import subprocess
import sys

import pytest

from gnnkg.ops import heap

STEPS = """
import random, resource, sys, torch
from gnnkg.ops import heap

if sys.argv[1] == "kept":
    assert heap.keep()
draw = random.Random(0)

def steps(number):
    for _ in range(number):
        made = [torch.ones(draw.randrange(100_000, 5_000_000)) for _ in range(12)]
        while made:
            made.pop(draw.randrange(len(made)))

steps(50)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
steps(50)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(memory: str) -> int:
    found = subprocess.run(
        [sys.executable, "-c", STEPS, memory], check=True, timeout=120, capture_output=True, text=True
    )
    return int(found.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="a setting of Linux")
def test_a_step_finds_the_memory_of_the_one_before():
    assert 2 * page_faults("kept") < page_faults("given back")


def test_where_the_system_has_no_such_setting_nothing_is_done(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(heap.sys, "platform", "darwin")
    assert not heap.keep()
