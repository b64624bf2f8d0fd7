"""The fast ops against plain torch, side by side: ``python benchmarks/ops.py [--threads 2] [--repeats 7] [--json FILE]``.

Runs the ops' tests first and times nothing while they fail. Sizes are those of FB15k-237: 1,000 queries and 256 candidates of
100 units (complex numbers for ``modulus``) in training, all 14,541 entities in evaluation. Times are medians in milliseconds;
GB/s counts what has to be read and written at least: inputs, results and their gradients, once each.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numba
import torch
from torch import Tensor

from gnnkg.ops import cpu, matching, ranking
from gnnkg.ops.backends import use_reference
from gnnkg.ops.matching import Mix, reference

UNITS, ENTITIES, TEST_QUERIES = 100, 14_541, 40_932
ROOT = Path(__file__).parents[1]


def milliseconds(call: Callable[[], object], repeats: int) -> float:
    call()  # compiles, and warms the caches
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def matching_cases(queries: int, candidates: int, tables: int, backward: bool, layouts: tuple[str, ...] = ("none",)):
    """(name, bytes, call, other ways to do it by name) of every op."""
    for op in ("dot", "l1", "squared", "modulus", "sine"):
        width = 2 * UNITS if op == "modulus" else UNITS
        query, own, tail = (
            torch.randn(queries, width),
            torch.randn(queries, width),
            torch.randn(tables, candidates, width),
        )
        leaves = [leaf.requires_grad_(backward) for leaf in (query, tail, own)]
        gradient = torch.randn(queries, candidates)
        size = 4 * (2 if backward else 1) * (query.numel() + tail.numel() + gradient.numel())
        for layout in layouts:
            rows = {"none": (), "query": (queries,), "candidate": (tables, candidates)}[layout]
            keep = (torch.rand(*rows, UNITS) < 0.9).float().repeat(*(1 for _ in rows), width // UNITS)
            mix = None if layout == "none" else Mix(own, keep)

            def timed(forward: Callable[[], Tensor], leaves=leaves, gradient=gradient) -> Callable[[], object]:
                def step() -> object:
                    scores = forward()
                    return torch.autograd.grad(scores, leaves, gradient, allow_unused=True) if backward else scores

                return step

            def called(module: object, op=op, query=query, tail=tail, mix=mix) -> Callable[[], Tensor]:
                return lambda: getattr(module, op)(query, tail, mix)

            others = {"broadcast": timed(called(reference))}
            if op in ("l1", "squared") and mix is None and tables == 1:
                power = 1 if op == "l1" else 2
                others["cdist"] = timed(lambda q=query, t=tail, p=power: torch.cdist(q, t[0], p=p))
            name = f"{op} {queries} x {candidates}, {tables} table{'s' * (tables > 1)}"
            yield name + ("" if mix is None else f", mask a {layout}"), size, timed(called(matching)), others


def ranking_case(queries: int):
    scores = torch.randn(queries, ENTITIES)
    truth = torch.randint(ENTITIES, (queries,))
    tails = torch.randint(ENTITIES, (queries, 20)).sort(1).values.flatten()
    known = torch.arange(0, len(tails) + 1, 20), tails

    def ours() -> object:
        return ranking.rank_counts(scores, truth, known)

    def mask() -> object:
        with use_reference():
            return ours()

    return f"rank_counts {queries} x {ENTITIES}", 4 * scores.numel(), ours, {"mask": mask}


def evaluation_case(block: int):
    """Scores and ranks of as many queries as FB15k-237 tests, for DistMult."""
    query, tail = torch.randn(TEST_QUERIES, UNITS), torch.randn(1, ENTITIES, UNITS)
    truth = torch.randint(ENTITIES, (TEST_QUERIES,))

    def ours() -> None:
        for first in range(0, TEST_QUERIES, block):
            rows, answers = query[first : first + block], truth[first : first + block]
            known = torch.arange(len(rows) + 1), answers
            ranking.rank_counts(matching.dot(rows, tail), answers, known)

    return f"dot and rank_counts, {TEST_QUERIES} x {ENTITIES}", 4 * TEST_QUERIES * ENTITIES, ours, {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    arguments = parser.parse_args()
    if subprocess.run([sys.executable, "-m", "pytest", "tests/ops"], cwd=ROOT, check=False).returncode:
        sys.exit("the ops' tests fail: nothing is timed")
    torch.set_num_threads(min(arguments.threads, cpu.MOST_THREADS))
    print(
        f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, numba {numba.__version__}"
    )
    results = []
    for title, cases in (
        ("forward and backward", matching_cases(1000, 256, 1, True, ("none", "query", "candidate"))),
        ("forward and backward, each query its own candidates", matching_cases(1000, 256, 1000, True)),
        ("forward", matching_cases(64, ENTITIES, 1, False)),
        ("ranking", [ranking_case(64), ranking_case(256), evaluation_case(64)]),
    ):
        print(f"\n{title}")
        for name, size, ours, others in cases:
            time_ours = milliseconds(ours, arguments.repeats)
            slower = {other: milliseconds(call, min(3, arguments.repeats)) for other, call in others.items()}
            compared = "".join(f"   {other} {t:9.2f} ms ({t / time_ours:5.1f}x)" for other, t in slower.items())
            print(f"  {name:48} {time_ours:9.2f} ms {size / time_ours / 1e6:7.1f} GB/s{compared}", flush=True)
            results.append({"case": title, "name": name, "milliseconds": time_ours, "bytes": size, "others": slower})
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
