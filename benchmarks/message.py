"""Message passing on CPU beside DGL's kernels and plain torch, forward and backward.

    python benchmarks/message.py [--threads 2] [--repeats 9] [--only 'sum 1 x 64'] [--json FILE]

Runs the ops' tests first and times nothing while they fail. The graph is that of FB15k-237 where GNNKG_DATASETS has it, else one
of its size with degrees as skewed. Times are medians in milliseconds, measured in turns, so that all see the same machine; ``cpu``
is the processor time over the number of threads, which other processes disturb less.

    smallest bytes    x, relations, boundary and weight read, out written; its gradient and the inputs read, gradients written
    edge bytes        what edges read and write one by one: x_u and w_r forward, x_u, w_r, dx_u and dw_r backward, and the last two
                      written; most of it from caches

Bandwidth is smallest bytes over time, to be seen beside that of a copy. Memory is the most that a pass adds to its inputs
(resident, looked at every millisecond), each in a process of its own. DGL takes a relation vector for each edge, gathered before
(``with gather``: inside the time); the sum alone, as its PNA would be four such passes. Plain torch is the definition, which
keeps several vectors an edge.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import torch
from torch import Tensor

from gnnkg._dgl import dgl
from gnnkg.ops.backends import use_reference
from gnnkg.ops.message import Adjacency, propagate

ROOT = Path(__file__).parents[1]
NODES, EDGES, RELATIONS = 14_541, 544_230, 474
MOST_FOR_OTHERS = 256
"""widths up to which DGL and plain torch are timed: 1,024 numbers an edge are 2.2 GB, several times over"""


class Work(NamedTuple):
    name: str
    states: int
    width: int
    dtype: str = "float32"
    aggregate: str = "sum"
    nbfnet: bool = False
    """relations of each state, a boundary, and a weight of 0 or 1"""


WORK = [
    *(Work("", 1, width, *kind) for width in (64, 256, 1024) for kind in (("float32",), ("bfloat16",))),
    *(Work("", 1, w, kind, "pna") for w in (64, 256, 1024) for kind in ("float32", "bfloat16")),
    *(Work("NBFNet", 16, 32, kind, "pna", True) for kind in ("float32", "bfloat16")),
]


def graph() -> tuple[str, Adjacency]:
    if os.environ.get("GNNKG_DATASETS"):
        from gnnkg import load

        return "FB15k-237", load("fb15k-237").graph.messages.edges
    random = torch.Generator().manual_seed(0)
    # As in FB15k-237: a few nodes have thousands of edges, most have some ten.
    popular = torch.randperm(NODES, generator=random).add(10).float().pow(-0.75)
    source, target = torch.multinomial(popular, EDGES, replacement=True, generator=random).view(2, -1)
    common = torch.arange(1, RELATIONS // 2 + 1).float().pow(-1)
    relation = torch.multinomial(common, len(source), replacement=True, generator=random)
    return "generated", Adjacency.of(
        torch.cat([source, target]),
        torch.cat([relation, relation + RELATIONS // 2]),
        torch.cat([target, source]),
        NODES,
        RELATIONS,
    )


def inputs(work: Work, edges: Adjacency) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    dtype = getattr(torch, work.dtype)
    shape = edges.num_nodes, work.states, work.width
    rows = (work.states, work.width) if work.nbfnet else (work.width,)
    x, relation = torch.randn(shape).to(dtype), torch.randn(edges.num_relations, *rows).to(dtype)
    if not work.nbfnet:
        return x.requires_grad_(), relation.requires_grad_(), None, None
    weight = (torch.rand(len(edges)) < 0.99).float()
    return x.requires_grad_(), relation.requires_grad_(), weight, torch.randn(shape).to(dtype).requires_grad_()


Pass = Callable[[], object]


def passes(forward: Callable[[], Tensor], leaves: list[Tensor]) -> Pass:
    upstream: list[Tensor] = []

    def both() -> object:
        out = forward()
        if not upstream:
            upstream.append(torch.randn_like(out))
        return torch.autograd.grad(out, leaves, upstream[0])

    return both


def candidates(work: Work, edges: Adjacency) -> dict[str, Pass]:
    """The ways to do the same work, by name."""
    x, relation, weight, boundary = inputs(work, edges)
    leaves = [leaf for leaf in (x, relation, boundary) if leaf is not None]

    def ours() -> Tensor:
        return propagate(x, relation, edges, weight, boundary, "mul", work.aggregate)  # type: ignore[arg-type]

    def plain() -> Tensor:
        with use_reference():
            return ours()

    found = {"gnnkg": passes(ours, leaves)}
    wide = work.states * work.width > MOST_FOR_OTHERS or work.dtype != "float32"
    if not wide:
        found["torch"] = passes(plain, leaves)
    if not wide and work.aggregate == "sum":
        stated = dgl.graph((edges.source, edges.target), num_nodes=edges.num_nodes)
        flat = x.detach()[:, 0].requires_grad_()
        gathered = relation.detach()[edges.relation].requires_grad_()
        found["dgl"] = passes(lambda: dgl.ops.u_mul_e_sum(stated, flat, gathered), [flat, gathered])
        found["dgl with gather"] = passes(
            lambda: dgl.ops.u_mul_e_sum(stated, flat, relation[edges.relation]), [flat, relation]
        )
    return found


def traffic(work: Work, edges: Adjacency) -> tuple[int, int]:
    """Smallest bytes and edge bytes, as the docstring of this file states."""
    x, relation, weight, boundary = inputs(work, edges)
    parts = 4 if work.aggregate == "pna" else 1
    given = [tensor for tensor in (x, relation, weight, boundary) if tensor is not None]
    read = sum(tensor.numel() * tensor.element_size() for tensor in given) + 12 * len(edges)  # three indices of 4 bytes
    out = parts * x.numel() * x.element_size()
    trained = sum(tensor.numel() * tensor.element_size() for tensor in given if tensor.requires_grad)
    per_edge = (2 + 4 + 2) * 4 * work.states * work.width
    return 2 * read + 2 * out + trained, per_edge * len(edges)


def timed(found: dict[str, Pass], repeats: int) -> dict[str, dict[str, float]]:
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in found}
    for turn in range(repeats + 1):
        for name, call in found.items():
            if name != "gnnkg" and turn > 3:
                continue
            start = time.perf_counter(), time.process_time()
            call()
            if turn:  # the first one compiles, and warms the caches
                seconds[name].append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return {
        name: {
            "milliseconds": 1e3 * statistics.median(wall for wall, _ in times),
            "fastest": 1e3 * min(wall for wall, _ in times),
            "cpu": 1e3 * statistics.median(cpu for _, cpu in times) / torch.get_num_threads(),
        }
        for name, times in seconds.items()
    }


def added_memory(work: Work, name: str, threads: int) -> int:
    """Bytes that one pass adds to its inputs, measured in a process of its own."""
    command = [sys.executable, __file__, "--threads", str(threads), "--peak", json.dumps([*work]), name]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def print_peak(work: Work, name: str) -> None:
    _, edges = graph()
    small = Adjacency.of(*(torch.zeros(1, dtype=torch.int64) for _ in range(3)), 1, 1)
    candidates(work._replace(width=16, states=1 + work.nbfnet), small)["gnnkg"]()  # compiles
    call = candidates(work, edges)[name]
    process, done = psutil.Process(), threading.Event()
    before = process.memory_info().rss
    seen = [before]

    def watch() -> None:
        while not done.wait(0.001):
            seen.append(process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    kept = call()
    seen.append(process.memory_info().rss)
    done.set()
    watcher.join()
    del kept
    print(max(seen) - before)


def copy_bandwidth() -> float:
    """Bytes a second that are read and written while 256 MB are copied."""
    source = torch.ones(2**26)
    target = torch.empty_like(source)
    times = []
    for _ in range(9):
        start = time.perf_counter()
        target.copy_(source)
        times.append(time.perf_counter() - start)
    return 2 * 4 * source.numel() / min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--only", help="work whose description holds these words")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    if arguments.peak:
        print_peak(Work(*json.loads(arguments.peak[0])), arguments.peak[1])
        return
    if subprocess.run([sys.executable, "-m", "pytest", "tests/ops/test_message.py"], cwd=ROOT, check=False).returncode:
        sys.exit("the tests of message passing fail: nothing is timed")
    from recorded import record

    name, edges = graph()
    copied = copy_bandwidth()
    print(f"{name}: {edges.num_nodes:,} nodes, {len(edges):,} edges, {edges.num_relations} relations")
    print(f"{torch.get_num_threads()} threads; a copy moves {copied / 1e9:.1f} GB/s")
    about = {"graph": name, "threads": torch.get_num_threads(), "copy_bytes_per_second": copied}
    rows: list[dict[str, Any]] = []
    for work in WORK:
        title = f"{work.name} mul {work.aggregate} {work.states} x {work.width} {work.dtype}".strip()
        if arguments.only and arguments.only not in title:
            continue
        found = candidates(work, edges)
        times = timed(found, arguments.repeats)
        del found
        smallest, by_edge = traffic(work, edges)
        row: dict[str, Any] = {"work": title, "smallest_bytes": smallest, "edge_bytes": by_edge, "times": times}
        row["memory"] = {way: added_memory(work, way, arguments.threads) for way in times}
        ours = times["gnnkg"]
        row["bytes_per_second"] = smallest / ours["milliseconds"] * 1e3
        rows.append(row)
        others = "".join(
            f"   {way} {t['milliseconds']:.1f} ms ({t['milliseconds'] / ours['milliseconds']:.1f}x),"
            f" {row['memory'][way] / 2**20:.0f} MiB"
            for way, t in times.items()
            if way != "gnnkg"
        )
        print(
            f"{title:34} {ours['milliseconds']:8.2f} ms, fastest {ours['fastest']:8.2f}, cpu {ours['cpu']:8.2f},"
            f" {row['bytes_per_second'] / 1e9:5.1f} GB/s of {smallest / 1e6:.0f} MB,"
            f" {by_edge / ours['milliseconds'] / 1e6:5.0f} GB/s by edges, {row['memory']['gnnkg'] / 2**20:.0f} MiB{others}",
            flush=True,
        )
        record(arguments.json, **about, rows=rows)  # after each row: a run that is stopped keeps what it has


if __name__ == "__main__":
    main()
