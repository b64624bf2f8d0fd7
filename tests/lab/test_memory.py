from __future__ import annotations

import torch

from gnnkg.lab.memory import PeakMemory
from gnnkg.ops.rows import rows


def test_the_peak_is_the_most_that_is_held_at_once() -> None:
    before = torch.zeros(1000)
    with PeakMemory() as memory:
        kept = torch.zeros(10_000)
        for _ in range(3):
            temporary = kept.repeat(2)
            temporary = temporary + 1
            del temporary
    assert len(before) == 1000
    if not torch.cuda.is_available():
        assert 4 * 50_000 <= memory.peak < 4 * 50_000 + 1000


def test_what_fused_kernels_hold_counts() -> None:
    ids, table = torch.randint(100, (5000,)), torch.randn(100, 64, requires_grad=True)
    with PeakMemory() as memory:
        rows(ids, table).sum().backward()
    if not torch.cuda.is_available():
        assert memory.peak > 4 * 5000 * 64
