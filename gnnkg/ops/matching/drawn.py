"""Masks for each pair of a query and a candidate that are drawn and never stored: a hash of the seed and the place.

All in 32 bits, for query b, candidate k of K and component d of D, with W = ceil(D / 2):

    start = mix(seed),  salt = mix((seed >> 32) ^ start)
    key   = mix(mix(b * K + k + start) ^ salt)               one for a pair; no two pairs of a call share one
    word  = stir(key ^ mix(w + 1))                           one for two components: w in its low half, w + W in its high half
    keep  = half of the word < round(rate * 65536)           so the rate is a multiple of 1 / 65536; 0 and 1 are exact

``mix`` is Wellons's lowbias32, and ``stir`` is ``mix`` without its first shift, since both of its inputs are mixed already.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeVar

import torch
from jaxtyping import Bool
from torch import Tensor

WORD = 0xFFFFFFFF
FIRST, SECOND = 0x7FEB352D, 0x846CA68B
"""lowbias32 (https://github.com/skeeto/hash-prospector, public domain)"""
STEPS = 1 << 16
"""in which rates are counted"""


Form = Literal["both", "block", "low", "high"]


class Drawn(NamedTuple):
    """A mask of its own for each pair, as EMU was published; see the module."""

    rate: float
    """the probability of a 1"""
    seed: int
    """of 64 bits"""
    form: Form = "both"
    """``"block"``: component w + W takes the low half of the word, as w does: the parts of a complex number ``[re | im]``.
    ``"low"``, ``"high"``: component w takes this half of word w, for w in 0 .. D - 1: the halves of vectors of width 2 D"""

    def numbers(self) -> tuple[int, int, int]:
        """start, salt and the threshold of the half words"""
        return *start_and_salt(self.seed), round(self.rate * STEPS)

    def halves(self) -> tuple[Drawn, Drawn]:
        """The masks of the two halves of vectors."""
        if self.form not in ("both", "block"):
            raise ValueError("masks of half a vector cannot be halved again")
        return self._replace(form="low"), self._replace(form="high" if self.form == "both" else "low")


Word = TypeVar("Word", int, Tensor)


def stir(x: Word) -> Word:
    x = x * FIRST & WORD
    x = (x ^ x >> 15) * SECOND & WORD
    return x ^ x >> 16


def mix(x: Word) -> Word:
    x = x & WORD
    return stir(x ^ x >> 16)


def start_and_salt(seed: int) -> tuple[int, int]:
    """What the words of a seed of 64 bits begin with."""
    start = mix(seed)
    return start, mix(seed >> 32 ^ start)


def keys(place: Tensor, seed: int) -> Tensor:
    """A word of its own for each integer below 2^32, which stands for a pair, say."""
    start, salt = start_and_salt(seed)
    return mix(mix(place + start) ^ salt)


def masks(
    drawn: Drawn, num_queries: int, num_candidates: int, width: int, device: torch.device | str | None = None
) -> Bool[Tensor, "B K D"]:
    """The definition, stored: for the reference, for scorers that are no sum over components, and for tests."""
    pair = torch.arange(num_queries * num_candidates, device=device).view(num_queries, num_candidates, 1)
    key, (*_, threshold) = keys(pair, drawn.seed), drawn.numbers()
    num_words = -(-width // 2) if drawn.form in ("both", "block") else width
    word = stir(key ^ mix(torch.arange(1, num_words + 1, device=device)))
    low, high = (word & STEPS - 1) < threshold, (word >> 16) < threshold
    parts = {"both": [low, high], "block": [low, low], "low": [low], "high": [high]}[drawn.form]
    return torch.cat(parts, dim=-1)[..., :width]
