"""Rivals that cannot matter, and rivals that need no exact score: what is known of a score's shape as a function of the head."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnnkg.core import Scorer
from gnnkg.evaluation.certification.question import TIE, Question

BLOCK = 2048
"""rivals whose gradients are held at once"""


def responses(precise: Scorer, question: Question, deviation: float) -> Float[Tensor, "X Q"]:
    """The query without noise, and D more, with ``deviation`` added to one component of the head each. Float64, as ``precise``."""
    head = question.head.double()
    steps = deviation * torch.eye(len(head), dtype=head.dtype, device=head.device)
    heads = head + torch.cat([torch.zeros_like(steps[:1]), steps])
    return precise.query(heads, question.relation.double().expand(len(heads), -1))


def chances(
    precise: Scorer, question: Question, responses: Float[Tensor, "X Q"], rivals: Int[Tensor, " K"]
) -> Float[Tensor, " K"]:
    """At most the probability with which each rival scores as much as the truth or more under Gaussian noise, if below 1/2.

    For scores that are affine in the head: rival minus truth is then normal, with the clean difference as its mean, and as its
    standard deviation the length of its changes under ``responses``. Means and gradients are those of ``precise``, in float64;
    only the product of gradients and changes and its length are in the precision of the question, and what they may round is added
    to the deviation.
    """
    clean, changes = responses[:1], responses[1:] - responses[:1]
    own, own_slope = tangents(precise, clean, question.table[question.truth].unsqueeze(0).double())
    fast = question.table.dtype
    unit = (len(clean[0]) + len(changes) + 8) * torch.finfo(fast).eps * changes.norm()
    found = []
    for some in rivals.split(BLOCK):
        scores, slopes = tangents(precise, clean, question.table[some].double())
        slopes = (slopes - own_slope).to(fast)
        moved = (slopes @ changes.to(fast).t()).norm(dim=1)
        spread = moved.double() + unit * slopes.norm(dim=1).double()
        found.append(torch.special.ndtr((scores - own + TIE * (1 + own.abs())) / spread))
    return torch.cat(found).nan_to_num(nan=1.0)  # a rival that is no number


def pruned(chances: Float[Tensor, " K"], budget: float) -> Int[Tensor, " X"]:
    """The places of the rivals that must stay: the others win with a probability of ``budget`` at most, all together."""
    sizes, order = chances.sort()
    # a hundredth more, for the noise, which is drawn in float32
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
