from __future__ import annotations

import pytest
import torch
from torch._subclasses import FakeTensorMode

from gnnkg.ops import backends
from gnnkg.ops.backends import choose, use_reference


def test_one_rule():
    single, double = torch.zeros(1), torch.zeros(1, dtype=torch.float64)
    assert choose(single, None) == choose(single.half()) == choose(single.bfloat16()) == "numba"
    assert choose(single, double) == "reference"
    assert choose(torch.zeros(1, device="meta")) == "reference"


def test_the_reference_can_be_asked_for():
    tensor = torch.zeros(1)
    with use_reference():
        with use_reference():
            assert choose(tensor) == "reference"
        assert choose(tensor) == "reference"
    assert choose(tensor) == "numba"
    with pytest.raises(KeyError), use_reference():
        raise KeyError
    assert choose(tensor) == "numba"


def test_a_gpu_needs_triton(monkeypatch):
    with FakeTensorMode():
        tensor = torch.zeros(1, device="cuda")
    monkeypatch.setattr(backends, "find_spec", lambda name: object())
    assert choose(tensor) == "triton"
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install triton"):
        choose(tensor)
    with use_reference():
        assert choose(tensor) == "reference"
