"""gnnkg and PyKEEN on the same work, in turns: evaluation, a training step, loading, start-up, and quality after equal time.

    pip install -c constraints.txt -e '.[benchmarks]'
    GNNKG_DATASETS=... python benchmarks/pykeen_side_by_side.py [--minutes 2] [--facts 2000] [--only loading] [--out FILE.json]

Each measurement runs in a process of its own, several times in turn, so that both see the same machine; the table gives medians and
peak memory. Both libraries rank the same facts with the same vectors, and no time is shown unless they agree on the MRR; but for
RotatE, where PyKEEN takes the root of the sum of squared moduli and ours sums the moduli, as published: equal work, other scores.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MODELS = ("DistMult", "TransE", "RotatE")
DIM, BATCH, NEGATIVES, STEPS, WARM = 100, 1000, 256, 6, 3


def data() -> Any:
    from gnnkg.data import load

    return load("fb15k-237")


def own_model(dataset: Any, name: str) -> Any:
    import torch

    from gnnkg import encoders, scorers
    from gnnkg.core import Model

    torch.manual_seed(0)
    scorer = getattr(scorers, name)(dim=DIM)
    return Model(encoders.Table(dataset.graph, scorer.space, inverse="tied"), scorer)


def peer_model(dataset: Any, name: str) -> tuple[Any, Any]:
    """PyKEEN's model with the vectors of ours, and its triples factory."""
    import torch
    from pykeen import models
    from pykeen.triples import CoreTriplesFactory

    own = own_model(dataset, name)
    factory = CoreTriplesFactory(dataset.graph.facts, dataset.graph.num_entities, dataset.graph.num_relations)
    more = {"scoring_fct_norm": 1} if name == "TransE" else {}
    model = getattr(models, name)(triples_factory=factory, embedding_dim=DIM, random_seed=0, **more)
    entity, relation = own.encoder.entity.detach(), own.encoder.relation.detach()
    if name == "RotatE":
        entity = torch.complex(*entity.chunk(2, dim=1))
        angle = relation * own.scorer.radians
        relation = torch.polar(torch.ones_like(angle), angle)
    for representation, vectors in (
        (model.entity_representations[0], entity),
        (model.relation_representations[0], relation),
    ):
        weight = representation._embeddings.weight
        weight.data.copy_(torch.view_as_real(vectors).flatten(1) if vectors.is_complex() else vectors)
    return model, factory


def own_evaluation(name: str, facts: int) -> dict[str, float]:
    from gnnkg.evaluation.metrics import metrics
    from gnnkg.evaluation.ranks import rank_facts

    dataset = data()
    model = own_model(dataset, name)
    few = dataset.test[:50]
    rank_facts(model, dataset.graph, few, dataset.tails_of(few))  # compiled once, read from the cache ever after
    start = time.perf_counter()  # what is known is prepared within the time, as it is there
    ranks = rank_facts(model, dataset.graph, dataset.test[:facts], dataset.known("train", "valid", "test"))
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "mrr": metrics(ranks.ranks(), ranks.candidates)["mrr"]}


def peer_evaluation(name: str, facts: int) -> dict[str, float]:
    from pykeen.evaluation import RankBasedEvaluator

    dataset = data()
    model, _ = peer_model(dataset, name)
    others = [dataset.graph.facts, dataset.valid, dataset.test]
    evaluator = RankBasedEvaluator(filtered=True)
    start = time.perf_counter()
    result = evaluator.evaluate(
        model, dataset.test[:facts], additional_filter_triples=others, batch_size=256, use_tqdm=False
    )
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "mrr": result.get_metric("both.realistic.inverse_harmonic_mean_rank")}


def own_objective(dataset: Any, name: str, share: str) -> tuple[Any, Any, Any, Any]:
    import torch

    from gnnkg import losses, samplers, terms
    from gnnkg.core import Objective
    from gnnkg.data.queries import Queries

    model = own_model(dataset, name)
    objective = Objective(samplers.Uniform(NEGATIVES, share=share), {"loss": terms.Ranking(losses.SelfAdversarial())})
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    return model, objective, optimizer, Queries(BATCH).of(dataset.graph, 0)


def own_step(name: str, share: str) -> dict[str, float]:
    model, objective, optimizer, plan = own_objective(data(), name, share)
    times = []
    for step in range(STEPS + WARM):
        start = time.perf_counter()
        optimizer.zero_grad()
        loss = sum(objective(model, plan[step]).values())
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - start)
    return {"seconds": statistics.median(times[WARM:])}


