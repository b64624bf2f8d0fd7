"""Filtered ranking of a split's facts among all entities, in both directions, and what it says about the model."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from gnnkg.core import Model
from gnnkg.data.categories import CATEGORIES, relation_categories
from gnnkg.data.dataset import Dataset
from gnnkg.evaluation.metrics import SAMPLED, SAMPLING, bootstrap_intervals, metrics, metrics_by_group, summands
from gnnkg.evaluation.protocol import Protocol
from gnnkg.evaluation.provenance import peak_memory
from gnnkg.evaluation.ranks import DIRECTIONS, TIES, rank_facts
from gnnkg.graph import Facts

Metrics = dict[str, float]


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a model on the facts of a split, with all that is needed to compare them with others.

    The metrics are those of ``metrics.py``; groups also count their ``queries``, two a fact. Ties are realistic but in
    ``ties``. Groups without queries are absent.
    """

    dataset: str
    split: str
    data_hash: str
    num_facts: int
    protocol: Protocol
    metrics: Metrics
    intervals: Mapping[str, tuple[float, float]]
    """95 % bootstrap intervals over facts"""
    ties: Mapping[str, Metrics]
    """optimistic, realistic, pessimistic"""
    directions: Mapping[str, Metrics]
    """tail: (h, r, ?); head: (?, r, t)"""
    categories: Mapping[str, Mapping[str, Metrics]]
    """1-1, 1-N, N-1, N-N, as in the training facts (none: the relation has none there); in each: both, tail, head"""
    relations: Mapping[str, Metrics]
    """by identifier"""
    entities: Mapping[str, Metrics]
    """seen: both entities of the fact occur in the training facts; unseen: one does not"""
    bootstrap: int
    seed: int
    wall_seconds: float
    peak_memory_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: NaN becomes None."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return _without_nan(values | {"protocol": self.protocol.to_dict()})

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2, allow_nan=False, ensure_ascii=False) + "\n"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Evaluation:
        """What ``to_dict`` gave. Raises ValueError where a field is missing or unknown."""
        expected = [each.name for each in fields(cls)]
        if sorted(values) != sorted(expected):
            odd = sorted(set(values) ^ set(expected))
            raise ValueError(
                f"an evaluation has exactly the fields {', '.join(expected)}; missing or unknown: {', '.join(odd)}"
            )
        restored: dict[str, Any] = {name: _with_nan(value) for name, value in values.items()}
        restored["protocol"] = Protocol.from_dict(values["protocol"])
        return cls(**restored)

    def __rich__(self) -> Group:
        title = f"{self.dataset}, {self.split}: {self.num_facts:,} facts in {self.wall_seconds:.1f} s"
        drawn = ["of 50"] if SAMPLED in self.metrics else []
        heads = ["", "queries", "MRR", "Hits@1", "Hits@3", "Hits@10", *drawn, "MR", "AMRI"]
        table = Table(*heads, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
        table.columns[0].no_wrap = True
        for column in table.columns[1:]:
            column.justify = "right"
        ends = {"from": 0, "to": 1} if self.intervals else {}
        groups: list[dict[str, Metrics]] = [
            {"all": self.metrics | {"queries": 2 * self.num_facts}},
            {f"95 % {word}": {name: pair[end] for name, pair in self.intervals.items()} for word, end in ends.items()},
            {ties: row for ties, row in self.ties.items() if ties != "realistic"},
            dict(self.directions),
            {name: row["both"] for name, row in self.categories.items()},
            dict(self.entities) if len(self.entities) > 1 else {},
        ]
        for group in groups:
            for i, (name, row) in enumerate(group.items(), start=1):
                table.add_row(name, *_cells(row), end_section=i == len(group))
        return Group(Text(title, style="bold"), Text(str(self.protocol), style="dim"), table)


def evaluate(
    model: Model,
    dataset: Dataset,
    split: str = "test",
    *,
    filter: Sequence[str] | None = None,
    memory: int | None = None,
    facts: Facts | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    sampled: bool | None = None,
) -> Evaluation:
    """Ranks the facts of a split, or the given ones, on the graph of the training facts.

    ``filter``: the splits whose other answers are left out; None: all that is known to be true (``Dataset.truths``), empty: none.
    ``memory``: bytes for scoring, on top of the model; None: half of what is free; no figure depends on it. ``bootstrap``:
    resamples for the intervals; 0: none. Facts with entities that training never saw are kept. ``sampled``: whether
    ``hits@10_50`` is measured too; None: where the model was trained on another data set (``Dataset.for_model_of``). Raises
    ValueError where there are no facts to rank, or the model cannot encode the graph.
    """
    begin = time.perf_counter()
    if facts is None:
        facts = dataset.facts(split)
    else:
        split = "given facts"
    if not len(facts):
        raise ValueError(f"there are no facts to rank: {dataset.name} has none in {split}")
    facts = facts.cpu()
    graph = dataset.graph
    sampled = bool(dataset.trained_on) if sampled is None else sampled
    filter, known = dataset.filtering(filter)
    protocol = Protocol(filter=filter, sampled=SAMPLING if sampled else "")
    ranked = rank_facts(model, graph, facts, known, memory)

    values = summands(ranked.ranks(), ranked.candidates, sampled)
    relation = facts[:, 1].repeat(2)
    groups = (*CATEGORIES, "none")
    categories = relation_categories(graph.facts.cpu(), graph.num_relations)
    category = torch.tensor([groups.index(name) for name in categories])[relation]
    unseen = graph.holds_unseen(facts).repeat(2)
    by_category = {"both": metrics_by_group(values, category, groups)}
    for i, direction in enumerate(DIRECTIONS):
        asked = ranked.direction == i
        by_category[direction] = metrics_by_group(values[asked], category[asked], groups)
    return Evaluation(
        dataset=dataset.name,
        split=split,
        data_hash=dataset.data_hash,
        num_facts=len(facts),
        protocol=protocol,
        metrics=metrics(ranked.ranks(), ranked.candidates, sampled),
        intervals=bootstrap_intervals(values.view(2, -1, values.shape[1]).mean(0), bootstrap, seed),
        ties={ties: metrics(ranked.ranks(ties), ranked.candidates, sampled) for ties in TIES},
        directions=metrics_by_group(values, ranked.direction, DIRECTIONS),
        categories={name: {asked: found[name] for asked, found in by_category.items()} for name in by_category["both"]},
        relations=metrics_by_group(values, relation, dataset.relations),
        entities=metrics_by_group(values, unseen.long(), ("seen", "unseen")),
        bootstrap=bootstrap,
        seed=seed,
        wall_seconds=time.perf_counter() - begin,
        peak_memory_bytes=peak_memory(next(model.parameters(), facts).device),
    )


def _cells(row: Mapping[str, float]) -> list[str]:
    queries = f"{row['queries']:,.0f}" if "queries" in row else ""
    shown = ("mrr", "hits@1", "hits@3", "hits@10", SAMPLED)
    figures = [f"{row[metric]:.4f}" for metric in shown if metric in row]
    mean_rank = f"{row['mr']:,.1f}" if row["mr"] < 1000 else f"{row['mr']:,.0f}"
    return [queries, *figures, mean_rank, f"{row['amri']:.4f}"]


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _with_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _with_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_with_nan(item) for item in value)
    return math.nan if value is None else value
