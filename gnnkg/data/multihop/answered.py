"""Multi-hop queries of one structure with their answers: what a benchmark asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from gnnkg.data.multihop.query import Query
from gnnkg.data.multihop.symbolic import Entities


@dataclass(frozen=True, slots=True, eq=False)
class AnsweredQueries:
    """Queries, all answers to each, and the hard ones among them.

    Easy answers follow from the facts that may be known; a hard one needs a fact that was held out. Raises ValueError where a query
    has no hard answer, or one that is no answer.
    """

    structure: str
    queries: tuple[Query, ...]
    answers: tuple[Entities, ...]
    """easy and hard, ascending"""
    hard: tuple[Entities, ...]

    def __post_init__(self) -> None:
        if not len(self.queries) == len(self.answers) == len(self.hard):
            counts = f"{len(self.queries)}, {len(self.answers)} and {len(self.hard)}"
            raise ValueError(f"there must be as many queries as sets of answers and of hard answers, not {counts}")
        for query, every, hard in zip(self.queries, self.answers, self.hard, strict=True):
            if not len(hard):
                raise ValueError(f"{query} has no hard answer: there is nothing to rank")
            if not bool(torch.isin(hard, every).all()):
                raise ValueError(f"{query} has a hard answer that is not among its answers")

    def __len__(self) -> int:
        return len(self.queries)

    def of(self, rows: Sequence[int]) -> AnsweredQueries:
        """Some of the queries, by their places."""
        return AnsweredQueries(
            self.structure,
            tuple(self.queries[row] for row in rows),
            tuple(self.answers[row] for row in rows),
            tuple(self.hard[row] for row in rows),
        )