def peer_loop(dataset: Any, name: str) -> tuple[Any, Any, Any]:
    import torch
    from pykeen.losses import NSSALoss
    from pykeen.training import SLCWATrainingLoop

    model, factory = peer_model(dataset, name)
    model.loss = NSSALoss(margin=9.0, adversarial_temperature=1.0)
    loop = SLCWATrainingLoop(
        model=model,
        triples_factory=factory,
        optimizer=torch.optim.Adam(model.parameters(), lr=1e-3, fused=True),
        negative_sampler="basic",
        negative_sampler_kwargs={"num_negs_per_pos": NEGATIVES},
    )
    return model, factory, loop


def peer_step(name: str) -> dict[str, float]:
    from pykeen.training.callbacks import TrainingCallback
    from pykeen.triples import CoreTriplesFactory

    class Clock(TrainingCallback):
        def post_batch(self, **_: Any) -> None:
            ends.append(time.perf_counter())

    dataset = data()
    _, factory, loop = peer_loop(dataset, name)
    count = (STEPS + WARM) * BATCH
    few = CoreTriplesFactory(factory.mapped_triples[:count], factory.num_entities, factory.num_relations)
    ends = [time.perf_counter()]
    loop.train(few, num_epochs=1, batch_size=BATCH, use_tqdm=False, use_tqdm_batch=False, callbacks=[Clock()])
    return {"seconds": statistics.median(end - start for start, end in itertools.pairwise(ends[WARM:]))}


def own_quality(name: str, minutes: float) -> dict[str, float]:
    import torch

    from gnnkg.data.queries import step_seed
    from gnnkg.evaluation.metrics import metrics
    from gnnkg.evaluation.ranks import rank_facts

    dataset = data()
    model, objective, optimizer, plan = own_objective(dataset, name, "batch")
    start, step = time.perf_counter(), 0
    while time.perf_counter() - start < 60 * minutes:
        torch.manual_seed(step_seed(0, step))
        optimizer.zero_grad()
        loss = sum(objective(model, plan[step]).values())
        loss.backward()
        optimizer.step()
        step += 1
    ranks = rank_facts(model, dataset.graph, dataset.valid, dataset.known("train", "valid"))
    return {"seconds": 60 * minutes, "steps": step, "mrr": metrics(ranks.ranks(), ranks.candidates)["mrr"]}


def peer_quality(name: str, minutes: float) -> dict[str, float]:
    from pykeen.training.callbacks import TrainingCallback

    from gnnkg.evaluation.metrics import metrics
    from gnnkg.evaluation.ranks import rank_facts

    class TimeIsUp(Exception):
        pass

    class Clock(TrainingCallback):
        def post_batch(self, **_: Any) -> None:
            nonlocal steps
            steps += 1
            if time.perf_counter() - start > 60 * minutes:
                raise TimeIsUp

    dataset = data()
    model, factory, loop = peer_loop(dataset, name)
    steps, start = 0, time.perf_counter()
    with contextlib.suppress(TimeIsUp):
        loop.train(
            factory, num_epochs=1000, batch_size=BATCH, use_tqdm=False, use_tqdm_batch=False, callbacks=[Clock()]
        )
    own = own_model(dataset, name)  # judged by one and the same ranking
    own.encoder.entity.data.copy_(model.entity_representations[0]._embeddings.weight.data.view_as(own.encoder.entity))
    own.encoder.relation.data.copy_(model.relation_representations[0]._embeddings.weight.data)
    ranks = rank_facts(own, dataset.graph, dataset.valid, dataset.known("train", "valid"))
    return {"seconds": 60 * minutes, "steps": steps, "mrr": metrics(ranks.ranks(), ranks.candidates)["mrr"]}


def own_loading() -> dict[str, float]:
    start = time.perf_counter()
    data()
    return {"seconds": time.perf_counter() - start}


def peer_loading() -> dict[str, float]:
    import gzip
    import tempfile

    folder = Path(os.environ["GNNKG_DATASETS"]) / "fb15k-237"
    with tempfile.TemporaryDirectory() as scratch:
        for split in ("train", "valid", "test"):
            (Path(scratch) / f"{split}.txt").write_bytes(gzip.decompress((folder / f"{split}.txt.gz").read_bytes()))
        start = time.perf_counter()
        from pykeen.triples import TriplesFactory

        train = TriplesFactory.from_path(Path(scratch) / "train.txt")
        for split in ("valid", "test"):
            ids = {"entity_to_id": train.entity_to_id, "relation_to_id": train.relation_to_id}
            TriplesFactory.from_path(Path(scratch) / f"{split}.txt", **ids)
        return {"seconds": time.perf_counter() - start}


