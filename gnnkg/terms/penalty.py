"""Penalties on the vectors of the batch's own facts, so that frequent entities are held back more (Lacroix et al., ICML 2018)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from gnnkg.core import Labels, Scorer, Space, Vectors


def _modulus(space: Space, vector: Float[Tensor, "B D"]) -> Tensor:
    """|z_d| of complex components where the vector is complex, |x_d| elsewhere."""
    if space.complex and vector.shape[1] == space.entity_dim:
        re, im = vector.chunk(2, dim=-1)
        return (re.square() + im.square() + 1e-12).sqrt()
    return vector.abs()


def _mean(
    norm: Callable[[Tensor], Tensor], vectors: Vectors, labels: Labels, weight: float, relation_weight: float | None
) -> Float[Tensor, ""]:
    entity = norm(vectors.head).mean() + norm(vectors.truth(labels)).mean()
    relation = norm(vectors.relation).mean()
    return weight * entity + (weight if relation_weight is None else relation_weight) * relation


@dataclass(frozen=True)
class N3:
    """The nuclear 3-norm: weight * mean over facts of sum_d |h_d|^3 + |r_d|^3 + |t_d|^3, on complex moduli."""

    weight: float
    relation_weight: float | None = None

    def __call__(self, scorer: Scorer, vectors: Vectors, labels: Labels) -> Float[Tensor, ""]:
        space = scorer.space
        return _mean(lambda x: _modulus(space, x).pow(3).sum(1), vectors, labels, self.weight, self.relation_weight)


@dataclass(frozen=True)
class L3:
    """weight * mean over facts of ||h||_3^3 + ||r||_3^3 + ||t||_3^3, on stored reals."""

    weight: float
    relation_weight: float | None = None

    def __call__(self, scorer: Scorer, vectors: Vectors, labels: Labels) -> Float[Tensor, ""]:
        return _mean(lambda x: x.abs().pow(3).sum(1), vectors, labels, self.weight, self.relation_weight)


@dataclass(frozen=True)
class L2:
    """weight * mean over facts of ||h||_2^2 + ||r||_2^2 + ||t||_2^2."""

    weight: float
    relation_weight: float | None = None

    def __call__(self, scorer: Scorer, vectors: Vectors, labels: Labels) -> Float[Tensor, ""]:
        return _mean(lambda x: x.square().sum(1), vectors, labels, self.weight, self.relation_weight)


@dataclass(frozen=True)
class Frobenius:
    """weight * mean over facts of the norms themselves, ||h||_2 + ||r||_2 + ||t||_2 (not squared)."""

    weight: float
    relation_weight: float | None = None

    def __call__(self, scorer: Scorer, vectors: Vectors, labels: Labels) -> Float[Tensor, ""]:
        return _mean(lambda x: (x.square().sum(1) + 1e-12).sqrt(), vectors, labels, self.weight, self.relation_weight)
