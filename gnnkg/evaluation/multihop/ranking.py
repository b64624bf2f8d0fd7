"""Filtered ranking of the hard answers to multi-hop queries, clean and with perturbed anchors."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text
from torch import Tensor

from gnnkg.core import Model
from gnnkg.data.dataset import Dataset
from gnnkg.data.multihop.answered import AnsweredQueries
from gnnkg.evaluation.metrics import HITS
from gnnkg.evaluation.multihop.batch import QueryBatch
from gnnkg.evaluation.multihop.beam import Beam, Found
from gnnkg.evaluation.multihop.links import Links, Perturbed
from gnnkg.evaluation.ranks import evaluating
from gnnkg.noise import Family

PROTOCOL = (
    "each hard answer among all entities but the query's other answers, realistic ties; mean over the hard answers of a query, "
    "then over the queries of a structure"
)
METRICS = ("mrr", *(f"hits@{k}" for k in HITS))


@runtime_checkable
class Executor(Protocol):
    """Answers a batch of queries: ``Beam``, ``Chain``."""

    def queries_at_once(self, links: Links) -> int: ...
    def __call__(self, links: Links, batch: QueryBatch) -> Found: ...


@dataclass(frozen=True, slots=True)
class Row:
    """The queries of a structure under noise of one strength."""

    structure: str
    alpha: float
    """how far anchors were moved, in units of sigma; 0: not at all"""
    metrics: Mapping[str, float]
    """mrr, hits@1, hits@3, hits@10: means over the seeds of the noise"""
    by_seed: tuple[float, ...]
    """the MRR of each seed"""
    queries: int
    hard_answers: int
    seconds_a_query: float


@dataclass(frozen=True, slots=True)
class QueryEvaluation:
    """How well a model answers multi-hop queries, by structure."""

    dataset: str
    data_hash: str
    benchmark: str
    """where the queries are from"""
    split: str
    protocol: str
    executor: str
    noise: str
    """what anchors were moved by; empty where they were not"""
    seeds: tuple[int, ...]
    """of the noise"""
    rows: tuple[Row, ...]
    wall_seconds: float

    def mrr(self, structure: str, alpha: float = 0.0) -> float:
        """Raises KeyError where it was not measured."""
        found = {(row.structure, row.alpha): row.metrics["mrr"] for row in self.rows}
        return found[structure, alpha]

    def to_dict(self) -> dict[str, Any]:
        return json.loads(json.dumps(asdict(self), allow_nan=False))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> QueryEvaluation:
        """What ``to_dict`` gave. Raises ValueError where a field is missing or unknown."""
        expected = {each.name for each in fields(cls)}
        if set(values) != expected:
            raise ValueError(
                f"an evaluation of queries has the fields {', '.join(sorted(expected))}, not {', '.join(values)}"
            )
        rows = tuple(Row(**{**row, "by_seed": tuple(row["by_seed"])}) for row in values["rows"])
        return cls(**{**values, "rows": rows, "seeds": tuple(values["seeds"])})

    def __rich__(self) -> Group:
        title = (
            f"{self.dataset}, {self.benchmark}, {self.split}: hard answers, {self.executor}, {self.wall_seconds:.1f} s"
        )
        alphas = sorted({row.alpha for row in self.rows})
        noisy = alphas != [0.0]
        heads = [
            "",
            *(["alpha"] if noisy else []),
            "queries",
            "answers",
            "MRR",
            "Hits@1",
            "Hits@3",
            "Hits@10",
            "ms a query",
        ]
        table = Table(*heads, box=SIMPLE_HEAD, pad_edge=False)
        for column in table.columns[1:]:
            column.justify = "right"
        for row in self.rows:
            last = not noisy or row.alpha == alphas[-1]
            strength = [f"{row.alpha:g}"] if noisy else []
            figures = [f"{row.metrics[name]:.4f}" for name in METRICS]
            counts = [f"{row.queries:,}", f"{row.hard_answers:,}"]
            table.add_row(
                row.structure,
                *strength,
                *counts,
                *figures,
                f"{1000 * row.seconds_a_query:.1f}",
                end_section=noisy and last,
            )
        said = [Text(title, style="bold"), Text(self.protocol, style="dim")]
        return Group(*said, *([Text(self.noise, style="dim")] if self.noise else []), table)


def check_noise(
    alphas: Sequence[float], seeds: Sequence[int], divisor: float = 3.0, sigma: float | None = None
) -> None:
    """Raises ValueError for settings of noise that ``evaluate_queries`` cannot use: before queries are drawn or a model is read."""
    if not alphas or not all(0 <= alpha < math.inf for alpha in alphas) or not seeds:
        raise ValueError(
            f"noise has strengths of 0 or more, and seeds; not alphas {list(alphas)} and seeds {list(seeds)}"
        )
    if len({f"{alpha:g}" for alpha in alphas}) < len(alphas):
        raise ValueError(f"strengths of noise differ in six digits; {list(alphas)} repeats one")
    if not 0 < divisor < math.inf:
        raise ValueError(f"the divisor must be a number above 0, not {divisor}")
    if sigma is not None and not 0 < sigma < math.inf:
        raise ValueError(f"a sigma that is given is a number above 0, not {sigma}")


def evaluate_queries(
    model: Model,
    dataset: Dataset,
    benchmark: Mapping[str, AnsweredQueries],
    executor: Executor | None = None,
    *,
    alphas: Sequence[float] = (0.0,),
    seeds: Sequence[int] = (0,),
    family: Family = "gaussian",
    divisor: float = 3.0,
    sigma: float | None = None,
    memory: int | None = None,
    name: str = "queries",
    split: str = "test",
) -> QueryEvaluation:
    """Answers queries on the graph of the training facts, and ranks their hard answers.

    ``alphas``: strengths of noise on the anchors, h + alpha sigma u (``Perturbed``), each with every seed; only the first hop from
    an anchor reads the moved vector. No figure depends on ``memory`` (bytes) or on which queries are asked together.
    ``sigma``: a given one, in place of the spread of the model's vectors; a common one makes models comparable.

    Raises ValueError for a negative, missing or repeated alpha, a divisor or sigma that is not above 0, and where the executor
    cannot answer for the model.
    """
    check_noise(alphas, seeds, divisor, sigma)
    begin = time.perf_counter()
    executor = executor or Beam()
    graph = dataset.graph
    device = next(model.parameters(), graph.facts).device
    rows: list[Row] = []
    used = 0.0
    with evaluating(model):
        lookup = model.encoder(graph.to(device))
        links = {(0.0, seeds[0]): Links(model.scorer, lookup, graph.num_entities, device, memory)}
        for alpha in alphas:
            for seed in seeds if alpha else ():
                moved = Perturbed(model.scorer, lookup, alpha, seed, family, divisor, device, sigma)
                used = moved.sigma
                links[alpha, seed] = Links(model.scorer, lookup, graph.num_entities, device, memory, moved)
        for structure, asked in benchmark.items():
            _means(links[0.0, seeds[0]], executor, asked.of([0]))  # kernels are compiled when they are first called
            for alpha in alphas:
                since = time.perf_counter()
                drawn = seeds if alpha else seeds[:1]
                means = torch.stack([_means(links[alpha, seed], executor, asked) for seed in drawn])
                seconds = (time.perf_counter() - since) / len(drawn) / len(asked)
                metrics = dict(zip(METRICS, means.mean(0).tolist(), strict=True))
                hard = sum(map(len, asked.hard))
                rows.append(Row(structure, alpha, metrics, tuple(means[:, 0].tolist()), len(asked), hard, seconds))
    whose = f"Q.9973 / {divisor:g}" if sigma is None else "given"
    noise = f"anchors moved by alpha * {used:.4g} * {family} noise of variance 1, sigma = {whose}" if used else ""
    return QueryEvaluation(
        dataset=dataset.name,
        data_hash=dataset.data_hash,
        benchmark=name,
        split=split,
        protocol=PROTOCOL,
        executor=str(executor),
        noise=noise,
        seeds=tuple(seeds) if noise else (),
        rows=tuple(rows),
        wall_seconds=time.perf_counter() - begin,
    )


def _means(links: Links, executor: Executor, asked: AnsweredQueries) -> Float[Tensor, " V"]:
    """METRICS of a structure."""
    return torch.cat(list(_by_query(links, executor, asked))).mean(0)


def _by_query(links: Links, executor: Executor, asked: AnsweredQueries) -> Iterator[Float[Tensor, "B V"]]:
    """METRICS of each query."""
    size = executor.queries_at_once(links)
    for first in range(0, len(asked), size):
        block = slice(first, first + size)
        found = executor(links, QueryBatch.of(asked.queries[block], links.device)).degree
        yield rank_summary(found, asked.answers[block], asked.hard[block])


def rank_summary(
    scores: Float[Tensor, "B N"], answers: Sequence[Tensor], hard: Sequence[Tensor]
) -> Float[Tensor, "B V"]:
    """Of each query the mean over its hard answers of 1 / rank and rank <= 1, 3, 10: filtered, realistic ties, NaN last."""
    found = []
    for own, every, truths in zip(scores, answers, hard, strict=True):
        rival = torch.ones_like(own, dtype=torch.bool)
        rival[every.to(own.device)] = False
        others, truth = own[rival].sort().values, own[truths.to(own.device)]
        # one sort serves all truths of a query, of which there may be thousands
        below, up_to = torch.searchsorted(others, truth), torch.searchsorted(others, truth, right=True)
        ranks = 1 + (len(others) - up_to).double() + (up_to - below).double() / 2
        ranks = ranks.masked_fill(truth.isnan(), 1 + len(others))
        found.append(torch.stack([ranks.reciprocal(), *((ranks <= k).double() for k in HITS)], dim=1).mean(0))
    return torch.stack(found).cpu()
