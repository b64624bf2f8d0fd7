"""The public op: a backend is chosen. Where there is no fused kernel, the definition serves."""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor

from gnnkg.ops import backends
from gnnkg.ops.suspects import reference
from gnnkg.ops.suspects.reference import Kinds


def suspects(
    scores: Float[Tensor, "B C"],
    value: Float[Tensor, "B C"],
    mask: Bool[Tensor, "B C"] | None,
    truth: Int[Tensor, " B"],
    mu: float,
    additive: bool = False,
    below_mean: bool = False,
) -> Kinds:
    """The columns that hold known tails of their query, and of the negatives those that score like them and the others.

    Labelled 1 and without a part in the loss is a known tail, and so is the column ``truth``; all others that take part
    (``mask``; None: all) are negatives. A suspect scores at least min X - slack, and at most mean X with ``below_mean``; X are the
    scores of the known tails, and the slack is mu where it is ``additive``, else mu / 5 * (mean X - min X). A query with one known
    tail takes for mean X - min X the standard deviation of all X of the batch. Without gradients.

    Raises ValueError for labels and masks of another shape than the scores, and where there is not one truth a query; IndexError
    for a truth that is no column.
    """
    shapes = [each.shape for each in (scores, value, mask) if each is not None]
    if len(set(shapes)) > 1 or truth.shape != scores.shape[:1]:
        raise ValueError(
            f"expected labels and a mask of the scores' shape {tuple(scores.shape)} and a truth a query, not "
            f"{', '.join(str(tuple(each)) for each in (*shapes[1:], truth.shape))}"
        )
    if backends.choose(scores, value) != "numba" or not scores.numel():
        return reference.suspects(scores, value, mask, truth, mu, additive, below_mean)
    from gnnkg.ops.suspects import numba

    first, last = (int(end) for end in truth.aminmax())
    if first < 0 or last >= scores.shape[1]:
        raise IndexError(f"columns lie in [0, {scores.shape[1]}), but a truth is {first if first < 0 else last}")
    return numba.suspects(scores.float(), value.float(), mask, truth, mu, additive, below_mean)
