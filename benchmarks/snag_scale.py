"""SNAG on graphs of up to a million entities: time and memory of an epoch.

    python benchmarks/snag_scale.py [--entities 10000 100000 1000000] [--threads 1] [--json FILE]

Everything is generated: four random facts an entity, heads and tails Zipf-like; two modalities of 64 random numbers, each there
for 80 % of the entities. The model is the recipes' head: ComplEx (dim 32) over SNAG with noise, softmax over 512 sampled
negatives, 1,000 queries a batch, Adagrad; ``sparse`` updates the rows that a batch reads, ``dense`` all of them. Each size is a
process of its own, and its peak the largest resident memory. An epoch is forecast as its first step, which draws the epoch's
noise, and the median of ten others times the number of the rest.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import torch
from recorded import record

from gnnkg.annotations import Annotations, Feature
from gnnkg.core import Model, Objective
from gnnkg.data.queries import Queries
from gnnkg.encoders import SNAG, GaussModalityNoise, Table
from gnnkg.evaluation.provenance import peak_memory
from gnnkg.features import Given
from gnnkg.graph import KnowledgeGraph
from gnnkg.losses import CrossEntropy
from gnnkg.ops import cpu
from gnnkg.samplers import Uniform
from gnnkg.scorers import ComplEx
from gnnkg.terms import Ranking

ROOT = Path(__file__).parents[1]
TESTS = ("tests/encoders/test_snag.py", "tests/encoders/test_table.py")
RELATIONS, FACTS_AN_ENTITY, WIDTH, STEPS = 50, 4, 64, 10


def generated(entities: int) -> KnowledgeGraph:
    draw = torch.Generator().manual_seed(0)
    count = FACTS_AN_ENTITY * entities
    ends = (entities ** torch.rand(2, count, generator=draw)).long().clamp(max=entities - 1)
    mixed = torch.randperm(entities, generator=draw)
    relation = torch.randint(RELATIONS, (count,), generator=draw)
    facts = torch.stack([mixed[ends[0]], relation, mixed[ends[1]]], 1)
    features = {}
    for name in ("first", "second"):
        has = (torch.rand(entities, 1, generator=draw) < 0.8).expand(-1, WIDTH)
        values = torch.randn(entities, WIDTH, generator=draw) * has
        features[name] = Feature(values, has, tuple(map(str, range(WIDTH))))
    labels = tuple(map(str, range(entities)))
    return KnowledgeGraph(facts, entities, RELATIONS).annotated(Annotations(labels, features=features))


def epoch(entities: int, sparse: bool) -> dict[str, float]:
    graph = generated(entities)
    before = peak_memory()
    torch.manual_seed(0)
    scorer = ComplEx(dim=WIDTH // 2)
    encoder = SNAG(
        graph,
        scorer.space,
        {"first": Given("first"), "second": Given("second")},
        partial(Table, sparse=sparse),
        GaussModalityNoise(),
        "mean",
    )
    model = Model(encoder, scorer)
    objective = Objective(Uniform(512), {"loss": Ranking(CrossEntropy())})
    optimizer = torch.optim.Adagrad(model.parameters(), lr=0.01)
    plan = Queries(batch_size=1000).of(graph, seed=0)

    def step(number: int) -> float:
        begin = time.perf_counter()
        torch.manual_seed(number)
        optimizer.zero_grad()
        loss = torch.stack(list(objective(model, plan[number]).values())).sum()
        loss.backward()
        optimizer.step()
        return time.perf_counter() - begin

    model.before_epoch(0)
    step(0)  # compiles
    model.before_epoch(1)
    first, others = step(1), [step(number) for number in range(2, 2 + STEPS)]
    usual, rest = statistics.median(others), plan.steps_per_epoch - 1
    model.eval()
    begin = time.perf_counter()
    with torch.no_grad():
        model.encoder(graph)(torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=torch.long))
    return {
        "facts": len(graph.facts),
        "steps an epoch": plan.steps_per_epoch,
        "first step, seconds": first,
        "step, seconds": usual,
        "epoch, seconds (forecast)": first + rest * usual,
        "fusing all entities, seconds": time.perf_counter() - begin,
        "memory before the model, bytes": before,
        "peak memory, bytes": peak_memory(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entities", type=int, nargs="+", default=[10_000, 30_000, 100_000, 300_000, 1_000_000])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--one", nargs=2, metavar=("ENTITIES", "UPDATES"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(min(arguments.threads, cpu.MOST_THREADS))
    if arguments.one:
        print(json.dumps(epoch(int(arguments.one[0]), arguments.one[1] == "sparse")))
        return
    if subprocess.run([sys.executable, "-m", "pytest", "-q", *TESTS], cwd=ROOT, check=False).returncode:
        sys.exit("the tests fail: nothing is timed")
    rows: list[dict[str, object]] = []
    for entities in arguments.entities:
        for updates in ("sparse", "dense"):
            told = ["--threads", str(arguments.threads), "--one", str(entities), updates]
            child = subprocess.run([sys.executable, sys.argv[0], *told], check=True, capture_output=True, text=True)
            rows.append({"entities": entities, "updates": updates, **json.loads(child.stdout.splitlines()[-1])})
            print(json.dumps(rows[-1]), flush=True)
    record(arguments.json, data="generated", threads=arguments.threads, rows=rows)


if __name__ == "__main__":
    main()
