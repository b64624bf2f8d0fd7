from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from gnnkg.core import Batch, FollowsBatches, FollowsEpochs, Labels, Lookup, Loss, Scorer, ScoreTerm, Transform, Vectors


class Ranking(ScoreTerm):
    """weight * the mean loss over the batch, after an optional transform; queries count by their ``labels.weight``.

    ``per_negative`` divides by N, the number of columns besides the truth (or 1), masked ones included: the scale of EMU's term,
    L_EMU / N.

    Raises ValueError where the transform says something by soft labels (``soft``) and the loss reads none.
    """

    def __init__(
        self, loss: Loss, weight: float = 1.0, per_negative: bool = False, transform: Transform | None = None
    ) -> None:
        super().__init__()
        if getattr(transform, "soft", False) and not getattr(loss, "soft", True):
            raise ValueError(
                f"{type(transform).__name__} softens labels, which {type(loss).__name__} does not read: use CrossEntropy, BCE or "
                "SelfAdversarial, or let it leave the labels as they are (EMU and Mixup: label=0, DeMix: pseudo='masked')"
            )
        self.loss = loss
        self.weight = weight
        self.per_negative = per_negative
        self.transform = transform

    def transformed(self, scorer: Scorer, vectors: Vectors, labels: Labels) -> tuple[Vectors, Labels]:
        """What is scored, and what it should score."""
        return (vectors, labels) if self.transform is None else self.transform(scorer, vectors, labels)

    def of_scores(self, scores: Float[Tensor, "B C"], labels: Labels) -> Float[Tensor, ""]:
        """The weighted mean loss of these scores."""
        each = self.loss(scores, labels)
        mean = (labels.weight * each).sum() / labels.weight.sum()
        scale = self.weight / max(1, scores.shape[1] - 1) if self.per_negative else self.weight
        return scale * mean

    def before_epoch(self, epoch: int) -> None:
        if isinstance(self.transform, FollowsEpochs):
            self.transform.before_epoch(epoch)

    def before_batch(self, batch: Batch, encode: Callable[[], Lookup]) -> None:
        if isinstance(self.transform, FollowsBatches):
            self.transform.before_batch(batch, encode)
