from __future__ import annotations

from typing import Literal

import torch

from gnnkg.core import Batch, Candidates, Labels
from gnnkg.samplers.tables import behind_own, known


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
        shape = self._tables(len(batch.head)), self.num_negatives
        table = torch.randint(batch.graph.num_entities, shape, device=batch.head.device)
        return behind_own(batch, table, ~known(batch, table) if self.filtered else None)
