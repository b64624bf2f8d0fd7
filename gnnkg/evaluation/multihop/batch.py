"""Queries of one structure as tensors: a tree of places, with a column for each anchor and relation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import torch
from jaxtyping import Int
from torch import Tensor

from gnnkg.data.multihop.query import Query, anchors, mapped, relations


@dataclass(frozen=True, slots=True, eq=False)
class QueryBatch:
    """B queries of the same shape."""

    shape: Query
    """its ids are columns of the tables"""
    anchors: Int[Tensor, "B A"]
    relations: Int[Tensor, "B P"]
    """in [0, 2R)"""

    def __len__(self) -> int:
        return len(self.anchors)

    @classmethod
    def of(cls, queries: Sequence[Query], device: torch.device | str = "cpu") -> QueryBatch:
        """Raises ValueError where two queries differ in more than their entities and relations, or are none."""
        if not queries:
            raise ValueError("a batch needs a query")
        shape = shape_of(queries[0])
        other = next((query for query in queries if shape_of(query) != shape), None)
        if other is not None:
            raise ValueError(f"queries of different structures cannot be answered together: {queries[0]} and {other}")
        return cls(
            shape,
            torch.tensor([anchors(query) for query in queries], device=device),
            torch.tensor([relations(query) for query in queries], device=device),
        )


def shape_of(query: Query) -> Query:
    """The tree with places for ids."""
    anchor, relation = count(), count()
    return mapped(query, lambda _: next(anchor), lambda _: next(relation))
