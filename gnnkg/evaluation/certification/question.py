"""One query to be certified: its vectors, its truth and the candidates that it must beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnnkg.core import Scorer

TIE = 1e-11
"""how near two scores count as equal, relative to 1 + |score|: far above what float64 rounds, far below what float32 resolves"""


@dataclass(frozen=True, slots=True)
class Question:
    """(h, r, ?) with a true tail, as vectors.

    The event that is certified: fewer than ``top`` rivals score as much as the truth, or more. Ties count against the truth, as do
    scores within ``TIE`` of it, and scores that are NaN.
    """

    head: Float[Tensor, " D"]
    relation: Float[Tensor, " W"]
    table: Float[Tensor, "N D"]
    truth: int
    rivals: Int[Tensor, " K"]
    """the candidates that the filter leaves, but the truth; the order does not matter to what is counted"""

    def queries(self, scorer: Scorer, noise: Float[Tensor, "n D"]) -> Float[Tensor, "n Q"]:
        """What the scorer looks for under each draw of noise."""
        return scorer.query(self.head + noise, self.relation.expand(len(noise), -1))

    def match(self, scorer: Scorer, queries: Float[Tensor, "n Q"], tails: Float[Tensor, "K D"]) -> Float[Tensor, "n K"]:
        return scorer.match(queries, tails.unsqueeze(0))

    def double(self) -> Question:
        head, relation, table = self.head.double(), self.relation.double(), self.table.double()
        return Question(head, relation, table, self.truth, self.rivals)


def beats(scores: Tensor, own: Tensor) -> Tensor:
    """Whether each score counts against a truth that scores ``own``, which broadcasts. For float64."""
    return ~(scores < own - TIE * (1 + own.abs()))


def draws(seed: int, head: int, relation: int, size: tuple[int, int]) -> Float[Tensor, "n D"]:
    """Standard normal noise of a query: from (seed, head, relation) alone, whatever else is certified, and in which order."""
    stream = np.random.SeedSequence([seed, head, relation])
    generator = np.random.Generator(np.random.Philox(stream))
    return torch.from_numpy(generator.standard_normal(size, dtype=np.float32))
