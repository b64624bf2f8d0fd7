"""Which queries of a split are certified or attacked, one by one."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from gnnkg.graph import Facts, both_directions

Direction = Literal["tail", "head", "both"]


def choose(
    facts: Facts, num_relations: int, direction: Direction, num_queries: int | None, seed: int
) -> tuple[Int[Tensor, "X 3"], str]:
    """Queries with their truths as (head, relation in [0, 2R), truth), and in words which they are.

    A random subset without replacement, from ``seed`` alone, in its random order; None, or as many as there are: all, in theirs.
    Raises ValueError where there is none.
    """
    queries = torch.stack(both_directions(facts.cpu(), num_relations), 1)
    if direction != "both":
        queries = queries[: len(facts)] if direction == "tail" else queries[len(facts) :]
    if not len(queries) or (num_queries is not None and num_queries < 1):
        raise ValueError(f"there must be at least one query, not {num_queries} of {len(queries)}")
    kind = "tail and head" if direction == "both" else direction
    if num_queries is None or num_queries >= len(queries):
        return queries, f"all {len(queries):,} {kind} queries"
    chosen = torch.randperm(len(queries), generator=torch.Generator().manual_seed(seed))[:num_queries]
    return queries[chosen], f"{num_queries:,} of {len(queries):,} {kind} queries, drawn with seed {seed}"
