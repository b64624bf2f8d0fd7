from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

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
        positives, there = self._positives(batch)
        table = candidates.table.repeat_interleave(len(batch.head) // len(candidates.table), 0)
        labels = Labels(
            torch.cat([labels.value, there.to(labels.value.dtype)], 1),
            torch.cat([labels.active, torch.zeros_like(there)], 1),
            labels.truth,
            labels.weight,
        )
        return Candidates(torch.cat([table, positives], 1), candidates.own), labels

    def _positives(self, batch: Batch) -> tuple[Int[Tensor, "B P"], Bool[Tensor, "B P"]]:
        """Other known tails of each query, and which of these places are filled."""
        known = batch.graph.known.of(batch.head, batch.relation)
        row = known.queries
        other = known.tails != batch.tail[row]
        tails, row = known.tails[other], row[other]
        count = torch.bincount(row, minlength=len(batch.head)).unsqueeze(1)
        place = torch.arange(self.num_positives, device=row.device).expand(len(batch.head), -1)
        drawn = ((place + torch.rand(place.shape, device=row.device)) * count / self.num_positives).long()
        place = torch.where(count > self.num_positives, drawn.minimum(count - 1), place)
        there = place < count
        start = count.cumsum(0) - count
        padded = torch.cat([tails, tails.new_zeros(1)])  # where no query has another tail there is still one to index
        positives = padded[torch.where(there, start + place, len(tails))]
        return torch.where(there, positives, batch.tail.unsqueeze(1)), there

    def before_epoch(self, epoch: int) -> None:
        if isinstance(self.sampler, FollowsEpochs):
            self.sampler.before_epoch(epoch)
