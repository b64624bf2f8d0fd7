from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numba
import pytest
import torch

from gnnkg.ops import cpu


@cpu.kernel
def count_visits(first, last, visits):
    for task in range(first, last):
        visits[task] += 1


@pytest.mark.parametrize("num_tasks", [0, 1, 2, 3, 1000])
@pytest.mark.parametrize("work", [0, 10**9])
def test_each_task_is_done_once(num_tasks: int, work: int):
    visits = torch.zeros(num_tasks, dtype=torch.int64)
    cpu.run(count_visits, num_tasks, work, visits)
    assert (visits == 1).all()


def test_several_callers_at_a_time():
    def call(_: int) -> bool:
        visits = torch.zeros(500, dtype=torch.int64)
        cpu.run(count_visits, 500, 10**9, visits)
        return bool((visits == 1).all())

    with ThreadPoolExecutor(4) as callers:
        assert all(callers.map(call, range(50)))


def test_an_error_in_any_thread_is_raised():
    def fail_late(first: int, last: int) -> None:
        if last == 100:
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        cpu.run(fail_late, 100, 10**9)


def test_no_more_threads_than_torch_has(monkeypatch):
    monkeypatch.setattr(cpu, "MOST_THREADS", 8)
    monkeypatch.setattr(cpu, "_pool", lambda: pytest.fail("a second thread was woken"))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        test_each_task_is_done_once(1000, 10**9)
        torch.set_num_threads(8)
        test_each_task_is_done_once(1000, 10)  # too little work
    finally:
        torch.set_num_threads(threads)


def test_a_kernel_compiles_where_nothing_can_be_cached():
    """Numba refuses to cache a function that stands in no file, as it does where no folder can be written."""
    namespace: dict = {}
    exec("def double(x):\n    return x * 2", namespace)
    with pytest.raises(RuntimeError, match="cannot cache"):
        numba.njit(cache=True)(namespace["double"])
    assert cpu.kernel(namespace["double"])(21) == 42


def test_memory_is_aligned_and_shows_what_nobody_wrote():
    for shape in ((), (3,), (7, 5), (0, 4)):
        memory = cpu.empty(*shape)
        assert memory.shape == shape
        assert memory.data_ptr() % 64 == 0 or not memory.numel()
        assert memory.isnan().all()  # under deterministic algorithms, as in all tests


FORK = """
import os, torch
torch.set_num_threads(2)
from gnnkg.ops import matching

query, tail = torch.randn(200, 64), torch.randn(1, 500, 64)
expected = matching.l1(query, tail)
child = os.fork()
if child == 0:
    os._exit(0 if torch.equal(matching.l1(query, tail), expected) else 1)
assert os.waitpid(child, 0)[1] == 0
assert torch.equal(matching.l1(query, tail), expected)
"""


@pytest.mark.skipif(not hasattr(cpu.os, "fork"), reason="needs fork")
def test_a_forked_process_starts_threads_of_its_own():
    subprocess.run([sys.executable, "-c", FORK], check=True, timeout=120)


def test_a_kernel_is_kept_under_what_all_ops_say():
    assert count_visits.py_func.__qualname__ == f"count_visits{cpu._sources()}"
    assert cpu.kernel(count_visits.py_func).py_func.__qualname__ == count_visits.py_func.__qualname__
