from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnnkg.evaluation.alignment.correction import Correction


class Pairs(NamedTuple):
    """Rows and columns that belong together, with their scores."""

    left: Int[Tensor, " P"]
    right: Int[Tensor, " P"]
    score: Float[Tensor, " P"]


class Nearest(NamedTuple):
    """The best column of each row, and the best row of each column."""

    of_left: Pairs
    of_right: Pairs


@torch.no_grad()
def nearest(scores: Correction) -> Nearest:
    """The best of each row and column, by lowest index among equals. One pass."""
    rows, columns = scores.shape
    device = scores.left.device
    best = torch.full((columns,), -torch.inf, device=device)
    best_row = torch.zeros(columns, dtype=torch.int64, device=device)
    column_of, score_of = [], []
    for block in scores.blocks():
        score, column = block.scores.max(1)
        column_of.append(column)
        score_of.append(score)
        score, row = block.scores.max(0)
        better = score > best
        best_row = torch.where(better, row + block.first, best_row)
        best = torch.where(better, score, best)
    left, right = torch.arange(rows, device=device), torch.arange(columns, device=device)
    return Nearest(Pairs(left, torch.cat(column_of), torch.cat(score_of)), Pairs(best_row, right, best))


def mutual_best(scores: Correction) -> Pairs:
    """The pairs of which each is the other's best: one to one, and not everyone has a partner. Ascending by row.

    A vector of zeros, of which nothing is known, belongs to none.
    """
    of_left, of_right = nearest(scores)
    told = [side.any(1) for side in (scores.similarity.left, scores.similarity.right)]
    mutual = (of_right.left[of_left.right] == of_left.left) & told[0] & told[1][of_left.right]
    return Pairs(of_left.left[mutual], of_left.right[mutual], of_left.score[mutual])
