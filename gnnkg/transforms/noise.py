from __future__ import annotations

from collections.abc import Callable

from torch import nn

from gnnkg.core import Batch, Labels, Lookup, Scorer, Vectors
from gnnkg.noise import Family, entity_vectors
from gnnkg.strength import Alpha, Strength


class Noise(nn.Module):
    """Noise augmentation: the ordinary loss on noisy queries, h~ = h + alpha * sigma * u, with u of mean 0 and variance 1.

    What denoising (``gnnkg.terms.Denoising``) is to be compared with: it sees the same noise and learns no gradient. Candidates
    and labels stay as they are. ``alpha`` and sigma as in ``gnnkg.strength.Strength``.
    """

    moves_query = True
    """unlike the other transforms it changes the query, and so the score of its truth"""

    def __init__(
        self,
        alpha: float | Alpha = 1.0,
        divisor: float = 3.0,
        quantile: float = 0.9973,
        per_entity: bool = False,
        sigma: float | None = None,
        refresh: int | None = 1,
        noise: Family = "gaussian",
    ) -> None:
        super().__init__()
        self.strength = Strength(alpha, divisor, quantile, per_entity, sigma, refresh)
        self.noise: Family = noise

    def before_epoch(self, epoch: int) -> None:
        self.strength.before_epoch(epoch)

    def before_batch(self, batch: Batch, encode: Callable[[], Lookup]) -> None:
        self.strength.before_batch(batch, lambda: entity_vectors(encode(), batch.head.device))

    def forward(self, scorer: Scorer, vectors: Vectors, labels: Labels) -> tuple[Vectors, Labels]:
        noisy = self.strength.noisy(vectors, self.noise)
        self.strength.show(scorer, vectors, noisy, labels)
        return noisy, labels
