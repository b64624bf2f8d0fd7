from __future__ import annotations

import torch

from gnnkg.core import Batch, Candidates, Labels
from gnnkg.samplers.tables import behind_own, known


class InBatch:
    """The tails of the batch's other queries are the negatives: one table for all, each query's own tail as column 0.

    ``num_negatives`` draws that many of them without replacement; None, or more than there are, takes them all. A tail stands in
    the table as often as in the batch, so entities are met as often as facts name them: no correction is made for this. Columns
    that hold the query's own tail are masked, and with ``filtered`` those that hold another known training tail.

    A query has no negative where the table holds nothing but its own tail, as in a batch of one: only the loss of its truth is
    left, which is 0 for losses that compare (cross-entropy, margin). ``Queries(drop_last=True)`` avoids short batches.
    """

    def __init__(self, num_negatives: int | None = None, filtered: bool = False) -> None:
        if num_negatives is not None and num_negatives < 1:
            raise ValueError(
                f"num_negatives must be at least 1, or None for all tails of the batch, not {num_negatives}"
            )
        self.num_negatives = num_negatives
        self.filtered = filtered

    def __call__(self, batch: Batch) -> tuple[Candidates, Labels]:
        table = batch.tail[None]
        if self.num_negatives is not None:
            table = table[:, torch.randperm(len(batch.tail), device=batch.tail.device)[: self.num_negatives]]
        active = table != batch.tail[:, None]
        return behind_own(batch, table, active & ~known(batch, table) if self.filtered else active)