def own_start() -> dict[str, float]:
    start = time.perf_counter()
    import gnnkg.data
    import gnnkg.evaluation
    import gnnkg.train  # noqa: F401

    return {"seconds": time.perf_counter() - start}


def peer_start() -> dict[str, float]:
    start = time.perf_counter()
    import pykeen.pipeline  # noqa: F401

    return {"seconds": time.perf_counter() - start}


def measure(function: Callable[..., dict[str, float]], *arguments: Any) -> dict[str, float]:
    """One measurement in a fresh process."""
    command = [sys.executable, __file__, "--one", json.dumps([function.__name__, *arguments])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{function.__name__}{arguments} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--facts", type=int, default=2000, help="test facts that both rank")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--minutes", type=float, default=0.0, help="also: quality after so many minutes of training each"
    )
    parser.add_argument(
        "--only", action="append", metavar="WORDS", help="rows whose name holds these words; may be repeated"
    )
    parser.add_argument("--out", type=Path, help="write the table as JSON")
    arguments = parser.parse_args()
    if arguments.one:
        name, *rest = json.loads(arguments.one)
        result = globals()[name](*rest)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps(result | {"peak_memory_bytes": peak}))
        return
    from recorded import record

    rows: list[dict[str, Any]] = []

    def compare(work: str, own: tuple[Any, ...], peer: tuple[Any, ...], repeats: int = arguments.repeats) -> None:
        if arguments.only and not any(words in work for words in arguments.only):
            return
        pairs = [(measure(*own), measure(*peer)) for _ in range(repeats)]
        ours, theirs = zip(*pairs, strict=True)
        same = (
            "evaluation" in work and "RotatE" not in work
        )  # PyKEEN's RotatE takes another norm: other scores, equal work
        if same and not math.isclose(ours[0]["mrr"], theirs[0]["mrr"], rel_tol=1e-3):
            raise SystemExit(
                f"{work}: the MRRs differ, {ours[0]['mrr']:.4f} and {theirs[0]['mrr']:.4f}; nothing is timed"
            )
        row: dict[str, Any] = {"work": work, "repeats": repeats}
        for who, runs in (("gnnkg", ours), ("pykeen", theirs)):
            row |= {f"{who}_{key}": statistics.median(run[key] for run in runs) for key in runs[0]}
        row["ratio"] = row["pykeen_seconds"] / row["gnnkg_seconds"]
        rows.append(row)
        memory = [row[f"{who}_peak_memory_bytes"] / 2**30 for who in ("gnnkg", "pykeen")]
        quality = f"   MRR {row['gnnkg_mrr']:.4f} {row['pykeen_mrr']:.4f}" if "gnnkg_mrr" in row else ""
        times = f"{row['gnnkg_seconds']:9.3f} s {row['pykeen_seconds']:9.3f} s {row['ratio']:7.1f}x"
        print(f"{work:44s} {times}   {memory[0]:5.2f} {memory[1]:5.2f} GiB{quality}", flush=True)

        record(arguments.out, rows=rows)  # after each row: a run that is stopped keeps what it has

    print(f"{'':44s} {'gnnkg':>11s} {'PyKEEN':>11s}            peak memory")
    for model in MODELS:
        compare(
            f"evaluation, {arguments.facts} facts, {model}",
            (own_evaluation, model, arguments.facts),
            (peer_evaluation, model, arguments.facts),
        )
    for model in MODELS:
        compare(f"training step, shared negatives, {model}", (own_step, model, "batch"), (peer_step, model))
        compare(f"training step, negatives a query, {model}", (own_step, model, "query"), (peer_step, model))
    compare("loading", (own_loading,), (peer_loading,))
    compare("start-up", (own_start,), (peer_start,))
    if arguments.minutes:
        compare(
            f"quality after {arguments.minutes:g} min, DistMult",
            (own_quality, "DistMult", arguments.minutes),
            (peer_quality, "DistMult", arguments.minutes),
            1,
        )
    if not rows:
        parser.error(f"no row is named {' or '.join(arguments.only)}; quality is measured with --minutes only")


if __name__ == "__main__":
    main()
