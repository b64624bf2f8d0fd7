"""Noise on the vectors that a scorer reads: its families, and the scale that it is measured in.

A perturbed vector is e + alpha * sigma * u, with u from a family of variance 1 and sigma the spread of the vectors themselves
(RKGE-D, arXiv 2505.18171), so that alpha means the same for models of different size.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.core import EVERY_ENTITY, Lookup

Family = Literal["gaussian", "laplacian", "uniform"]
"""of mean 0 and variance 1 in each component: N(0, 1), Laplace(1 / sqrt 2), U(-sqrt 3, sqrt 3)"""


def unit_noise(
    size: tuple[int, ...],
    family: Family = "gaussian",
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Independent components of mean 0 and variance 1. Raises ValueError for a family that there is not."""
    if family == "gaussian":
        return torch.randn(size, generator=generator, device=device, dtype=dtype)
    uniform = torch.rand(size, generator=generator, device=device, dtype=dtype)  # in [0, 1)
    if family == "uniform":
        return (2 * uniform - 1) * math.sqrt(3)
    if family == "laplacian":
        centred = uniform - 0.5
        tail = (1 - 2 * centred.abs()).clamp(min=torch.finfo(dtype).tiny)  # 0 where the draw is 0: the log stays finite
        return -centred.sign() * tail.log() / math.sqrt(2)
    raise ValueError(f"noise is gaussian, laplacian or uniform, not {family!r}")


def spread(
    vectors: Float[Tensor, "N D"], divisor: float = 3.0, quantile: float = 0.9973, per_entity: bool = False
) -> Float[Tensor, "*X"]:
    """sigma: the quantile of the components' absolute values over the divisor; a scalar, or one a row (N,). No gradient.

    99.73 % of a normal distribution lie within 3 standard deviations, so that divisor 3 gives about the standard deviation and
    divisor 1 the quantile itself. Order statistic without interpolation: the smallest value that reaches the share.
    Raises ValueError for an empty table, or settings out of range.
    """
    if not 0 < divisor < math.inf or not 0 < quantile <= 1:
        raise ValueError(f"divisor must be a number above 0 and quantile in (0, 1], not {divisor} and {quantile}")
    if not vectors.numel():
        raise ValueError("there are no vectors to measure the spread of")
    sizes = vectors.detach().abs()
    rows = sizes if per_entity else sizes.reshape(1, -1)
    place = min(rows.shape[1], max(1, math.ceil(quantile * rows.shape[1] - 1e-9)))
    found = rows.kthvalue(place, dim=1).values / divisor
    return found if per_entity else found[0]


@torch.no_grad()
def entity_vectors(lookup: Lookup, device: torch.device | str = "cpu") -> Float[Tensor, "N D"]:
    """All N entities as the candidates of a scorer, in the order of their ids.

    An encoder that computes candidates for a query (NBFNet) gives those of the query (0, 0, ?).
    """
    zero = torch.zeros(1, dtype=torch.long, device=device)
    return lookup(zero, zero, EVERY_ENTITY).tail[0]
