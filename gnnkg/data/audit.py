"""What a data set holds, and whether its splits leak: whether held-out facts can be looked up in training facts.

A split leaks where one of its facts stands in another split too, or where more than 1 % of it is answered by a training fact
of a duplicate or an inverse relation (``twins.py``). Facts of symmetric relations whose mirror image was trained on are
counted, but symmetry is what a model is asked to learn: WN18RR keeps them on purpose.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import torch

from gnnkg.data.assemble import among, fact_keys
from gnnkg.data.categories import CATEGORIES, relation_categories
from gnnkg.data.dataset import SPLITS, Dataset
from gnnkg.data.report import SplitReport
from gnnkg.data.twins import answered_by, duplicates, inverses

if TYPE_CHECKING:
    from rich.console import RenderableType

HELD_OUT = ("valid", "test")
TOLERATED = 0.01
"""the share of a split that may be answered by duplicate and inverse relations"""


@dataclass(frozen=True)
class SplitAudit:
    """What one split holds."""

    lines: int
    """facts as they were read, repeated ones included"""
    facts: int
    """distinct facts"""
    duplicates: int
    """lines that repeat a fact of the same split"""
    shared: dict[str, int]
    """distinct facts that stand in another split too, by that split"""
    clean: int
    """distinct facts that stand in no other split"""
    faulty: int = 0
    """lines that are no fact, skipped as ``on_error="skip"`` asks"""
    unseen_entities: int = 0
    """entities that occur here but in no training fact"""
    unseen_relations: int = 0
    unseen_entity_facts: int = 0
    """facts with an unseen entity"""
    unseen_facts: int = 0
    """facts with an unseen entity or relation"""
    by_duplicate: int = 0
    """facts that a training fact of a duplicate relation answers"""
    by_inverse: int = 0
    by_symmetry: int = 0


@dataclass(frozen=True)
class RelationTwins:
    first: str
    second: str
    share: float
    pairs: int


@dataclass(frozen=True)
class Degrees:
    """Training facts an entity, as head or tail."""

    minimum: int
    median: float
    mean: float
    p99: float
    maximum: int
    histogram: dict[str, int]
    """entities by degree: "0", "1", "2-3", "4-7", ..."""


@dataclass(frozen=True)
class Audit:
    """What ``audit`` found."""

    name: str
    source: str
    num_entities: int
    num_relations: int
    splits: dict[str, SplitAudit]
    duplicate_relations: list[RelationTwins]
    inverse_relations: list[RelationTwins]
    symmetric_relations: list[RelationTwins]
    categories: dict[str, dict[str, int]]
    """relations, and the facts of each split, by category; "none": relations without a training fact"""
    degrees: Degrees
    notes: tuple[str, ...]

    @property
    def leaks(self) -> bool:
        """Whether a split leaks."""
        return bool(self.leak_reasons)

    @property
    def leak_reasons(self) -> tuple[str, ...]:
        """Each leak in words; empty where there is none."""
        found = []
        for name, other in combinations(SPLITS, 2):
            if other in self.splits and (count := self.splits[other].shared.get(name, 0)):
                found.append(f"{count:,} of the {self.splits[other].facts:,} facts of {other} stand in {name} too")
        for name in HELD_OUT:
            if name in self.splits:
                split = self.splits[name]
                for count, kind in ((split.by_duplicate, "a duplicate"), (split.by_inverse, "an inverse")):
                    if count > TOLERATED * split.facts:
                        share = count / split.facts
                        found.append(
                            f"{count:,} facts of {name} ({share:.1%}) are answered by {kind} relation in train"
                        )
        return tuple(found)

    def to_json(self) -> str:
        return json.dumps(
            {**asdict(self), "leaks": self.leaks, "leak_reasons": self.leak_reasons}, indent=2, ensure_ascii=False
        )

    def render(self) -> RenderableType:
        """Tables for a rich console."""
        from gnnkg.data.audit_tables import tables

        return tables(self)


def audit(dataset: Dataset) -> Audit:
    """Counts, overlaps, twins among the relations, unseen entities, categories and degrees of a data set."""
    dataset = dataset.to("cpu")
    n, r = len(dataset.entities), len(dataset.relations)
    every = dataset.facts()
    pairs = inverses(every, n, r)
    mirrored = [twins for twins in pairs if twins.first != twins.second]
    symmetric = [twins for twins in pairs if twins.first == twins.second]
    doubled = duplicates(every, n, r)
    splits = _splits(dataset)
    known = dataset.known("train")
    for name in set(splits) & set(HELD_OUT):
        facts = dataset.facts(name)
        splits[name] = replace(
            splits[name],
            by_duplicate=int(answered_by(facts, known, doubled, backwards=False).sum()),
            by_inverse=int(answered_by(facts, known, mirrored, backwards=True).sum()),
            by_symmetry=int(answered_by(facts, known, symmetric, backwards=True).sum()),
            **_unseen(dataset, name),
        )

    def named(found: list) -> list[RelationTwins]:
        return [RelationTwins(dataset.relations[a], dataset.relations[b], share, count) for a, b, share, count in found]

    return Audit(
        name=dataset.name,
        source=dataset.source,
        num_entities=n,
        num_relations=r,
        splits=splits,
        duplicate_relations=named(doubled),
        inverse_relations=named(mirrored),
        symmetric_relations=named(symmetric),
        categories=_categories(dataset),
        degrees=_degrees(dataset),
        notes=dataset.report.notes,
    )


def _splits(dataset: Dataset) -> dict[str, SplitAudit]:
    n, r = len(dataset.entities), len(dataset.relations)
    facts = {name: dataset.facts(name).cpu().numpy() for name in SPLITS}
    keys = {name: np.unique(fact_keys(rows, n, r)) for name, rows in facts.items() if len(rows)}
    audits = {}
    for name, own in keys.items():
        met = dataset.report.splits.get(name, SplitReport())
        inside = {other: among(own, theirs) for other, theirs in keys.items() if other != name}
        repeated = len(facts[name]) - len(own)
        audits[name] = SplitAudit(
            lines=max(met.read, len(facts[name])),
            facts=len(own),
            duplicates=met.duplicates + repeated,
            faulty=met.faulty,
            shared={other: int(rows.sum()) for other, rows in inside.items()},
            clean=int((~np.logical_or.reduce([np.zeros(len(own), bool), *inside.values()])).sum()),
        )
    return audits


def _unseen(dataset: Dataset, name: str) -> dict[str, int]:
    facts, graph = dataset.facts(name), dataset.graph
    relation_seen = torch.zeros(graph.num_relations, dtype=torch.bool)
    relation_seen[graph.facts[:, 1]] = True
    new_entity = ~graph.seen[facts[:, [0, 2]]]
    new_relation = ~relation_seen[facts[:, 1]]
    return {
        "unseen_entities": len(torch.unique(facts[:, [0, 2]][new_entity])),
        "unseen_relations": len(torch.unique(facts[:, 1][new_relation])),
        "unseen_entity_facts": int(new_entity.any(1).sum()),
        "unseen_facts": int((new_entity.any(1) | new_relation).sum()),
    }


def _categories(dataset: Dataset) -> dict[str, dict[str, int]]:
    of_relation = relation_categories(dataset.graph.facts, len(dataset.relations))
    relations = Counter(of_relation)
    table = {name: {"relations": relations[name], **dict.fromkeys(SPLITS, 0)} for name in (*CATEGORIES, "none")}
    for split in SPLITS:
        count = torch.bincount(dataset.facts(split)[:, 1], minlength=len(of_relation)).tolist()
        for name, facts in zip(of_relation, count, strict=True):
            table[name][split] += facts
    return table


def _degrees(dataset: Dataset) -> Degrees:
    degree = torch.bincount(dataset.graph.facts[:, [0, 2]].flatten(), minlength=len(dataset.entities)).numpy()
    histogram = {"0": int((degree == 0).sum())}
    low = 1
    while low <= degree.max():
        high = 2 * low - 1
        histogram[str(low) if high == low else f"{low:,}-{high:,}"] = int(((degree >= low) & (degree <= high)).sum())
        low = high + 1
    return Degrees(
        int(degree.min()),
        float(np.median(degree)),
        float(degree.mean()),
        float(np.percentile(degree, 99)),
        int(degree.max()),
        histogram,
    )
