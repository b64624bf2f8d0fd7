"""The Triton kernels of message passing, without a GPU and on one."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.ops.without_gpu import compiles, run_cases

pytest.importorskip("triton", reason="Triton is not installed: pip install triton")

IDS = ("source", "relation_of", "target", "starts", "edges", "group", "start", "stop", "slot", "split", "slots")
PLACES = ("count", "counts", "places", "high", "low")
STORED = ("x", "relation", "boundary", "out", "gradient", "d_own")
SIZES = ("num_parts", "num_units", "num_edges", "num_split", "span", "width", "relation_width", "dim")


def test_results_in_the_interpreter():
    run_cases("triton_message_cases.py")


@pytest.mark.gpu
def test_results_on_a_gpu():
    run_cases("triton_message_cases.py", interpret=False)


# (message, aggregate, shared, weighted and with a boundary, storage, compute capability)
VARIANTS = [
    (
        message,
        aggregate,
        (message + aggregate) % 2 == 0,
        aggregate % 2 == 0,
        ("*fp32", "*bf16")[message % 2],
        capability,
    )
    for (message, aggregate), capability in zip(
        itertools.product(range(3), range(5)), itertools.cycle([80, 90]), strict=False
    )
]


@pytest.mark.parametrize(("message", "aggregate", "shared", "full", "storage", "capability"), VARIANTS)
def test_compiles(
    message: int,
    aggregate: int,
    shared: bool,
    full: bool,
    storage: str,
    capability: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    from gnnkg.ops.message import triton_backward as backward
    from gnnkg.ops.message import triton_forward as forward

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    types = dict.fromkeys(IDS, "*i64") | dict.fromkeys(PLACES, "*i32") | dict.fromkeys(SIZES, "i32")
    types |= dict.fromkeys(STORED, storage) | {"plane": "i64"}
    tile = {"tile_e": 2, "tile_u": 16, "tile_s": 2, "tile_c": 16}
    constants = {"message": message, "aggregate": aggregate, "shared": shared, **tile}
    absent = {} if full else {"weight": None, "boundary": None}
    # Triton makes a constant of a size that is 1.
    for ones in ({}, {"num_parts": 1, "num_units": 1, "num_edges": 1, "num_split": 1, "span": 1, "relation_width": 1}):
        if ones and (message, aggregate) not in ((0, 4), (2, 0)):
            continue
        compiles(forward.forward, {**constants, **absent, **ones}, types, "*fp32", capability)
        if message == 0:  # it knows of no messages
            compiles(forward.merge, {**constants, **ones}, types, "*fp32", capability)
        given = {**constants, **absent, **ones, "by_relation": aggregate % 2 == 0}
        compiles(backward.backward, given, types, "*fp32", capability)
        if full:
            compiles(backward.backward_weight, {**constants, **ones}, types, "*fp32", capability)
