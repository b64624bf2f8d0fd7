from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from gnnkg.core import Batch, Candidates, Labels


class Uniform:
    """Negatives drawn uniformly, with replacement, from all entities; each query's own tail is column 0.

    ``share="batch"``: one table for all queries of the batch, the fastest by far. ``"query"``: a table of its own for each.
    ``"chunk"``: one for every ``chunk`` consecutive queries; ``chunk`` must divide the batch.

    ``filtered`` masks sampled entities that are known training tails of the query; unfiltered, they count as negatives, and so
    may the own tail itself. On every batch some column besides the truth takes part unless all of a query's draws were known.
    """

    def __init__(
        self,
        num_negatives: int = 256,
        share: Literal["batch", "chunk", "query"] = "batch",
        chunk: int = 16,
        filtered: bool = False,
    ) -> None:
        if num_negatives < 1 or chunk < 1:
            raise ValueError(f"num_negatives and chunk must be at least 1, not {num_negatives} and {chunk}")
        self.num_negatives = num_negatives
        self.share = share
        self.chunk = chunk
        self.filtered = filtered

    def _tables(self, num_queries: int) -> int:
        if self.share == "batch":
            return 1
        if self.share == "query":
            return num_queries
        if num_queries % self.chunk:
            raise ValueError(
                f"chunk={self.chunk} must divide the batch, which has {num_queries} queries: choose a batch size that it "
                "divides, and Queries(drop_last=True) where the last batch of an epoch is shorter"
            )
        return num_queries // self.chunk

    def __call__(self, batch: Batch) -> tuple[Candidates, Labels]:
        num_queries, tables, device = len(batch.head), self._tables(len(batch.head)), batch.head.device
        table = torch.randint(batch.graph.num_entities, (tables, self.num_negatives), device=device)
        mask = self._unknown(batch, table) if self.filtered else None
        value = torch.zeros(1, 1 + self.num_negatives, device=device)
        value[0, 0] = 1
        truth = torch.zeros(1, dtype=torch.int64, device=device).expand(num_queries)
        labels = Labels(value.expand(num_queries, -1), mask, truth, batch.weight)
        return Candidates(table, batch.tail), labels

    def _unknown(self, batch: Batch, table: Tensor) -> Tensor:
        num_queries = len(batch.head)
        each = table.repeat_interleave(num_queries // len(table), 0)
        known = batch.graph.known.holds(batch.head[:, None], batch.relation[:, None], each)
        return torch.cat([torch.ones_like(known[:, :1]), ~known], dim=1)
