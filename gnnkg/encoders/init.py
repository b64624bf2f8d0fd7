"""Initial values that replace a scorer's own convention (``Table(init=...)``)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Normal:
    """N(0, std) for entities and relations; std = 1e-3 is the convention of ComplEx-N3 (Lacroix et al., ICML 2018)."""

    std: float = 1e-3

    def __call__(self, entity: Tensor, relation: Tensor) -> None:
        nn.init.normal_(entity, std=self.std)
        nn.init.normal_(relation, std=self.std)


@dataclass(frozen=True)
class Uniform:
    """U(-bound, bound) for entities and relations."""

    bound: float

    def __call__(self, entity: Tensor, relation: Tensor) -> None:
        nn.init.uniform_(entity, -self.bound, self.bound)
        nn.init.uniform_(relation, -self.bound, self.bound)


@dataclass(frozen=True)
class XavierNormal:
    """Glorot's normal initialisation of both tables."""

    gain: float = 1.0

    def __call__(self, entity: Tensor, relation: Tensor) -> None:
        nn.init.xavier_normal_(entity, self.gain)
        nn.init.xavier_normal_(relation, self.gain)
