"""Masks for each pair of a query and a candidate that are drawn and never stored.

Each component of a query has a random word, and each of a candidate; a mask is made of the product of two. For query b of B,
candidate k of K and component d:

    word(row, d)  = key(d * (B + K) + row) with its last two bits set to 01        ``gnnkg.ops.hashing``; rows below B are queries,
                                                                                   and D * (B + K) is at most 2^32
    keep[b, k, d] = word(b, d) * word(B + k, d) mod 2^32, as a signed number, < 2^32 * rate - 2^31

Such words are a group under multiplication, so a product is as random as its factors: the masks of one query are independent of
each other, those of one candidate too, and any three of all. Of four that two queries have with two candidates, the fourth
product follows from the others, as in simple tabulation hashing (Pătraşcu and Thorup, 2012); the tests see nothing of it in the
masks. So each query's loss and gradients are distributed as with independent masks. The rate is a multiple of 2^-30; 0 and 1 are
exact.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Int, Int32
from torch import Tensor
from torch.nn import functional

from gnnkg.ops.hashing import WORD, keys

RANDOM, FIXED = WORD - 3, 1
"""the bits of a word that are random, and those that all have"""
STEPS = 1 << 30
"""in which rates are counted"""
LOWEST = -(1 << 31)
"""of the signed numbers of 32 bits"""

Form = Literal["both", "block", "low", "high"]


class Drawn(NamedTuple):
    """A mask of its own for each pair, as EMU was published; see the module."""

    rate: float
    """the probability of a 1"""
    seed: int
    """of 64 bits"""
    form: Form = "both"
    """``"block"``: component W + w has the mask of w, W the half of the width: the parts of a complex number ``[re | im]``.
    ``"low"``, ``"high"``: the first and the second half of vectors of twice the width"""
    biases: int = 0
    """how many of the last components have no mask and stay the candidate's; of products alone"""

    @property
    def threshold(self) -> int:
        """What kept components lie below, of 32 bits: no product is its largest, so that all lie below that."""
        return min(4 * round(self.rate * STEPS) + LOWEST, -LOWEST - 1)

    def halves(self) -> tuple[Drawn, Drawn]:
        """The masks of the two halves of vectors."""
        if self.form not in ("both", "block"):
            raise ValueError("masks of half a vector cannot be halved again")
        return self._replace(form="low"), self._replace(form="high" if self.form == "both" else "low")

    def components(self, width: int) -> Int[Tensor, " {width}"]:
        """The d of the module, for each component of vectors of this width."""
        d = torch.arange(width)
        return d % -(-width // 2) if self.form == "block" else d + width if self.form == "high" else d


def words(
    drawn: Drawn, num_queries: int, num_candidates: int, width: int, device: torch.device | str | None = None
) -> tuple[Int32[Tensor, "B D"], Int32[Tensor, "K D"]]:
    """Of queries and of candidates."""
    rows = num_queries + num_candidates
    place = drawn.components(width).to(device) * rows + torch.arange(rows, device=device).unsqueeze(1)
    found = (keys(place, drawn.seed) & RANDOM | FIXED).to(torch.int32)
    return found[:num_queries], found[num_queries:]


def masks(
    drawn: Drawn, num_queries: int, num_candidates: int, width: int, device: torch.device | str | None = None
) -> Bool[Tensor, "B K D"]:
    """The definition, stored: for the reference, for scorers that are no sum over components, and for tests."""
    of_queries, of_candidates = words(drawn, num_queries, num_candidates, width - drawn.biases, device)
    return functional.pad(of_queries.unsqueeze(1) * of_candidates < drawn.threshold, (0, drawn.biases), value=True)
