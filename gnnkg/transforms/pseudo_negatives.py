from __future__ import annotations

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor

from gnnkg.core import Labels
from gnnkg.ops.suspects import Kinds, suspects


def positives(labels: Labels) -> Bool[Tensor, "B C"]:
    """The columns that hold a known tail of the query: its truth, and those that ``WithPositives`` has added."""
    known = (labels.value == 1) & ~labels.active
    return known.scatter(1, labels.truth.unsqueeze(1), True)


def pseudo_negatives(
    scores: Float[Tensor, "B C"],
    labels: Labels,
    mu: float = 1.0,
    delta: Literal["relative", "additive"] = "relative",
    upper: Literal["inf", "mean"] = "inf",
) -> Bool[Tensor, "B C"]:
    """Which negatives score like true tails of the same query, and so may be true: DeMix's marginal pseudo-negatives (MPNE).

        low <= f(e) <= high,    low = min X - slack,    high = infinity, or mean X with ``upper="mean"``

    X are the scores of the query's known tails. The slack is ``mu`` (``delta="additive"``), or mu / 5 * (mean X - min X)
    (``"relative"``); a query with one known tail takes the standard deviation of all X of the batch for its spread.
    Chen et al., arXiv 2310.09781; the paper gives the minimum, the mean and mu, and the way they combine is our reading.
    """
    return kinds(scores, labels, mu, delta, upper).suspects


def kinds(
    scores: Float[Tensor, "B C"],
    labels: Labels,
    mu: float,
    delta: Literal["relative", "additive"],
    upper: Literal["inf", "mean"],
) -> Kinds:
    """These beside the known tails and the other negatives."""
    return suspects(scores, labels.value, labels.mask, labels.truth, mu, delta == "additive", upper == "mean")
