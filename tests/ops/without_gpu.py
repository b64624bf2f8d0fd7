"""What shows of Triton kernels without a GPU: their results in Triton's interpreter, and that they compile for one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run_cases(name: str, interpret: bool = True) -> None:
    """In a process of its own: Triton decides when it is imported whether it interprets."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(Path(__file__).with_name(name))]
    environment = {**os.environ, "TRITON_INTERPRET": str(int(interpret))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def compiles(kernel, constants: dict[str, object], types: dict[str, str], otherwise: str, capability: int = 80) -> None:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    signature = {name: "constexpr" if name in constants else types.get(name, otherwise) for name in kernel.arg_names}
    constants = {name: value for name, value in constants.items() if name in signature}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"enable_fp_fusion": True})
    assert f".target sm_{capability}" in compiled.asm["ptx"]
