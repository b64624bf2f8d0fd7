"""Training steps side by side: what ``emu.py`` and ``demix.py`` share.

A step encodes, scores, differentiates and updates, D = 100, on random facts of FB15k-237's sizes. The tests run first, and
nothing is timed while they fail. The ways of a scorer take turns in one process, each of some steps that follow each other as in a
training; the first of a turn, which finds another way's numbers in the caches, does not count, and neither does the first turn.
Times are medians. The process keeps its memory between steps, as ``fit`` has it do. Peak memory is the most that tensors held at
once: the model, its gradients and the optimiser's state, and what a step needs.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from recorded import record

from gnnkg import encoders, scorers
from gnnkg.core import Model, Objective
from gnnkg.data.queries import Queries
from gnnkg.graph import KnowledgeGraph
from gnnkg.lab.memory import PeakMemory
from gnnkg.ops import cpu, heap

ROOT = Path(__file__).parents[1]
ENTITIES, RELATIONS, FACTS, DIM = 14_541, 237, 272_115, 100
TURN = 4
"""steps of a way in its turn, the first of which does not count"""


class Way(NamedTuple):
    objective: Callable[[], Objective]
    beside: str
    """the way that ratios are taken to"""


def random_graph() -> KnowledgeGraph:
    draw = torch.Generator().manual_seed(0)
    columns = [torch.randint(size, (FACTS,), generator=draw) for size in (ENTITIES, RELATIONS, ENTITIES)]
    return KnowledgeGraph(torch.stack(columns, 1), ENTITIES, RELATIONS)


def stepper(graph: KnowledgeGraph, name: str, way: Way, queries: Queries) -> Callable[[int], float]:
    """A training of its own; calling it does a step and gives the loss."""
    torch.manual_seed(0)
    scorer = getattr(scorers, name)(dim=DIM)
    model = Model(encoders.Table(graph, scorer.space), scorer)
    objective = way.objective()
    optimizer = torch.optim.Adagrad(model.parameters(), lr=0.05, fused=True)
    plan = queries.of(graph, seed=0)

    def step(number: int) -> float:
        torch.manual_seed(number)
        optimizer.zero_grad()
        loss = torch.stack(list(objective(model, plan[number]).values())).sum()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def memory(graph: KnowledgeGraph, name: str, way: Way, queries: Queries) -> int:
    """The most bytes that tensors held while a model was made and trained by two steps, where kernels are compiled already."""
    with PeakMemory() as peak:
        step = stepper(graph, name, way, queries)
        for number in (0, 1):
            step(number)
    return peak.peak


def main(
    about: str | None, ways: Mapping[str, Way], queries: Queries, tests: Sequence[str], known: Sequence[str]
) -> None:
    """Times and weighs the ways that the command line names; ``known`` are the scorers that there are to choose from."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scorers", nargs="*", choices=known, default=known)
    parser.add_argument("--ways", nargs="*", choices=tuple(ways), default=tuple(ways))
    parser.add_argument("--turns", type=int, default=4, help=f"that count, each of {TURN - 1} steps")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    arguments = parser.parse_args()
    if arguments.turns < 1:
        parser.error(f"--turns must be 1 or more, not {arguments.turns}")
    torch.set_num_threads(min(arguments.threads, cpu.MOST_THREADS))
    if subprocess.run([sys.executable, "-m", "pytest", *tests], cwd=ROOT, check=False).returncode:
        sys.exit("the tests fail: nothing is timed")
    heap.keep()
    graph, results = random_graph(), []
    for name in arguments.scorers:
        steps = {way: stepper(graph, name, ways[way], queries) for way in arguments.ways}
        seconds: dict[str, list[float]] = {way: [] for way in steps}
        for turn in range(1 + arguments.turns):
            for way, step in steps.items():
                for place in range(TURN):
                    start = time.perf_counter()
                    step(turn * TURN + place)
                    if turn and place:
                        seconds[way].append(time.perf_counter() - start)
        print(f"\n{name}")
        rows: dict[str, dict[str, object]] = {}
        for way in steps:
            row = {"scorer": name, "way": way, "peak_tensor_bytes": memory(graph, name, ways[way], queries)}
            row["milliseconds"] = 1e3 * statistics.median(seconds[way])
            rows[way] = row
            plain = rows.get(ways[way].beside)
            slower, larger = (
                "" if plain is None else f"({row[key] / plain[key]:5.2f}x)"
                for key in ("milliseconds", "peak_tensor_bytes")
            )
            print(
                f"  {way:34} {row['milliseconds']:9.2f} ms {slower:8}  {row['peak_tensor_bytes'] / 1e6:7.0f} MB {larger:8}",
                flush=True,
            )
        results += rows.values()
    record(arguments.json, threads=torch.get_num_threads(), steps=results)
