from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.evaluation.alignment.similarity import Block, Similarity


@dataclass(frozen=True, eq=False)
class Correction:
    """Similarities made comparable over rows and columns: an offset of each row and of each column.

        s'_ij = scale * s_ij - left_i - right_j

    A one-to-one assignment of greatest sum stays the same under any offsets; the nearest neighbour of an entity does not.
    """

    similarity: Similarity
    scale: float
    left: Float[Tensor, " N"]
    right: Float[Tensor, " M"]

    @property
    def shape(self) -> tuple[int, int]:
        return self.similarity.shape

    @property
    def transposed(self) -> Correction:
        """Right against left."""
        return Correction(self.similarity.transposed, self.scale, self.right, self.left)

    def blocks(self) -> Iterator[Block]:
        """The corrected similarities, rows in order."""
        for block in self.similarity.blocks():
            scores = block.scores * self.scale
            yield Block(block.first, scores.sub_(self.left[block.rows].unsqueeze(1)).sub_(self.right))


Correct = Callable[[Similarity], Correction]


@torch.no_grad()
def plain(similarity: Similarity) -> Correction:
    """The similarities as they are."""
    device = similarity.left.device
    return Correction(
        similarity,
        1.0,
        torch.zeros(similarity.shape[0], device=device),
        torch.zeros(similarity.shape[1], device=device),
    )
