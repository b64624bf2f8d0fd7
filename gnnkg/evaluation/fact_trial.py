"""How many of a model's answers change where a few of the facts that its encoder reads are deleted, or some are added."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from gnnkg.core import Model
from gnnkg.data.dataset import Dataset
from gnnkg.evaluation.asked import Direction, choose
from gnnkg.evaluation.certification.facts import refuse_without_messages
from gnnkg.evaluation.events import InTop
from gnnkg.evaluation.explanation import edge_importance
from gnnkg.evaluation.fact_attacks import (
    KINDS,
    RIVALS,
    Kind,
    Method,
    Pool,
    additions,
    attack,
    ends_of,
    free_facts,
    in_top_by_facts,
)
from gnnkg.evaluation.ranks import evaluating
from gnnkg.graph import KnowledgeGraph, KnownTails

MEANING = (
    "Deletions may take any fact of the training graph, additions any of {candidates} facts a query, drawn at random from those of "
    "the head, the truth and its {rivals} best rivals; random changes are among the facts of these. Weights and filter stay as "
    "they are. An answer that no attack changed may still have a change that does."
)


class Way(NamedTuple):
    """How facts are chosen."""

    name: str
    method: Method
    best_of: int | None
    """how many are tried at each step; None: as many as the attack tries"""


WAYS = (
    Way("by gradient", "gradient", None),
    Way("random, the best of as many", "random", None),
    Way("random", "random", 1),
)


@dataclass(frozen=True, slots=True)
class Attacked:
    """A query, relation in [0, 2R), and what came of it."""

    head: int
    relation: int
    truth: int
    held: bool
    """whether the truth was among the best without a change; otherwise nothing was tried"""
    needed: dict[str, dict[str, int | None]]
    """by kind and way: how many changes turn the answer; None: it held out"""
    turned_by: dict[str, tuple[tuple[int, int, int], ...]]
    """by kind, where it turned by gradient: the facts that do it, as (head, relation, tail)"""


@dataclass(frozen=True)
class FactTrial:
    """Attacks on the facts that a model's encoder reads, query by query."""

    dataset: str
    split: str
    data_hash: str
    subset: str
    """which queries of the split, in words"""
    top: int
    budgets: tuple[int, ...]
    tries: int
    candidates: int
    seed: int
    rows: tuple[Attacked, ...]
    wall_seconds: float

    @property
    def held(self) -> int:
        """How many queries there were to attack."""
        return sum(row.held for row in self.rows)

    def changed(self, kind: str, way: str, budget: int) -> int:
        """How many of them turn by so many changes or fewer."""
        needed = [row.needed[kind][way] for row in self.rows if row.held]
        return sum(number is not None and number <= budget for number in needed)

    @property
    def ways(self) -> list[tuple[str, str]]:
        """Kinds and ways, in their order."""
        return [(kind, way) for row in self.rows[:1] for kind, ways in row.needed.items() for way in ways]

    def to_dict(self) -> dict[str, Any]:
        """With the counts of changed answers; as JSON has it."""
        figures: dict[str, Any] = {"queries": len(self.rows), "held": self.held, "changed": {}}
        for kind, way in self.ways:
            by_budget = {str(budget): self.changed(kind, way, budget) for budget in self.budgets}
            figures["changed"].setdefault(kind, {})[way] = by_budget
        return {"part": "facts", "meaning": self.meaning, "figures": figures} | asdict(self)

    @property
    def meaning(self) -> str:
        return MEANING.format(candidates=self.candidates, rivals=RIVALS)

    def __rich__(self) -> Group:
        title = f"{self.dataset}, {self.split}: {self.subset}, in {self.wall_seconds:.1f} s"
        told = (
            f"event: truth in the best {self.top}, ties against it; it holds for {self.held:,} of {len(self.rows):,}; {self.tries} "
            f"changes tried at each step, seed {self.seed}"
        )
        table = Table("answers changed by at most", "", *map(str, self.budgets), box=SIMPLE_HEAD, pad_edge=False)
        for column in table.columns[2:]:
            column.justify = "right"
        for kind, way in self.ways:
            counts = [f"{self.changed(kind, way, budget):,}" for budget in self.budgets]
            table.add_row(f"facts {'deleted' if kind == 'delete' else 'added'}", way, *counts)
        return Group(Text(title, style="bold"), Text(told, style="dim"), table, Text(self.meaning, style="dim"))


