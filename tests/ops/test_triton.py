"""The Triton kernels: their results in Triton's interpreter, and that they compile for a GPU. Neither needs one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="Triton is not installed: pip install triton")


def test_results_in_the_interpreter():
    """In a process of its own: Triton decides when it is imported whether it interprets."""
    cases = Path(__file__).with_name("triton_cases.py")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(cases)]
    done = subprocess.run(command, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("op", range(4))
@pytest.mark.parametrize("per_candidate", [False, True])
def test_matching_compiles(op: int, per_candidate: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from gnnkg.ops.matching import triton as matching

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    constants = {"op": op, "per_candidate": per_candidate, "tile_q": 2, "tile_k": 8, "tile_u": 4}
    sizes = {"group": "i32", "num_candidates": "i32", "num_units": "i32"}
    for kernel in (matching._forward, matching._backward_query, matching._backward_tail):
        compiles(kernel, constants, sizes, otherwise="*fp32")


def test_ranking_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from gnnkg.ops.ranking import triton as ranking

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    sizes = {"scores": "*fp32", "num_candidates": "i32", "query_stride": "i32", "candidate_stride": "i32"}
    compiles(ranking._count, {"block": 1024}, sizes, otherwise="*i64")


def compiles(kernel, constants: dict[str, int], types: dict[str, str], otherwise: str) -> None:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    signature = {name: "constexpr" if name in constants else types.get(name, otherwise) for name in kernel.arg_names}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    compiled = triton.compile(source, target=GPUTarget("cuda", 80, 32), options={"enable_fp_fusion": True})
    assert ".target sm_80" in compiled.asm["ptx"]
