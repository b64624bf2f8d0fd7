"""What ranks are summed up in: MRR, MR, Hits@k, AMRI; of all queries or of groups of them; with bootstrap intervals.

Each metric follows from means over queries, the columns of ``summands``. So groups are sums by group, and resampled data
sets are products with how often each fact was drawn.

    mrr     mean of 1 / rank                                             in (0, 1], higher is better
    mr      mean rank                                                    from 1, lower is better
    hits@k  share of ranks <= k                                          in [0, 1]
    amri    1 - (mr - 1) / (E[mr] - 1), where the E[rank] of a random order of c candidates is (c + 1) / 2
            1: perfect, 0: random, below: worse than random (adjusted mean rank index; Berrendorf et al., "On the Ambiguity
            of Rank-Based Evaluation of Entity Alignment or Link Prediction Methods", 2020)

and on request, for graphs so small that Hits@k says little, the protocol of GraIL (Teru et al., ICML 2020) in NBFNet's closed form
(Zhu et al., NeurIPS 2021):

    hits@10_50  chance that the truth is among the best 10 of itself and 50 candidates drawn uniformly, with replacement, from its
                c - 1 others: sum_{i < 10} C(50, i) p^i (1 - p)^(50 - i), where p = (rank - 1) / (c - 1) is the chance that one
                draw scores above it. One that ties counts half, as if a coin decided. Nothing is drawn, so nothing is random.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

HITS = (1, 3, 10)
METRICS = ("mrr", "mr", *(f"hits@{k}" for k in HITS), "amri")
SAMPLED = "hits@10_50"
SAMPLING = "50 candidates drawn uniformly with replacement from those that the filter leaves, in expectation, a tie counts half"
"""the protocol of ``SAMPLED`` in words"""


def summands(ranks: Float[Tensor, " Q"], candidates: Int[Tensor, " Q"], sampled: bool = False) -> Float[Tensor, "Q V"]:
    """What the metrics are means of, a row a query."""
    hits = [(ranks <= k).double() for k in HITS]
    drawn = [hits_of_sample(ranks, candidates)] if sampled else []
    return torch.stack([ranks.reciprocal(), ranks, *hits, (candidates - 1) / 2, *drawn], dim=1).double()


def hits_of_sample(
    ranks: Float[Tensor, " Q"], candidates: Int[Tensor, " Q"], k: int = 10, drawn: int = 50
) -> Float[Tensor, " Q"]:
    """Each query's chance that fewer than k of ``drawn`` candidates score above its truth. 1 where it has no other candidate."""
    above = ((ranks - 1) / (candidates - 1).clamp(min=1)).double().unsqueeze(1)
    i = torch.arange(k)
    ways = torch.tensor([math.comb(drawn, n) for n in range(k)], dtype=torch.float64)
    return (ways * above**i * (1 - above) ** (drawn - i)).sum(1)


def from_means(means: Float[Tensor, "*G V"]) -> dict[str, Float[Tensor, "*G"]]:
    """The metrics, given the means of ``summands``. NaN where there is nothing to measure."""
    columns = list(means.unbind(-1))
    columns[5] = 1 - (columns[1] - 1) / columns[5]  # amri, from the mean rank and that of a random order
    names = (*METRICS, SAMPLED) if len(columns) > len(METRICS) else METRICS
    return dict(zip(names, columns, strict=True))


def metrics(ranks: Float[Tensor, " Q"], candidates: Int[Tensor, " Q"], sampled: bool = False) -> dict[str, float]:
    """The metrics of all queries."""
    return {name: value.item() for name, value in from_means(summands(ranks, candidates, sampled).mean(0)).items()}


def metrics_by_group(
    values: Float[Tensor, "Q V"], group: Int[Tensor, " Q"], names: tuple[str, ...]
) -> dict[str, dict[str, float]]:
    """The metrics of each group of queries and how many ``queries`` it has; groups without any are left out."""
    sums = torch.zeros(len(names), values.shape[1], dtype=values.dtype).index_add_(0, group, values)
    count = torch.bincount(group, minlength=len(names))
    columns = from_means(sums / count.unsqueeze(1))
    return {
        name: {metric: column[i].item() for metric, column in columns.items()} | {"queries": int(count[i])}
        for i, name in enumerate(names)
        if count[i]
    }


def constant_scorer(candidates: Int[Tensor, " Q"]) -> dict[str, float]:
    """What a model that scores all candidates alike gets: each truth in the middle, at rank (c + 1) / 2."""
    return metrics((candidates.double() + 1) / 2, candidates)


def bootstrap_intervals(
    values: Float[Tensor, "M V"], resamples: int, seed: int, level: float = 0.95
) -> dict[str, tuple[float, float]]:
    """Percentile intervals over data sets of M facts drawn from these M with replacement. Empty where resamples is 0."""
    num_facts = len(values)
    if not resamples or not num_facts:
        return {}
    generator = torch.Generator().manual_seed(seed)
    means = []
    at_once = max(1, 2**21 // num_facts)
    for first in range(0, resamples, at_once):
        rows = min(at_once, resamples - first)
        drawn = torch.randint(num_facts, (rows, num_facts), generator=generator)
        drawn += torch.arange(0, rows * num_facts, num_facts).unsqueeze(1)
        times = torch.bincount(drawn.flatten(), minlength=rows * num_facts).view(rows, num_facts)
        means.append(times.double() @ values / num_facts)
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    ends = {name: torch.quantile(column, tails) for name, column in from_means(torch.cat(means)).items()}
    return {name: (low.item(), high.item()) for name, (low, high) in ends.items()}
