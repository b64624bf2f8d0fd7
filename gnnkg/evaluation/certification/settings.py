"""What a certificate is asked for."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gnnkg.evaluation.certification.bound import lower_bounds


@dataclass(frozen=True, slots=True)
class Smoothing:
    """Gaussian noise on the vector of the head that the scorer reads, and what is counted under it.

    Its standard deviation is ``alpha`` times sigma; sigma is that of ``gnnkg.noise.spread`` where it is not given. Raises
    ValueError for settings out of range, and where so few draws could not certify anything.
    """

    alpha: float = 1.0
    sigma: float | None = None
    divisor: float = 3.0
    draws: int = 1000
    confidence: float = 0.999
    """of each query by itself"""
    top: int = 1
    """the event: the truth is among the ``top`` best candidates, a tie counting against it"""
    seed: int = 0
    """of the draws"""
    budget: float = 1e-6
    """probability that pruned rivals may have together; subtracted from the lower bound of affine scorers. 0: no pruning"""
    worst_rank: int | None = 50
    """queries whose truth ranks lower without noise are not tried and count as radius 0. None: all are tried"""
    give_up: bool = True
    """whether counting stops once too few successes are left to certify anything: the radius is 0 either way"""

    def __post_init__(self) -> None:
        if not 0 < self.alpha < math.inf or (self.sigma is not None and not 0 < self.sigma < math.inf):
            raise ValueError(f"alpha and sigma must be above 0, not {self.alpha} and {self.sigma}")
        if self.seed < 0:
            raise ValueError(f"a seed is at least 0, not {self.seed}")
        if self.top < 1 or (self.worst_rank is not None and self.worst_rank < self.top):
            raise ValueError(f"expected 1 <= top <= worst_rank, not top {self.top} and worst_rank {self.worst_rank}")
        if not 0 <= self.budget < 0.1:
            raise ValueError(f"budget is a small probability that is given away, below 0.1, not {self.budget}")
        bound = lower_bounds(np.array(self.draws), self.draws, self.confidence)
        if bound <= 0.5:
            raise ValueError(
                f"{self.draws} draws cannot certify anything at a confidence of {self.confidence}: the event in all of them "
                f"would bound its probability by {float(bound):.3f}; ask for more"
            )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
