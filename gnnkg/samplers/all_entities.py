from __future__ import annotations

from typing import Literal

import torch

from gnnkg.core import EVERY_ENTITY, Batch, Candidates, Labels


class AllEntities:
    """Every entity is a candidate.

    ``true="own"`` is 1-vs-all: only the query's own tail is labelled 1. With ``filtered`` its other known tails are masked.
    ``true="all"`` is K-vs-all (1-N scoring): all known training tails are labelled 1; ask each (head, relation) once an epoch
    with ``Queries(distinct=True)``.

    ``smoothing`` eps turns labels y into (1 - eps) y + eps / N, or, with ``smoothing_term="code"``, into (1 - eps) y + 1 / N as
    the public code of ConvE and TuckER does.

    ``apart`` gives the query's own tail a column of its own, in front, and masks it, labelled 0, among the others: methods that
    mutate candidates towards the truth need it there (EMU for 1-vs-all). They refuse ``true="all"``, since known tails are no
    negatives.
    """

    def __init__(
        self,
        true: Literal["own", "all"] = "own",
        filtered: bool = False,
        smoothing: float = 0.0,
        smoothing_term: Literal["standard", "code"] = "standard",
        apart: bool = False,
    ) -> None:
        if true == "all" and filtered:
            raise ValueError("with true='all' known tails are labelled 1: there is nothing left to filter")
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing must lie in [0, 1), not {smoothing}")
        self.true = true
        self.filtered = filtered
        self.smoothing = smoothing
        self.smoothing_term = smoothing_term
        self.apart = apart

    def __call__(self, batch: Batch) -> tuple[Candidates, Labels]:
        num_queries, num_entities, device = len(batch.head), batch.graph.num_entities, batch.head.device
        value = torch.zeros(num_queries, num_entities, device=device)
        mask = None
        if self.true == "all" or self.filtered:
            known = batch.graph.known.of(batch.head, batch.relation)
            if self.true == "all":
                value[known.queries, known.tails] = 1
            else:
                mask = torch.ones(num_queries, num_entities, dtype=torch.bool, device=device)
                mask[known.queries, known.tails] = False
                mask.scatter_(1, batch.tail[:, None], True)
        value.scatter_(1, batch.tail[:, None], 1)
        if self.smoothing:
            added = (self.smoothing if self.smoothing_term == "standard" else 1.0) / num_entities
            value.mul_(1 - self.smoothing).add_(added)
        if not self.apart:
            return EVERY_ENTITY, Labels(value, mask, batch.tail, batch.weight)
        own = batch.tail[:, None]
        others = torch.ones_like(value, dtype=torch.bool) if mask is None else mask
        mask = torch.cat([torch.ones_like(own, dtype=torch.bool), others.scatter(1, own, False)], 1)
        value = torch.cat([value.gather(1, own), value.scatter(1, own, 0)], 1)
        return Candidates(own=batch.tail), Labels(value, mask, torch.zeros_like(batch.tail), batch.weight)
