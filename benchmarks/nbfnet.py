"""A training step of NBFNet with gnnkg, with DGL's kernels, and in plain torch: the same model, the same batch.

    python benchmarks/nbfnet.py [--dataset grail/fb237_v1] [--batch 64] [--steps 5] [--json FILE]

A step encodes a batch on the graph without its facts, scores each query's tail and 32 negatives, and updates the weights (6
layers of width 32, PNA). Each way runs in a process of its own, in turns; times are medians over steps after the first two, and
peak memory is what the process held at most. The losses of the ways must agree, or nothing is reported. DGL has no kernel with
several aggregates: its step calls four, with a relation vector gathered for each edge. ``--recompute`` keeps layers' inputs only.
"gnnkg" computes the states that scores depend on where that is less work; "every state" never does, and nor do the others.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import torch
from recorded import record
from torch import Tensor

import gnnkg
from gnnkg import encoders, losses, samplers, scorers, terms
from gnnkg._dgl import dgl
from gnnkg.data.queries import Queries
from gnnkg.encoders import nbfnet
from gnnkg.evaluation.provenance import peak_memory
from gnnkg.ops.backends import use_reference
from gnnkg.ops.message import Adjacency, degrees

WAYS = ("gnnkg", "every state", "dgl", "torch")
TESTS = ("ops/test_message", "ops/test_update", "ops/test_cones", "encoders/test_nbfnet")


def with_dgl(
    x: Tensor, relation: Tensor, edges: Adjacency, weight: Tensor | None, boundary: Tensor, message: str, aggregate: str
) -> Tensor:
    """PNA of products by DGL's kernels, as one would write it: edges that are hidden are left out of the graph."""
    assert (message, aggregate) == ("mul", "pna")
    here = torch.ones(len(edges), dtype=torch.bool) if weight is None else weight != 0
    stated = dgl.graph((edges.source[here], edges.target[here]), num_nodes=edges.num_nodes)
    gathered = relation[edges.relation[here]]
    gathered = gathered.expand(-1, x.shape[1], -1) if gathered.dim() == 3 else gathered.unsqueeze(1)
    count = (degrees(edges, weight) + 1)[:, None, None]
    mean = (dgl.ops.u_mul_e_sum(stated, x, gathered) + boundary) / count
    square = (dgl.ops.u_mul_e_sum(stated, x.square(), gathered.square()) + boundary.square()) / count
    alone = (count == 1).expand_as(x)
    largest = torch.maximum(dgl.ops.u_mul_e_max(stated, x, gathered).masked_fill(alone, -torch.inf), boundary)
    smallest = torch.minimum(dgl.ops.u_mul_e_min(stated, x, gathered).masked_fill(alone, torch.inf), boundary)
    deviation = (square - mean.square()).clamp(min=1e-6).sqrt()
    return torch.cat([mean, largest, smallest, deviation], -1)


def run(way: str, dataset: str, batch: int, steps: int, dependent: bool, recompute: bool) -> dict[str, object]:
    """Seconds of each step, the losses, and the peak memory of this process."""
    torch.manual_seed(0)
    graph = gnnkg.load(dataset).graph
    scorer = scorers.MLP(32, 64, reads_head=False)
    sparse = None if way == "gnnkg" else False
    encoder = encoders.NBFNet(graph, scorer.space, dependent=dependent, recompute=recompute, sparse=sparse)
    model = gnnkg.Model(encoder, scorer)
    loss = terms.Ranking(losses.SelfAdversarial(temperature=2.0))
    objective = gnnkg.Objective(samplers.Uniform(32, share="query", filtered=True), {"loss": loss})
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005, fused=True)
    plan = Queries(batch).of(graph, seed=0)
    if way == "dgl":
        nbfnet.propagate = with_dgl
    seconds, values = [], []
    for step in range(steps + 2):
        start = time.perf_counter()
        torch.manual_seed(step)
        optimizer.zero_grad()
        with use_reference() if way == "torch" else nullcontext():
            value = objective(model, plan[step])["loss"]
            value.backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
        values.append(value.item())
    return {"seconds": seconds[2:], "losses": values, "peak_memory_bytes": peak_memory()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="grail/fb237_v1")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=2, help="how often each way has its turn")
    parser.add_argument("--dependent", action="store_true", help="edges' relations made of the query")
    parser.add_argument("--recompute", action="store_true")
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=WAYS)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--one", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.one:
        settings = arguments.dataset, arguments.batch, arguments.steps, arguments.dependent, arguments.recompute
        print(json.dumps(run(arguments.one, *settings)))
        return
    tests = [sys.executable, "-m", "pytest", *(f"tests/{name}.py" for name in TESTS)]
    if subprocess.run(tests, cwd=Path(__file__).parents[1], check=False).returncode:
        sys.exit("the ops' tests fail: nothing is timed")
    measured: dict[str, list[dict]] = {way: [] for way in arguments.ways}
    for _ in range(arguments.rounds):
        for way in arguments.ways:
            command = [sys.executable, __file__, *sys.argv[1:], "--one", way]
            found = json.loads(
                subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
            )
            measured[way].append(found)
            reference = next(iter(measured.values()))[0]["losses"]
            if not torch.allclose(torch.tensor(found["losses"]), torch.tensor(reference), rtol=1e-2):
                sys.exit(f"{way} computes other losses: {found['losses']} against {reference}")
    rows = {
        way: {
            "seconds": statistics.median(second for each in found for second in each["seconds"]),
            "peak_memory_bytes": max(each["peak_memory_bytes"] for each in found),
        }
        for way, found in measured.items()
    }
    first = next(iter(rows.values()))
    for way, row in rows.items():
        ratio = row["seconds"] / first["seconds"]
        print(
            f"{way:11} {row['seconds']:8.3f} s a step ({ratio:4.1f}x) {row['peak_memory_bytes'] / 1e9:6.2f} GB at most"
        )
    record(arguments.json, threads=torch.get_num_threads(), steps=rows)


if __name__ == "__main__":
    main()
