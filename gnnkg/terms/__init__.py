"""Terms of a training objective: from what a scorer reads to a scalar. One idea a file."""

from gnnkg.terms.denoising import Denoising
from gnnkg.terms.penalty import L2, L3, N3, Frobenius
from gnnkg.terms.ranking import Ranking

__all__ = ["L2", "L3", "N3", "Denoising", "Frobenius", "Ranking"]