def attack_facts(
    model: Model,
    dataset: Dataset,
    split: str = "test",
    *,
    kinds: Sequence[Kind] = KINDS,
    budgets: Sequence[int] = (1, 2, 5, 10),
    top: int = 1,
    direction: Direction = "tail",
    num_queries: int | None = 100,
    tries: int = 8,
    candidates: int = 256,
    filter: Sequence[str] | None = None,
    seed: int = 0,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> FactTrial:
    """Attacks queries of a split one by one, each with the facts of the training graph as they are.

    A query's additions are chosen among ``candidates`` random ones, so an attack can only be underestimated. ``filter`` as in
    ``evaluate``. ``report`` is given how many queries are done, and of how many. Raises ValueError for an encoder that does not
    read facts, or not their weights.
    """
    begin = time.perf_counter()
    if not kinds or not set(kinds) <= set(KINDS) or not budgets or min(budgets) < 1 or candidates < 1:
        raise ValueError(
            f"kinds are delete and add, budgets and candidates numbers of facts of at least 1; not {list(kinds)}, {list(budgets)} "
            f"and {candidates}"
        )
    refuse_without_messages(model)
    device = next(model.parameters(), dataset.graph.facts).device
    graph, known = dataset.graph.to(device), dataset.filtering(filter)[1].to(device)
    queries, subset = choose(dataset.facts(split), graph.num_relations, direction, num_queries, seed)
    edge_importance(model, graph, *queries[0].tolist())  # refuses an encoder that does not read weights
    generator = torch.Generator().manual_seed(seed)
    rows = []
    with evaluating(model):
        for asked in queries.tolist():
            one = _One(model, graph, known, tuple(asked), top)
            rows.append(one.attacked(kinds, max(budgets), tries, candidates, generator))
            report(len(rows), len(queries))
    return FactTrial(
        dataset=dataset.name,
        split=split,
        data_hash=dataset.data_hash,
        subset=subset,
        top=top,
        budgets=tuple(budgets),
        tries=tries,
        candidates=candidates,
        seed=seed,
        rows=tuple(rows),
        wall_seconds=time.perf_counter() - begin,
    )


@dataclass(frozen=True)
class _One:
    """One query."""

    model: Model
    graph: KnowledgeGraph
    known: KnownTails
    query: tuple[int, int, int]
    top: int

    def event(self, pool: Pool) -> InTop:
        return in_top_by_facts(self.model, pool, self.known, self.query, self.top)

    def attacked(
        self, kinds: Sequence[Kind], most: int, tries: int, candidates: int, generator: torch.Generator
    ) -> Attacked:
        dtype = next(self.model.parameters()).dtype
        nothing = Pool.of(self.graph, self.graph.facts[:0], dtype)
        event, zero = self.event(nothing), torch.zeros(1, dtype=torch.long, device=self.graph.device)
        if not event.holds(nothing.start.unsqueeze(0), zero):
            unneeded: dict[str, dict[str, int | None]] = {kind: {way.name: None for way in WAYS} for kind in kinds}
            return Attacked(*self.query, held=False, needed=unneeded, turned_by={})
        ends = ends_of(event, nothing, self.query[0])
        needed: dict[str, dict[str, int | None]] = {}
        turned_by = {}
        for kind in kinds:
            pool = (
                nothing
                if kind == "delete"
                else Pool.of(self.graph, additions(self.graph, ends, candidates, generator), dtype)
            )
            event, found = self.event(pool), {}
            for way in WAYS:
                free, many = free_facts(pool, kind, way.method, ends), way.best_of or tries
                found[way.name] = attack(
                    event, pool.start, free, most, method=way.method, tries=many, generator=generator
                )
            needed[kind] = {name: changes.needed for name, changes in found.items()}
            best = found[WAYS[0].name]
            if best.needed is not None:
                turned_by[kind] = tuple(map(tuple, pool.graph.facts[list(best.rows)].tolist()))
        return Attacked(*self.query, held=True, needed=needed, turned_by=turned_by)
