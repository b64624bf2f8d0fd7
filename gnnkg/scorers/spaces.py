"""Initial values and algebra that several scorers share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn


def uniform(bound: float) -> Callable[[Tensor, Tensor], None]:
    """U(-bound, bound) for entities and relations: the convention of the RotatE code, with ``initial_range``."""

    def init(entity: Tensor, relation: Tensor) -> None:
        nn.init.uniform_(entity, -bound, bound)
        nn.init.uniform_(relation, -bound, bound)

    return init


def xavier_normal(entity: Tensor, relation: Tensor) -> None:
    """Glorot's normal initialisation of both tables: the convention of the TuckER and ConvE code."""
    nn.init.xavier_normal_(entity)
    nn.init.xavier_normal_(relation)


def initial_range(gamma: float, dim: int) -> float:
    """(gamma + 2) / dim, from which the RotatE code draws. Raises ValueError for a dim below 1."""
    if dim < 1:
        raise ValueError(f"dim must be at least 1, not {dim}")
    return (gamma + 2) / dim


def conjugate(z: Float[Tensor, "B W"]) -> Float[Tensor, "B W"]:
    """``[re | im]`` -> ``[re | -im]``."""
    re, im = z.chunk(2, dim=-1)
    return torch.cat([re, -im], dim=-1)


def complex_product(x: Float[Tensor, "B D"], y: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
    """The componentwise product of two complex vectors, ``[re | im]``."""
    x_re, x_im = x.chunk(2, dim=-1)
    y_re, y_im = y.chunk(2, dim=-1)
    return torch.cat([x_re * y_re - x_im * y_im, x_re * y_im + x_im * y_re], dim=-1)
