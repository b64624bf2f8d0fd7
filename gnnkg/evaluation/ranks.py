"""Where true facts rank among all entities."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gnnkg.core import Model, in_evaluation_mode
from gnnkg.evaluation.memory import SMALLEST_BLOCK, queries_at_once
from gnnkg.graph import Facts, KnowledgeGraph, KnownTails, both_directions
from gnnkg.ops.ranking import rank_counts

Ties = Literal["optimistic", "realistic", "pessimistic"]
TIES: tuple[Ties, ...] = ("optimistic", "realistic", "pessimistic")
DIRECTIONS = ("tail", "head")
"""(h, r, ?) and (?, r, t)"""


@dataclass(frozen=True, slots=True)
class Ranks:
    """How the truth of each query compares with its candidates: first the M facts' tail queries, then their head queries."""

    above: Int[Tensor, " Q"]
    """candidates that score higher than the truth"""
    equal: Int[Tensor, " Q"]
    """other candidates that score the same"""
    candidates: Int[Tensor, " Q"]
    """how many were compared, the truth included"""
    direction: Int[Tensor, " Q"]
    """index into DIRECTIONS: 0 where the tail was asked, 1 where the head was"""

    def ranks(self, ties: Ties = "realistic") -> Float[Tensor, " Q"]:
        """1 is best. Among n that tie, the truth comes first (optimistic), last (pessimistic) or in the middle (realistic)."""
        share = {"optimistic": 0.0, "realistic": 0.5, "pessimistic": 1.0}[ties]
        return 1 + self.above.double() + share * self.equal.double()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, without gradients. Each module's own mode comes back afterwards, also after an error."""
    with in_evaluation_mode(model), torch.no_grad():
        yield


def rank_facts(
    model: Model, graph: KnowledgeGraph, facts: Facts, known: KnownTails, memory: int | None = None
) -> Ranks:
    """Ranks of the facts' tails and heads among all entities, less the other known answers.

    The graph is encoded once, a query that several facts share is scored once, and neither the order of the facts nor the
    budget (``memory``, bytes; see ``queries_at_once``) changes a rank. The result is on the CPU.
    """
    device = next(model.parameters(), graph.facts).device
    graph, known = graph.to(device), known.to(device)
    asked = both_directions(facts.to(device), graph.num_relations)
    two_r = 2 * graph.num_relations
    queries, query_of, counts = torch.unique(
        asked.head * two_r + asked.relation, return_inverse=True, return_counts=True
    )
    order = torch.argsort(query_of, stable=True)  # facts of one query become neighbours
    starts = [0, *counts.cumsum(0).tolist()]
    above, equal, candidates = (torch.empty_like(order) for _ in range(3))
    with evaluating(model):
        lookup = model.encoder(graph)
        size = queries_at_once(lookup, graph.num_entities, device, memory) if len(facts) else 1
        for first in range(0, len(queries), size):
            block = queries[first : first + size]
            padded = torch.cat([block, block[-1:].expand(-len(block) % SMALLEST_BLOCK)])
            scores = model.scorer(lookup(padded // two_r, padded % two_r))
            asking = order[starts[first] : starts[first + len(block)]]
            row = query_of[asking] - first
            for places, rows in zip(asking.split(size), row.split(size), strict=True):  # the reference copies rows
                known_tails = known.of(asked.head[places], asked.relation[places])
                above[places], equal[places], candidates[places] = rank_counts(
                    scores, asked.tail[places], known_tails, row=rows
                )
    direction = torch.arange(2).repeat_interleave(len(facts))
    return Ranks(above.cpu(), equal.cpu(), candidates.cpu(), direction)
