from __future__ import annotations

import torch
from torch import nn

from gnnkg.core import Batch, Candidates, FollowsEpochs, Labels, Sampler


class WithPositives(nn.Module):
    """Any sampler's candidates, and behind them other known tails of each query, for a method that compares with them (DeMix).

    The added columns are labelled 1 and take no part in a loss. A query with no more than ``num_positives`` other known training
    tails brings all of them; of more, one is drawn from each of ``num_positives`` equal parts. Rows are filled up with the own
    tail, labelled 0. Draws nothing before the sampler does. Each query gets a table of its own: (B, K + num_positives) candidates.

    Raises ValueError where the sampler gives no separate truth (1-vs-all).
    """

    def __init__(self, sampler: Sampler, num_positives: int = 16) -> None:
        super().__init__()
        if num_positives < 1:
            raise ValueError(f"num_positives must be at least 1, not {num_positives}")
        self.sampler = sampler
        self.num_positives = num_positives

    def forward(self, batch: Batch) -> tuple[Candidates, Labels]:
        candidates, labels = self.sampler(batch)
        if candidates.table is None or candidates.own is None:
            raise ValueError(
                "WithPositives adds to sampled negatives, with each query's own tail outside the table: use a sampler such as "
                "Uniform instead of AllEntities (1-vs-all), whose candidates hold the known tails already"
            )
        uniform = torch.rand(len(batch.head), self.num_positives, device=batch.head.device)
        positives, there = batch.graph.known.others(batch.head, batch.relation, batch.tail, uniform)
        table, num_queries = candidates.table, len(batch.head)
        if len(table) != num_queries:
            table = table.repeat_interleave(num_queries // len(table), 0)
        labels = Labels(
            torch.cat([labels.value, there.to(labels.value.dtype)], 1),
            torch.cat([labels.active, torch.zeros_like(there)], 1),
            labels.truth,
            labels.weight,
        )
        return Candidates(torch.cat([table, positives], 1), candidates.own), labels

    def before_epoch(self, epoch: int) -> None:
        if isinstance(self.sampler, FollowsEpochs):
            self.sampler.before_epoch(epoch)
