"""Initial values and algebra that several scorers share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn


def uniform(bound: float) -> Callable[[Tensor, Tensor], None]:
    """U(-bound, bound) for entities and relations: the convention of the RotatE code, with bound (gamma + 2) / d."""

    def init(entity: Tensor, relation: Tensor) -> None:
        nn.init.uniform_(entity, -bound, bound)
        nn.init.uniform_(relation, -bound, bound)

    return init


def conjugate(z: Float[Tensor, "B W"]) -> Float[Tensor, "B W"]:
    """``[re | im]`` -> ``[re | -im]``."""
    re, im = z.chunk(2, dim=-1)
    return torch.cat([re, -im], dim=-1)


def complex_product(x: Float[Tensor, "B D"], y: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
    """The componentwise product of two complex vectors, ``[re | im]``."""
    x_re, x_im = x.chunk(2, dim=-1)
    y_re, y_im = y.chunk(2, dim=-1)
    return torch.cat([x_re * y_re - x_im * y_im, x_re * y_im + x_im * y_re], dim=-1)
