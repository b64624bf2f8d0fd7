"""What EMU costs: a training step without it, with shared masks, and with a mask for each pair, side by side.

    python benchmarks/emu.py [--scorers DistMult TransE] [--steps 15] [--threads 2] [--json FILE]

A step encodes, scores, differentiates and updates: 1,000 queries, D = 100, one cross-entropy term, Adagrad, on random facts of
FB15k-237's sizes. Runs the tests first and times nothing while they fail. The ways of a scorer take turns step by step in one
process; times are medians after the first two steps. Peak memory is what a process of its own held at most during two steps, as
Linux tells it. Ratios are to the plain step with the same negatives:

    query, negative     masks shared by the negatives of a query, or by the queries
    pair                a mask for each pair, drawn inside the kernels
    stored              the same, with masks and mutated vectors as tensors
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from gnnkg import encoders, losses, samplers, scorers, terms
from gnnkg.core import Labels, Model, Objective, Scorer, Vectors
from gnnkg.data.queries import Queries
from gnnkg.evaluation.provenance import commit, hardware, versions
from gnnkg.graph import KnowledgeGraph
from gnnkg.ops import cpu
from gnnkg.transforms import EMU
from gnnkg.transforms.towards import own_tail, soft

ROOT = Path(__file__).parents[1]
SCORERS = ("DistMult", "TransE", "RotatE", "HAKE")
ENTITIES, RELATIONS, FACTS = 14_541, 237, 272_115
QUERIES, DIM, KEEP, LABEL = 1000, 100, 0.39, 0.53
WARM = 2


def stored(scorer: Scorer, vectors: Vectors, labels: Labels) -> tuple[Vectors, Labels]:
    """EMU as published, as one would write it in torch."""
    own, tail = own_tail(vectors, "EMU"), vectors.tail
    keep = torch.empty(len(own), tail.shape[1], own.shape[1]).bernoulli_(KEEP)
    mutated = torch.lerp(own.unsqueeze(1), tail.repeat_interleave(len(own) // len(tail), 0), keep)
    return vectors.replace(tail=mutated), soft(labels, torch.full((1, tail.shape[1]), LABEL))


class Way(NamedTuple):
    transform: Literal["plain", "query", "negative", "pair", "stored"]
    share: Literal["batch", "query"]
    num_negatives: int

    def __str__(self) -> str:
        return f"{self.transform}, {self.num_negatives} negatives a {self.share}"

    @property
    def plain(self) -> Way:
        return self._replace(transform="plain")


WAYS = {
    str(way): way
    for way in (
        *(Way(transform, "batch", 256) for transform in ("plain", "query", "negative", "pair", "stored")),
        *(Way(transform, "query", 256) for transform in ("plain", "pair", "stored")),
        *(Way(transform, "batch", 1024) for transform in ("plain", "query", "pair")),
    )
}


def random_graph() -> KnowledgeGraph:
    draw = torch.Generator().manual_seed(0)
    columns = [torch.randint(size, (FACTS,), generator=draw) for size in (ENTITIES, RELATIONS, ENTITIES)]
    return KnowledgeGraph(torch.stack(columns, 1), ENTITIES, RELATIONS)


def stepper(graph: KnowledgeGraph, name: str, way: Way) -> Callable[[int], float]:
    """A training of its own; calling it does a step and gives the loss."""
    torch.manual_seed(0)
    scorer = getattr(scorers, name)(dim=DIM)
    model = Model(encoders.Table(graph, scorer.space), scorer)
    masks = way.transform
    transform = {"plain": None, "stored": stored}[masks] if masks in ("plain", "stored") else EMU(KEEP, LABEL, masks)
    term = terms.Ranking(losses.CrossEntropy(), per_negative=True, transform=transform)
    objective = Objective(samplers.Uniform(way.num_negatives, share=way.share), {"term": term})
    optimizer = torch.optim.Adagrad(model.parameters(), lr=0.05, fused=True)
    plan = Queries(QUERIES).of(graph, seed=0)

    def step(number: int) -> float:
        torch.manual_seed(number)
        loss = objective(model, plan[number])["term"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def memory(name: str, way: Way) -> dict[str, int]:
    """Bytes that this process held at most while it did two steps, after the first, and how many it held before them."""
    step = stepper(random_graph(), name, way)
    step(0)  # compiles
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak begins anew
    before = _status("VmRSS")
    for number in (1, 2):
        step(number)
    return {"peak_memory_bytes": _status("VmHWM"), "memory_before_bytes": before}


def _status(field: str) -> int:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(lines[field].split()[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scorers", nargs="*", choices=SCORERS, default=SCORERS)
    parser.add_argument("--ways", nargs="*", choices=tuple(WAYS), default=tuple(WAYS))
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--memory", nargs=2, metavar=("SCORER", "WAY"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(min(arguments.threads, cpu.MOST_THREADS))
    if arguments.memory:
        name, way = arguments.memory
        print(json.dumps(memory(name, WAYS[way])))
        return
    tests = [
        sys.executable,
        "-m",
        "pytest",
        "tests/ops/test_matching.py",
        "tests/ops/test_drawn.py",
        "tests/transforms",
    ]
    if subprocess.run(tests, cwd=ROOT, check=False).returncode:
        sys.exit("the tests fail: nothing is timed")
    graph, results = random_graph(), []
    for name in arguments.scorers:
        ways = [WAYS[way] for way in arguments.ways]
        steps = {way: stepper(graph, name, way) for way in ways}
        seconds: dict[Way, list[float]] = {way: [] for way in ways}
        for number in range(WARM + arguments.steps):
            for way in ways:
                start = time.perf_counter()
                steps[way](number)
                seconds[way].append(time.perf_counter() - start)
        print(f"\n{name}")
        for way in ways:
            told = ["--threads", str(torch.get_num_threads()), "--memory", name, str(way)]
            child = subprocess.run([sys.executable, __file__, *told], check=True, capture_output=True, text=True)
            row = {"scorer": name, "way": str(way), **json.loads(child.stdout.splitlines()[-1])}
            row["milliseconds"] = 1e3 * statistics.median(seconds[way][WARM:])
            results.append(row)
            plain = next((r for r in results if (r["scorer"], r["way"]) == (name, str(way.plain))), None)
            slower, larger = (
                "" if plain is None else f"({row[key] / plain[key]:5.2f}x)"
                for key in ("milliseconds", "peak_memory_bytes")
            )
            print(
                f"  {way!s:34} {row['milliseconds']:9.2f} ms {slower:8}  {row['peak_memory_bytes'] / 1e6:7.0f} MB {larger:8}",
                flush=True,
            )
    if arguments.json:
        told = {
            "command": " ".join(["python", *sys.argv]),
            "commit": commit(),
            "hardware": hardware(),
            "versions": versions(),
            "threads": torch.get_num_threads(),
            "steps": results,
        }
        arguments.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
