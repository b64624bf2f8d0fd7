"""Certification against the plain loop of noisy rankings, side by side, on trained models.

    python benchmarks/certify.py RUN [RUN ...] [--queries 60] [--plain 10] [--draws 1000] [--alpha 1] [--threads 1] [--json FILE]

The tests run first, and nothing is timed while they fail. The same random tail queries of the test split are certified in three
ways in one process:

    fast       as ``gnnkg certify`` does it
    to the end the same with every query counted to its last draw (--all-counts)
    plain      float32: each draw scores all entities and is ranked by the fused kernel; only the first ``--plain`` queries

Processor time, because it does not depend on what else the machine does; wall time stands beside it. A query that both count to the
end must have the same count. Forecasts are means times the number of queries.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
from recorded import record

from gnnkg.core import Model
from gnnkg.data.dataset import Dataset
from gnnkg.evaluation.certification import Certificate, Smoothing, certify
from gnnkg.evaluation.certification.question import draws
from gnnkg.experiment import load_run
from gnnkg.graph import KnownTails
from gnnkg.ops import cpu
from gnnkg.ops.ranking import rank_counts

ROOT = Path(__file__).parents[1]
TESTS = ("tests/evaluation/certification",)


@cache
def known_tails(dataset: Dataset) -> KnownTails:
    return dataset.known("train", "valid", "test")


@torch.no_grad()
def plain(model: Model, dataset: Dataset, head: int, relation: int, truth: int, deviation: float, number: int) -> int:
    """The successes of a query, one noisy ranking after the other."""
    lookup, known = model.encoder(dataset.graph), known_tails(dataset)
    ids = torch.tensor([[head], [relation], [truth]])
    vectors, left_out, correct = lookup(ids[0], ids[1]), known.of(ids[0], ids[1]), 0
    for noise in deviation * draws(0, head, relation, (number, vectors.head.shape[1])):
        found = rank_counts(model.scorer(vectors.replace(head=vectors.head + noise)), ids[2], left_out)
        correct += int(found.above + found.equal) == 0
    return correct


Spent = list[tuple[float, float]]
"""processor and wall seconds of each query"""


class Clock:
    """Notes what has passed since the last look."""

    def __init__(self) -> None:
        self.spent: Spent = []
        self.last = self._now()

    def _now(self) -> tuple[float, float]:
        return time.process_time(), time.perf_counter()

    def look(self, *_: object) -> None:
        before, self.last = self.last, self._now()
        self.spent.append((self.last[0] - before[0], self.last[1] - before[1]))


def measure(path: Path, arguments: argparse.Namespace) -> dict[str, object]:
    _, dataset, model, _ = load_run(path)
    quick = Smoothing(alpha=arguments.alpha, draws=arguments.draws)
    ways = {"fast": quick, "to the end": replace(quick, worst_rank=None, give_up=False)}
    spent: dict[str, Spent] = {}
    found: dict[str, Certificate] = {}
    certify(model, dataset, replace(ways["to the end"], seed=1), num_queries=2)  # compiles
    for way, smoothing in ways.items():
        clock = Clock()
        found[way] = certify(model, dataset, smoothing, num_queries=1 + arguments.queries, report=clock.look)
        spent[way] = clock.spent[1:]  # the first query bears the encoding of the graph
    clock, different, compared = Clock(), 0, 0
    for place in range(1, 1 + arguments.plain):
        row = found["fast"].rows[place]
        count = plain(model, dataset, row.head, row.relation, row.truth, found["fast"].deviation, arguments.draws)
        clock.look()
        for certificate in found.values():
            counted = certificate.rows[place].successes
            compared += counted is not None
            different += counted not in (None, count)
    spent["plain"] = clock.spent
    total, figures = len(dataset.test), found["fast"].figures
    report: dict[str, object] = {
        "run": path.name,
        "scorer": type(model.scorer).__name__,
        "width": model.scorer.space.entity_dim,
        "deviation": found["fast"].deviation,
        "queries": arguments.queries,
        "plain queries": arguments.plain,
        "counts compared with the plain loop": compared,
        "counts that differ": different,
        "same radii fast and to the end": bool((found["fast"].radii() == found["to the end"].radii()).all()),
        **{name: figures[name] for name in ("hits", "ca", "acr/sigma", "not tried", "given up", "decided in float64")},
        "smoothed accuracy": found["to the end"].figures["smoothed accuracy"],
    }
    base = statistics.fmean(processor for processor, _ in spent["plain"])
    for way, seconds in spent.items():
        processor, wall = (statistics.fmean(column) for column in zip(*seconds, strict=True))
        report[way] = {
            "milliseconds a query": 1e3 * processor,
            "wall milliseconds a query": 1e3 * wall,
            "times faster than plain": base / processor,
            "forecast in processor seconds, 1,000 queries": 1000 * processor,
            f"forecast in processor seconds, {2 * total:,} queries (test, both directions)": 2 * total * processor,
        }
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--queries", type=int, default=60)
    parser.add_argument("--plain", type=int, default=10)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--alpha", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(min(arguments.threads, cpu.MOST_THREADS))
    if subprocess.run([sys.executable, "-m", "pytest", "-q", *TESTS], cwd=ROOT, check=False).returncode:
        sys.exit("the tests fail: nothing is timed")
    reports = []
    for path in arguments.runs:
        reports.append(measure(path, arguments))
        print(json.dumps(reports[-1], indent=1), flush=True)
    record(arguments.json, threads=torch.get_num_threads(), runs=reports)


if __name__ == "__main__":
    main()
