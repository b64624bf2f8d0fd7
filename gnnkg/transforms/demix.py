from __future__ import annotations

import warnings
from functools import cache
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import beta
from torch import Tensor
from torch.distributions import Beta

from gnnkg.core import Blend, Labels, Scorer, Vectors
from gnnkg.ops.columns import columns_of
from gnnkg.ops.partners import partners, shares
from gnnkg.ops.suspects import Kinds
from gnnkg.ops.uniform import uniform
from gnnkg.transforms.pseudo_negatives import kinds, positives
from gnnkg.transforms.towards import own_tail


class DeMix:
    """Adaptive denoising mixup: negatives that score like true tails become partially positive, the others harder.

        e' = lam e + (1 - lam) p,    y' = (1 - lam) y_p,    lam = max(l, 1 - l),    l ~ Beta(alpha, alpha)

    Chen et al., "Negative Sampling with Adaptive Denoising Mixup for Knowledge Graph Embedding", ISWC 2023, arXiv 2310.09781.
    A marginal pseudo-negative (MPNE, see ``pseudo_negatives``) gets as partner p one of the known tails of its query that score
    lowest (y_p = 1); a true negative another true negative of its query (y_p = 0). Use it with the sampler ``WithPositives``, which
    brings known tails, and the loss ``SelfAdversarial``, whose negatives may be true by a share; temperature 0 weights them alike.
    Choices, scores for the choice, shares and labels have no gradient; both partners' vectors have. Where scores are
    linear in the candidate, the scores are mixed; elsewhere the vectors, phases on the circle. These are stored, (B, C, D), unless
    they are rows of a table that the scorer reads in place.

    ``mu``, ``delta`` and ``upper``: which negatives are suspicious. ``anneal`` lets mu fall to 0 in so many epochs, and in the
    first ``warm_up`` epochs the negatives stay what they are. ``cap``: partners are the lower half of the known tails by score, or
    those not above the mean. ``coefficient``: l ~ Beta(alpha, alpha), or Beta(n, alpha) or Beta(alpha, n) with n known
    tails of the query, of those that the sampler brings (17 at most by default: the paper counts all).
    ``alpha=0`` mixes nothing.

    For ablations: ``split="all"`` takes every negative for a pseudo-negative and ``"none"`` none (no MPNE); ``pseudo="masked"``
    takes pseudo-negatives out of the loss in place of mixing them and ``"unchanged"`` leaves them; ``mix_true=False`` leaves the
    others.

    Warns where the sampler brings no known tails; raises ValueError where it gives no separate truth (1-vs-all), and after EMU.
    """

    def __init__(
        self,
        mu: float = 1.0,
        alpha: float = 0.5,
        delta: Literal["relative", "additive"] = "relative",
        upper: Literal["inf", "mean"] = "inf",
        anneal: int | None = None,
        warm_up: int = 0,
        cap: Literal["lowest", "below_mean"] = "lowest",
        coefficient: Literal["symmetric", "pattern_first", "alpha_first"] = "symmetric",
        max_rule: bool = True,
        split: Literal["scores", "all", "none"] = "scores",
        pseudo: Literal["mixed", "masked", "unchanged"] = "mixed",
        mix_true: bool = True,
    ) -> None:
        if alpha < 0 or warm_up < 0 or (anneal is not None and anneal < 1):
            raise ValueError(
                f"alpha and warm_up must be at least 0 and anneal at least 1, not {alpha}, {warm_up} and {anneal}"
            )
        self.mu = mu
        self.alpha = alpha
        self.delta: Literal["relative", "additive"] = delta
        self.upper: Literal["inf", "mean"] = upper
        self.anneal = anneal
        self.warm_up = warm_up
        self.cap = cap
        self.coefficient = coefficient
        self.max_rule = max_rule
        self.split = split
        self.pseudo = pseudo
        self.soft = pseudo == "mixed" and split != "none" and alpha > 0
        self.mix_true = mix_true
        self.epoch = warm_up  # outside of a training loop the warm-up is over

    def before_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __call__(self, scorer: Scorer, vectors: Vectors, labels: Labels) -> tuple[Vectors, Labels]:
        own_tail(vectors, "DeMix")
        columns = _of_a_loss(labels)
        bare = len(columns) == labels.value.shape[1]
        if bare and (self.split == "scores" or (self.split == "all" and self.pseudo == "mixed")):
            warnings.warn(
                "DeMix compares negatives with other known tails of their query, and the sampler brings none, so that there is the "
                "own tail alone: wrap it in WithPositives, or choose split='none', which mixes negatives with each other",
                stacklevel=2,
            )
        if self.epoch < self.warm_up:
            if bare:
                return vectors, labels
            return vectors.of_columns(columns[1:] - 1), _at(columns, labels)
        with torch.set_grad_enabled(scorer.linear and torch.is_grad_enabled()):
            scores = scorer(vectors)  # which serve the loss too where they are linear
        with torch.no_grad():
            found = self._kinds(scores, labels)
            partner, share = self._partners(scores, found, columns)
        value, mask = columns_of(labels.value, columns), labels.mask
        if self.pseudo == "mixed":
            value = torch.where(columns_of(found.suspects, columns), 1 - share, value)
        elif self.pseudo == "masked":
            mask = labels.active & ~found.suspects
        blend = Blend(columns, partner, share, scores if scorer.linear else None)
        mask = None if mask is None else columns_of(mask, columns)
        return vectors.replace(blend=blend), Labels(value, mask, labels.truth, labels.weight)

    def suspects(self, scores: Float[Tensor, "B C"], labels: Labels) -> Bool[Tensor, "B C"]:
        """The negatives that are taken for pseudo-negatives, by the model's scores."""
        return self._kinds(scores, labels).suspects

    def _kinds(self, scores: Float[Tensor, "B C"], labels: Labels) -> Kinds:
        if self.split != "scores":
            negatives, nothing = labels.negatives, torch.zeros_like(labels.negatives)
            suspicious, others = (negatives, nothing) if self.split == "all" else (nothing, negatives)
            return Kinds(positives(labels), suspicious, others)
        mu = self.mu if self.anneal is None else self.mu * max(0.0, 1 - self.epoch / self.anneal)
        return kinds(scores, labels, mu, self.delta, self.upper)

    def _partners(
        self, scores: Tensor, found: Kinds, columns: Tensor
    ) -> tuple[Int[Tensor, "B X"], Float[Tensor, "B X"]]:
        """For each of these columns the one that it is mixed with, and the share of its own that it keeps; 1 if left alone."""
        near = found.suspects if self.pseudo == "mixed" else torch.zeros_like(found.suspects)
        harder = found.others if self.mix_true else torch.zeros_like(found.others)
        partner = partners(scores, found.known, near, harder, uniform(scores), self.cap == "below_mean")
        mixed, partner = columns_of(near | harder, columns), columns_of(partner, columns)
        return partner, self._shares(found.known, mixed, scores.dtype)

    def _shares(
        self, known: Bool[Tensor, "B C"], mixed: Bool[Tensor, "B X"], dtype: torch.dtype
    ) -> Float[Tensor, "B X"]:
        like = torch.empty(mixed.shape, dtype=dtype, device=mixed.device)
        if self.alpha == 0:
            return torch.ones_like(like)
        if self.coefficient == "symmetric":
            return shares(uniform(like), _quantiles(self.alpha).to(like), mixed, self.max_rule)
        alpha, number = torch.full_like(like, self.alpha), known.sum(1, keepdim=True).to(dtype).expand_as(like)
        drawn = (Beta(number, alpha) if self.coefficient == "pattern_first" else Beta(alpha, number)).sample()
        return torch.where(mixed, torch.maximum(drawn, 1 - drawn) if self.max_rule else drawn, 1)


@cache
def _quantiles(alpha: float) -> Float[Tensor, " Q"]:
    """Of Beta(alpha, alpha), which is drawn by inverting its distribution between them: ten times faster than torch's sampler."""
    return torch.from_numpy(beta.ppf(np.linspace(0, 1, 4097), alpha, alpha))


def _of_a_loss(labels: Labels) -> Int[Tensor, " X"]:
    """The columns that take part for some query: all but the known tails, which serve as partners only."""
    columns = torch.arange(labels.value.shape[1], device=labels.value.device)
    return columns if labels.mask is None else columns[labels.mask.any(0)]


def _at(columns: Int[Tensor, " X"], labels: Labels) -> Labels:
    mask = None if labels.mask is None else columns_of(labels.mask, columns)
    return Labels(columns_of(labels.value, columns), mask, labels.truth, labels.weight)
