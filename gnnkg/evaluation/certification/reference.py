"""The definition of what is counted: one noisy ranking after the other."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.core import Scorer
from gnnkg.evaluation.certification.question import Question, beats


@torch.no_grad()
def count(scorer: Scorer, question: Question, noise: Float[Tensor, "n D"], top: int = 1) -> int:
    """Under how many draws of noise on the head fewer than ``top`` rivals score as much as the truth, or more.

    Scorer and question should be in float64, in which a score does not depend on how sums are ordered, but for ``TIE``.
    """
    correct = 0
    for draw in noise:
        query = question.queries(scorer, draw.unsqueeze(0))
        scores = question.match(scorer, query, question.table)[0]
        ahead = beats(scores[question.rivals], scores[question.truth])
        correct += int(ahead.sum() < top)
    return correct
