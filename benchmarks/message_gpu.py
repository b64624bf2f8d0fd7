"""Message passing on a GPU against its memory: ``python benchmarks/message_gpu.py [--repeats 30] > FILE.json``.

Runs the kernels' tests first and prints nothing while they fail. The graph has FB15k-237's sizes, with inverse edges, and hubs:
entity and relation ids are drawn with probability falling in their rank. Widths are B D with D = 32, as in NBFNet; relations
are each state's own. Times are medians in milliseconds, by CUDA events; caches are left as a call leaves them.

``bytes`` counts what must be read and written if a cache were large enough for each kernel to touch an array once. With s bytes
a number, N nodes, R relations, E edges and W columns, planes of N W numbers, and ids of 8 bytes:

    forward     s W (N + R) + 16 E + 4 N                x, relations, sources and relations of edges, counts
                + s N W                                 sum: out
                + 4 s N W + 16 N W                      pna: out; mean, slope and two places
    backward    2 s W (N + R) + 2 (24 E)                by source and by relation: other factor, own gradient, ids
                + 2 s N W                               sum: gradient, twice
                + 2 (2 s N W + 16 N W) + s W (N + R)    pna: two gradients, base, slope, two places, twice; own factor
                + 2 s N W + 16 N W                      pna: gradients, mean and slope to base and slope, once

``floor`` is their time at the bandwidth at which this GPU copies 1 GiB, and ``ratio`` the time measured over it. ``gathered``
counts the rows of x and relations once an edge, 2 s E W: what the caches have to serve in a forward pass.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import triton
from torch import Tensor

from gnnkg.ops.message import Adjacency, Aggregate
from gnnkg.ops.message import triton as backend
from gnnkg.ops.message.fused import Propagate

ENTITIES, RELATIONS, FACTS, DIM = 14_541, 237, 272_115, 32
WIDTHS = (64, 256, 1024)
ROOT = Path(__file__).parents[1]


def milliseconds(call: Callable[[], object], repeats: int) -> float:
    for _ in range(3):  # compiles, and warms up
        call()
    times = []
    for _ in range(repeats):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        stop.record()
        stop.synchronize()
        times.append(start.elapsed_time(stop))
    return statistics.median(times)


def copy_bandwidth(repeats: int) -> float:
    """Bytes a second, read and written."""
    source = torch.empty(2**28, device="cuda")
    copy = torch.empty_like(source)
    return 2 * source.nbytes / (1e-3 * milliseconds(lambda: copy.copy_(source), repeats))


def graph() -> Adjacency:
    generator = torch.Generator().manual_seed(0)

    def drawn(number: int, exponent: float) -> Tensor:
        chances = torch.arange(1, number + 1).double() ** -exponent
        return torch.multinomial(chances, FACTS, replacement=True, generator=generator)

    head, relation, tail = drawn(ENTITIES, 0.6), drawn(RELATIONS, 0.7), drawn(ENTITIES, 0.8)
    source, target = torch.cat([head, tail]).cuda(), torch.cat([tail, head]).cuda()
    return Adjacency.of(source, torch.cat([relation, relation + RELATIONS]).cuda(), target, ENTITIES, 2 * RELATIONS)


def forward_bytes(size: int, width: int, edges: Adjacency, pna: bool) -> int:
    plane, table = edges.num_nodes * width, edges.num_relations * width
    out = (4 * size + 16) * plane if pna else size * plane
    return size * (plane + table) + 16 * len(edges) + 4 * edges.num_nodes + out


def backward_bytes(size: int, width: int, edges: Adjacency, pna: bool) -> int:
    plane, table = edges.num_nodes * width, edges.num_relations * width
    passes = 2 * size * (plane + table) + 2 * 24 * len(edges)
    if not pna:
        return passes + 2 * size * plane
    return passes + 3 * (2 * size + 16) * plane + size * (plane + table)


def measure(edges: Adjacency, width: int, dtype: torch.dtype, aggregate: Aggregate, repeats: int) -> list[dict]:
    states = width // DIM
    x = torch.randn(edges.num_nodes, states, DIM, device="cuda", dtype=dtype, requires_grad=True)
    relation = torch.randn(edges.num_relations, states, DIM, device="cuda", dtype=dtype, requires_grad=True)

    def forward() -> Tensor:
        return Propagate.apply(backend, edges, "mul", aggregate, x, relation, None, None)

    gradient = torch.randn_like(forward())
    size, pna = x.element_size(), aggregate == "pna"
    once = forward_bytes(size, width, edges, pna)
    case = {"width": width, "dtype": str(dtype).removeprefix("torch."), "aggregate": aggregate}
    gathered = 2 * size * len(edges) * width
    return [
        {**case, "pass": "forward", "ms": milliseconds(forward, repeats), "bytes": once, "gathered": gathered},
        {
            **case,
            "pass": "forward and backward",
            "ms": milliseconds(lambda: torch.autograd.grad(forward(), (x, relation), gradient), repeats),
            "bytes": once + backward_bytes(size, width, edges, pna),
        },
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=30)
    repeats = parser.parse_args().repeats
    if not torch.cuda.is_available():
        sys.exit("there is no CUDA device to time")
    tests = [sys.executable, "-m", "pytest", "tests/ops/test_triton_message.py"]
    if subprocess.run(tests, cwd=ROOT, capture_output=True, check=False).returncode:
        sys.exit("the tests of the kernels fail: nothing is timed")
    edges, bandwidth, results = graph(), copy_bandwidth(repeats), []
    for width in WIDTHS:
        for dtype in (torch.float32, torch.bfloat16):
            for aggregate in ("sum", "pna"):
                for result in measure(edges, width, dtype, aggregate, repeats):
                    floor = 1e3 * result["bytes"] / bandwidth
                    results.append({**result, "floor": floor, "ratio": result["ms"] / floor})
    report = {
        "gpu": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "triton": triton.__version__,
        "copy_gb_per_second": bandwidth / 1e9,
        "edges": len(edges),
        "largest_in_degree": int(edges.starts.diff().max()),
        "results": results,
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
