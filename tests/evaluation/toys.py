"""Models whose scores are known, and ranks found the slow way."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnnkg.core import EVERY_ENTITY, Candidates, Encoder, Lookup, Model, Scorer, Space, Vectors
from gnnkg.evaluation.protocol import Protocol
from gnnkg.evaluation.results import Result
from gnnkg.graph import Facts, KnowledgeGraph
from gnnkg.ops.matching import Mix


class Ids(Encoder):
    """Entities and relations are their own ids."""

    def __init__(self) -> None:
        super().__init__()
        self.encodings = 0

    def forward(self, graph: KnowledgeGraph) -> Lookup:
        self.encodings += 1
        everyone = torch.arange(graph.num_entities).float().view(1, -1, 1)

        def lookup(
            head: Int[Tensor, " B"], relation: Int[Tensor, " B"], candidates: Candidates = EVERY_ENTITY
        ) -> Vectors:
            return Vectors(head.float().unsqueeze(1), relation.float().unsqueeze(1), everyone)

        return lookup


class PerQuery(Ids):
    """The same, but every query has candidate vectors of its own, as in a query-conditioned network."""

    def forward(self, graph: KnowledgeGraph) -> Lookup:
        shared = super().forward(graph)

        def lookup(
            head: Int[Tensor, " B"], relation: Int[Tensor, " B"], candidates: Candidates = EVERY_ENTITY
        ) -> Vectors:
            vectors = shared(head, relation, candidates)
            return vectors.replace(candidates=vectors.tail.repeat(len(head), 1, 1))

        return lookup


class Given(Scorer):
    """Scores from a table (N, 2R, N)."""

    def __init__(self, scores: Float[Tensor, "N P N"]) -> None:
        super().__init__()
        self.space = Space(1, 1, init=lambda entity, relation: None)
        self.register_buffer("scores", scores)
        self.calls: list[int] = []

    def query(self, head: Float[Tensor, "B D"], relation: Float[Tensor, "B W"]) -> Float[Tensor, "B Q"]:
        return torch.cat([head, relation], dim=1)

    def match(
        self, query: Float[Tensor, "B Q"], tail: Float[Tensor, "S K D"], mix: Mix | None = None
    ) -> Float[Tensor, "B K"]:
        self.calls.append(len(query))
        head, relation = query.long().unbind(1)
        return self.scores[head, relation]


def given(scores: Float[Tensor, "N P N"], encoder: type[Ids] = Ids) -> Model:
    return Model(encoder(), Given(scores))


def constant(graph: KnowledgeGraph, value: float = 0.0) -> Model:
    return given(torch.full((graph.num_entities, 2 * graph.num_relations, graph.num_entities), value))


def ranks_by_hand(
    score: Callable[[int, int, int], float], facts: Facts, known: Facts, num_entities: int, num_relations: int
) -> list[tuple[int, int, int]]:
    """(above, equal, candidates) of each fact's tail, then of each fact's head, by the definition."""
    stated = {tuple(fact) for fact in known.tolist()}
    questions = [(h, r, t, lambda e, h=h, r=r: (h, r, e)) for h, r, t in facts.tolist()]
    questions += [(t, r + num_relations, h, lambda e, r=r, t=t: (e, r, t)) for h, r, t in facts.tolist()]
    found = []
    for head, relation, truth, as_fact in questions:
        others = [e for e in range(num_entities) if e != truth and as_fact(e) not in stated]
        mine = score(head, relation, truth)
        scores = [score(head, relation, e) for e in others]
        above = sum(math.isnan(mine) or math.isnan(other) or other > mine for other in scores)
        equal = sum(not math.isnan(mine) and other == mine for other in scores)
        found.append((above, equal, len(others) + 1))
    return found


def a_result(**changes: Any) -> Result:
    """A result as it should be, but for the changes."""
    whole: dict[str, Any] = {
        "dataset": "fb15k-237",
        "model": "DistMult",
        "method": "plain",
        "split": "test",
        "metrics": {"mrr": 0.3369, "hits@1": 0.2471, "hits@3": 0.3702, "hits@10": 0.5188, "mr": 180.5, "amri": 0.97},
        "protocol": Protocol().to_dict(),
        "config": {"dim": 100},
        "command": "gnnkg train distmult.yaml",
        "seed": 0,
        "commit": "0" * 40,
        "data_hash": "ab" * 32,
        "hardware": {"cpu": "a processor", "cores": 2, "gpu": []},
        "wall_seconds": 1830.0,
        "peak_memory_bytes": 10**9,
        "paper": {"mrr": 0.343, "hits@10": 0.531, "source": "LibKGE"},
        "intervals": {"mrr": [0.332, 0.341]},
    }
    return Result(**whole | changes)
