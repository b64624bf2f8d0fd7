"""Numba kernels for CPU: how they are compiled, and how their tasks are shared among threads.

A kernel is ``kernel(first, last, *arrays)``: it does the tasks [first, last), each of which writes results that no other task
touches. So the result does not depend on the number of threads, to the last bit. The threads are Python's own, with the
interpreter's lock released: no OpenMP or TBB runtime that may be missing, clash with torch's, or break after a fork.
"""

from __future__ import annotations

import ctypes
import hashlib
import inspect
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numba
import torch
from torch import Tensor

# Everything of fast math but the assumption that there is no NaN and no infinity: both must come through.
FAST_MATH = {"reassoc", "contract", "arcp", "nsz", "afn"}

# Element operations that are worth waking a thread for, which takes about 50 microseconds.
WORK_PER_THREAD = 400_000

LARGE, PAGE = 1 << 22, 4096
"""bytes from which on huge pages are asked for, and of a page"""
HUGE_PAGES = 14
"""MADV_HUGEPAGE of Linux"""

MOST_THREADS = int(os.environ.get("NUMBA_NUM_THREADS") or os.cpu_count() or 1)


def kernel(function: Callable[..., Any], fast_math: set[str] = FAST_MATH, **more: Any) -> Any:
    """Compile at the first call, and keep the machine code on disk where some cache folder can be written.

    It is kept under a name that changes with every file of ``gnnkg.ops``: Numba's own cache notices a change only in the file that
    a function stands in, and not in what it calls.
    """
    bare = inspect.unwrap(function)  # shape checks may have wrapped it, and Numba compiles what it is given
    if not bare.__qualname__.endswith(_sources()):
        bare.__qualname__ += _sources()
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": fast_math, **more}
    try:
        return numba.njit(cache=True, **options)(bare)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return numba.njit(**options)(bare)


@cache
def _sources() -> str:
    """A name for what all files of ``gnnkg.ops`` say."""
    found = hashlib.sha256()
    for file in sorted(Path(__file__).parent.rglob("*.py")):
        found.update(file.read_bytes())
    return f"_{found.hexdigest()[:12]}"


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="gnnkg")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork


def threads(work: int) -> int:
    """How many threads so many element operations are worth."""
    return min(torch.get_num_threads(), MOST_THREADS, 1 + work // WORK_PER_THREAD)


def run(kernel: Callable[..., Any], num_tasks: int, work: int, *arguments: Any) -> None:
    """``kernel`` over all tasks, on at most torch.get_num_threads() and NUMBA_NUM_THREADS threads.

    ``work`` is the number of element operations, a hint: little work is not worth a second thread. Tensors among the
    arguments are passed as arrays.
    """
    arrays = [a.detach().numpy() if isinstance(a, Tensor) else a for a in arguments]
    num_threads = min(threads(work), num_tasks)
    if num_threads <= 1:
        kernel(0, num_tasks, *arrays)
        return
    chunk = -(-num_tasks // (4 * num_threads))
    starts = iter(range(0, num_tasks, chunk))  # shared: whoever is free takes the next chunk

    def help_out() -> None:
        for first in starts:
            kernel(first, min(first + chunk, num_tasks), *arrays)

    helpers = [_pool().submit(help_out) for _ in range(num_threads - 1)]
    help_out()
    for helper in helpers:
        if not helper.cancel():
            helper.result()


def empty(*shape: int) -> Tensor:
    """An uninitialised float32 tensor for which the system is asked for huge pages.

    Otherwise a fresh tensor of 100 MB costs 25,000 page faults, several times what it takes to fill it.
    """
    tensor = torch.empty(shape, dtype=torch.float32)  # whatever the default is
    size = tensor.numel() * tensor.element_size()
    if size >= LARGE and (advise := _madvise()) is not None:
        start = -(-tensor.data_ptr() // PAGE) * PAGE
        advise(
            start, tensor.data_ptr() + size - start, HUGE_PAGES
        )  # advice: where the system has none, nothing is lost
    return tensor


@cache
def _madvise() -> Any:
    """The system's function of this name, where huge pages are to be asked for: on Linux."""
    if sys.platform != "linux":
        return None
    function = ctypes.CDLL(None).madvise
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return function
