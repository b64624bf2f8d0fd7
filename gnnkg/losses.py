"""Losses: scores (B, C) and labels in, one loss a query (B,) out. Masked columns have no influence.

Scores are logits. Labels may be soft; every loss says what it makes of them, and one with ``soft = False`` reads none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from gnnkg.core import Labels
from gnnkg.ops.entropy import cross_entropy


@dataclass(frozen=True)
class CrossEntropy:
    """Softmax cross-entropy on soft labels: - sum_j y_j log softmax(s)_j.

    With one-hot labels the ordinary cross-entropy. Labels are *not* normalised by default: with y = (1, beta, ..., beta) this is
    the unbounded label smoothing of EMU (arXiv 2504.03327), Y * CE(y / Y) with Y = sum_j y_j. ``normalise`` divides by Y, so that a
    K-vs-all query with many answers counts as much as one with a single answer.
    """

    normalise: bool = False

    def __call__(self, scores: Float[Tensor, "B C"], labels: Labels) -> Float[Tensor, " B"]:
        loss = cross_entropy(scores, labels.value, labels.mask)
        if not self.normalise:
            return loss
        value = labels.value if labels.mask is None else torch.where(labels.mask, labels.value, 0)
        return loss / value.sum(1)


@dataclass(frozen=True)
class BCE:
    """Binary cross-entropy of every column against its label, averaged (or summed) over the columns that take part."""

    reduction: Literal["mean", "sum"] = "mean"

    def __call__(self, scores: Float[Tensor, "B C"], labels: Labels) -> Float[Tensor, " B"]:
        total = _binary(scores, labels.value, labels.mask).sum(1)
        if self.reduction == "sum":
            return total
        return total / (scores.shape[1] if labels.mask is None else labels.mask.sum(1))


@dataclass(frozen=True)
class SelfAdversarial:
    """Negatives weighted by the model's own softmax over them:

        1/2 [ - log sig(s_truth) - sum_j p_j ( (1 - y_j) log sig(-s_j) + y_j log sig(s_j) ) ]

    with p = softmax(temperature * s), detached, over all columns but the truth (Sun et al., RotatE, ICLR 2019).
    ``temperature=0`` gives equal weights. A column with a soft label y_j counts as true by that share; in the published
    form y_j = 0.
    """

    temperature: float = 1.0

    def __call__(self, scores: Float[Tensor, "B C"], labels: Labels) -> Float[Tensor, " B"]:
        own, negative = _truth_and_rest(scores, labels)
        weight = (self.temperature * scores.detach()).masked_fill(~negative, -torch.inf)
        share = torch.nan_to_num(torch.softmax(weight, dim=1))  # a query without negatives has no weights: 0
        rest = (share * _binary(scores, labels.value, negative)).sum(1)
        return (rest - functional.logsigmoid(own)) / 2


@dataclass(frozen=True)
class Margin:
    """Mean hinge over the negatives: max(0, margin - s_truth + s_j). Labels beyond the truth are not read.

    Bordes et al., NeurIPS 2013.
    """

    margin: float = 1.0
    soft: ClassVar[bool] = False

    def __call__(self, scores: Float[Tensor, "B C"], labels: Labels) -> Float[Tensor, " B"]:
        own, negative = _truth_and_rest(scores, labels)
        hinge = torch.where(negative, (self.margin - own[:, None] + scores).clamp(min=0), 0)
        return hinge.sum(1) / negative.sum(1).clamp(min=1)


def _truth_and_rest(scores: Tensor, labels: Labels) -> tuple[Tensor, Tensor]:
    """The truth's score (B,), and which columns are negatives (B, C)."""
    return scores.gather(1, labels.truth[:, None]).squeeze(1), labels.negatives


def _binary(scores: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Binary cross-entropy of every column (B, C); 0 and without gradient where masked, whatever the score there."""
    if mask is None:
        return functional.binary_cross_entropy_with_logits(scores, value, reduction="none")
    each = functional.binary_cross_entropy_with_logits(torch.where(mask, scores, 0), value, reduction="none")
    return torch.where(mask, each, 0)
