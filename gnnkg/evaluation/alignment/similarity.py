from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

MEMORY = 2**30
"""bytes for similarities, unless it is said: 1 GiB"""


class Block(NamedTuple):
    """Some rows of a matrix."""

    first: int
    scores: Float[Tensor, "rows M"]

    @property
    def rows(self) -> slice:
        return slice(self.first, self.first + len(self.scores))


class Similarity:
    """The cosine of each of N left and M right vectors, an (N, M) matrix of which a block of rows exists at a time.

    A matrix that fits into half of ``memory`` bytes is computed once and kept; a larger one is computed anew for each pass. What
    works on a block may need as much again, so that ``memory`` bounds both. A vector of zeros is similar to none: 0.

    Raises ValueError where the widths differ, or a side has no vector.
    """

    def __init__(self, left: Float[Tensor, "N D"], right: Float[Tensor, "M X"], memory: int = MEMORY) -> None:
        if left.shape[1] != right.shape[1] or not len(left) or not len(right):
            raise ValueError(f"vectors of one width are compared, not {tuple(left.shape)} with {tuple(right.shape)}")
        self.left = functional.normalize(left.detach().float(), dim=1)
        self.right = functional.normalize(right.detach().float(), dim=1)
        self.shape = (len(left), len(right))
        fits = 4 * len(left) * len(right) <= memory // 2
        self._rows = len(left) if fits else max(1, memory // (16 * len(right)))
        self._kept = self.left @ self.right.T if fits else None

    @property
    def transposed(self) -> Similarity:
        """Right against left."""
        turned = object.__new__(Similarity)
        turned.left, turned.right, turned.shape = self.right, self.left, self.shape[::-1]
        turned._rows = max(1, self._rows * self.shape[1] // self.shape[0])
        turned._kept = None if self._kept is None else self._kept.T
        return turned

    def blocks(self) -> Iterator[Block]:
        """The rows in order. A block is not to be written to."""
        for first in range(0, self.shape[0], self._rows):
            rows = slice(first, first + self._rows)
            yield Block(first, self.left[rows] @ self.right.T if self._kept is None else self._kept[rows])
