"""The Triton kernels of matching and ranking, without a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ops.without_gpu import compiles, run_cases

pytest.importorskip("triton", reason="Triton is not installed: pip install triton")


def test_results_in_the_interpreter():
    run_cases("triton_cases.py")


@pytest.mark.parametrize("op", range(4))
@pytest.mark.parametrize("per_candidate", [False, True])
def test_matching_compiles(op: int, per_candidate: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from gnnkg.ops.matching import triton as matching

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    constants = {"op": op, "per_candidate": per_candidate, "tile_q": 2, "tile_k": 8, "tile_u": 4}
    sizes = {"group": "i32", "num_candidates": "i32", "num_units": "i32"}
    for kernel in (matching._forward, matching._backward_query, matching._backward_tail):
        compiles(kernel, constants, sizes, otherwise="*fp32")


@pytest.mark.parametrize(("op", "form"), [(op, form) for op in range(5) for form in range(4) if 0 in (op, form)])
def test_matching_with_masks_of_pairs_compiles(op: int, form: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from gnnkg.ops.matching import triton_drawn as matching

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    constants = {"op": op, "form": form, "tile_q": 2, "tile_k": 8, "tile_u": 4}
    sizes = dict.fromkeys(("start", "salt", "bound", "rows", "group", "num_candidates", "num_units"), "i32")
    for kernel in (matching._forward, matching._backward_query, matching._backward_tail):
        compiles(kernel, constants, sizes, otherwise="*fp32")


def test_ranking_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from gnnkg.ops.ranking import triton as ranking

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    sizes = {"scores": "*fp32", "num_candidates": "i32", "query_stride": "i32", "candidate_stride": "i32"}
    compiles(ranking._count, {"block": 1024}, sizes, otherwise="*i64")
