"""How many tails a head has in a relation, and how many heads a tail."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.graph import Facts

Category = Literal["1-1", "1-N", "N-1", "N-N", "none"]
CATEGORIES: tuple[Category, ...] = ("1-1", "1-N", "N-1", "N-N")
MANY = 1.5


def relation_categories(facts: Facts, num_relations: int) -> list[Category]:
    """The category of each relation: 1-1, 1-N (many tails a head), N-1 (many heads a tail), N-N; "none" without a fact.

    A side is "many" where its average is at least 1.5, as in TransH (Wang et al., AAAI 2014).
    """
    tails_per_head, heads_per_tail = fan_out(facts, num_relations)
    named: list[Category] = []
    for tails, heads in zip(tails_per_head.tolist(), heads_per_tail.tolist(), strict=True):
        if not tails:
            named.append("none")
        elif heads < MANY:
            named.append("1-1" if tails < MANY else "1-N")
        else:
            named.append("N-1" if tails < MANY else "N-N")
    return named


def fan_out(facts: Facts, num_relations: int) -> tuple[Float[Tensor, " R"], Float[Tensor, " R"]]:
    """Tails per head and heads per tail of each relation, averaged over its distinct facts; 0 without a fact."""
    head, relation, tail = facts.unbind(1)
    n = int(facts.max()) + 1 if len(facts) else 1

    def distinct(key: Tensor, width: int) -> Tensor:
        return torch.bincount(torch.unique(key) // width, minlength=num_relations)

    by_head, by_tail = relation * n + head, relation * n + tail
    pairs = distinct(by_head * n + tail, n * n)
    return pairs / distinct(by_head, n).clamp(min=1), pairs / distinct(by_tail, n).clamp(min=1)
