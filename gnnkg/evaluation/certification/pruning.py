"""Rivals that cannot matter, and rivals that need no exact score: what is known of a score's shape as a function of the head."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnnkg.core import Scorer
from gnnkg.evaluation.certification.question import Question


def responses(scorer: Scorer, question: Question, deviation: float) -> Float[Tensor, "X Q"]:
    """The query without noise, and D more, with ``deviation`` added to one component of the head each."""
    steps = deviation * torch.eye(len(question.head), dtype=question.head.dtype, device=question.head.device)
    return question.queries(scorer, torch.cat([torch.zeros_like(steps[:1]), steps]))


def chances(
    scorer: Scorer, question: Question, responses: Float[Tensor, "X Q"], rivals: Int[Tensor, " K"]
) -> Float[Tensor, " K"]:
    """The probability with which each rival scores as much as the truth or more under Gaussian noise; in float64.

    For scores that are affine in the head: rival minus truth is then normal, with the clean difference as its mean, and as its
    standard deviation the length of its changes under ``responses``.
    """
    own = question.match(scorer, responses, question.table[question.truth].unsqueeze(0))
    ahead = question.match(scorer, responses, question.table[rivals]) - own  # (1 + D, K)
    spread = (ahead[1:] - ahead[0]).norm(dim=0).double()
    found = torch.special.ndtr(ahead[0].double() / spread)
    return found.nan_to_num(nan=1.0)  # a rival that is no number, or the same as the truth


def pruned(chances: Float[Tensor, " K"], budget: float) -> Int[Tensor, " X"]:
    """The places of the rivals that must stay: the others win with a probability of ``budget`` at most, all together."""
    sizes, order = chances.sort()
    # a hundredth more, for what float32 has rounded in the means and deviations
    return order[int((1.01 * sizes.cumsum(0) <= budget).sum()) :].sort().values


def tangents(
    scorer: Scorer, query: Float[Tensor, "1 Q"], tails: Float[Tensor, "K D"]
) -> tuple[Float[Tensor, " K"], Float[Tensor, "K Q"]]:
    """Each candidate's score for a query, and its gradient in the query: a concave score lies below its tangent."""
    with torch.enable_grad():
        asked = query.expand(len(tails), -1).detach().clone().requires_grad_()
        scores = scorer.match(asked, tails.detach().unsqueeze(1))
        (slopes,) = torch.autograd.grad(scores.sum(), asked)
    return scores.detach().squeeze(1), slopes
