"""The Triton kernels against the definition. ``test_triton.py`` runs this file in an interpreter of its own, without a GPU."""

from __future__ import annotations

import math

import pytest
import torch

from gnnkg.ops import backends, matching
from tests.ops.cases import (
    DISTANCES,
    FORMS,
    LAYOUTS,
    OPS,
    SHAPES,
    Shape,
    check_both,
    check_matching,
    check_own_first,
    check_ranking,
    inputs,
)

TILES, TABLES_OF_TILES = Shape(1, 9, 33, 17), Shape(2, 18, 33, 17)
"""one more of everything than a tile holds; in two tables, the slowest of all"""


@pytest.fixture(autouse=True)
def triton_on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = backends.choose
    monkeypatch.setattr(backends, "choose", lambda *tensors: chosen(*tensors).replace("numba", "triton"))


@pytest.mark.parametrize("op", DISTANCES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_equals_the_definition(op: str, layout: str):
    for shape in (*SHAPES[:3], SHAPES[4], TABLES_OF_TILES if layout in ("none", "both") else TILES):
        check_matching(op, inputs(op, shape, layout))


@pytest.mark.parametrize("form", FORMS)
def test_dot_with_masks_of_pairs(form: str):
    for shape in (*SHAPES[:3], SHAPES[4], TABLES_OF_TILES if form == "both" else TILES):
        check_matching("dot", inputs("dot", shape, form))


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("layout", ["query", "candidate", "group", "both"])
def test_both(op: str, layout: str):
    for shape in (SHAPES[0], Shape(1, 26, 9, 5) if layout == "group" else SHAPES[2]):
        check_both(op, inputs(op, shape, layout))


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("layout", ["none", "query", "candidate", "both"])
def test_own_tails_first_and_a_margin(op: str, layout: str):
    for shape in (SHAPES[0], SHAPES[2], Shape(1, 0, 3, 2)):
        check_own_first(op, inputs(op, shape, layout), None if op == "dot" else 9.0)


@pytest.mark.parametrize("op", DISTANCES)
def test_empty(op: str):
    given = inputs(op, Shape(1, 3, 0, 2)).to(torch.float32)
    assert given.call(matching, op).shape == (3, 0)


def test_rank_counts():
    check_ranking([[0.0, math.nan, 1, 1, math.inf], [2.0, 2, 2, math.nan, -math.inf]], [2, 3], [[2, 0], []])
    check_ranking([[0.0, 1, 1, 1, 3], [2.0, 2, 2, 2, 2]], [2, 1, 4], [[4], [1, 2], [0, 1, 2, 3]], [0, 1, 0])
    scores = torch.randint(0, 9, (3, 2500)).float()
    known = [torch.randint(0, 2500, (size,)).tolist() for size in (0, 3, 1500)]
    check_ranking(scores.tolist(), [0, 2499, 1024], known)
