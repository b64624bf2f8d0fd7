from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gnnkg.core import Scorer, Space
from gnnkg.ops.matching import Drawn, Mix, mutated, spread
from gnnkg.scorers.householder import apply, distance, distance_by_products, undone, unit
from gnnkg.scorers.spaces import initial_range


class HousE(Scorer):
    """Projections and Householder rotations of an entity's blocks: f(h, r, t) = gamma - sum_i || Q P h_i - P' t_i ||_2.

    Li et al., "HousE: Knowledge Graph Embedding with Householder Parameterization", ICML 2022. An entity is dim / ``house_dim``
    blocks of width k = ``house_dim``. P and P' are ``num_projections`` maps x -> x - c (u . x) u of head and tail, with unit u and
    c = min(c_dir |c_scale|, ``threshold``); they start with c' = -c. Q reflects k times (k - 1 for an odd k): c = 2. Without
    projections it is HousE-r; with ``translation``, which adds a vector before Q, HousE+, whose inverse relations are learned.
    Entities, u and translations start from U(+-(gamma + 2) / (dim / sqrt(k))).

    In a chain of relations the tail's place is P'^-1 Q P h, the less sure the nearer c' comes to 1.

    A relation vector holds k numbers for each u of each block, unit once they are read, then c_dir and c_scale. A table of
    candidates that queries share is matched by matrix products, in parts; candidates that EMU mutates are stored, (B, K, D), unless
    the mask is one a query.
    """

    curvature = "concave"
    chains = True

    def __init__(
        self,
        dim: int = 100,
        gamma: float = 9.0,
        house_dim: int = 2,
        num_projections: int = 1,
        threshold: float = 0.5,
        translation: bool = False,
    ) -> None:
        super().__init__()
        if house_dim < 2 or num_projections < 0:
            raise ValueError(
                f"house_dim must be at least 2 and num_projections at least 0, not {house_dim} and {num_projections}"
            )
        if dim < 1 or dim % house_dim:
            raise ValueError(f"dim must be at least 1 and a multiple of house_dim ({house_dim}), not {dim}")
        self.gamma = gamma
        self.threshold = threshold
        self.blocks = dim // house_dim, house_dim
        num_units = self.blocks[0] * num_projections
        num_reflections = self.blocks[0] * (house_dim - house_dim % 2)
        self.widths = [
            num_reflections * house_dim,
            *2 * [num_units * house_dim],  # of head and tail
            *2 * [2 * num_units],  # c_dir and c_scale
            dim if translation else 0,
        ]
        span = initial_range(gamma, self.blocks[0]) / house_dim**0.5
        inverse = None if translation else self._inverse
        self.space = Space(dim, sum(self.widths), init=_Init(span, self.widths), inverse=inverse)

    def query(self, head: Float[Tensor, "B D"], relation: Float[Tensor, "B W"]) -> Float[Tensor, "B Q"]:
        """``[Q P h | u' | c']``"""
        turn, of_head, of_tail, head_shares, tail_shares, move = relation.split(self.widths, dim=1)
        x = apply(head.unflatten(1, self.blocks), self._units(of_head), self._shares(head_shares))
        if move.shape[1]:
            x = x + move.unflatten(1, self.blocks)
        reflections = self._units(turn)
        x = apply(x, reflections, torch.full_like(reflections[..., 0], 2.0))
        return torch.cat([x.flatten(1), self._units(of_tail).flatten(1), self._shares(tail_shares).flatten(1)], dim=1)

    def match(
        self, query: Float[Tensor, "B Q"], tail: Float[Tensor, "S K D"], mix: Mix | None = None
    ) -> Float[Tensor, "B K"]:
        target, units, shares = self._parts(query)
        keep = None
        if mix is not None and not isinstance(mix.keep, Drawn) and mix.keep.dim() == 2 and len(tail) < len(query):
            # q - P (m t + (1 - m) p) = (q - P (1 - m) p) - P (m t)
            mask = spread(mix.keep, len(query))
            target = target - apply(((1 - mask) * mix.own).unflatten(1, self.blocks), units, shares)
            keep = mask.unflatten(1, self.blocks)
        elif mix is not None:
            tail = mutated(tail, mix).flatten(0, 1)  # (B, K, D)
        if len(tail) == len(query):
            return self.gamma - distance(target, tail, units, shares)
        return self.gamma - distance_by_products(target, tail, units, shares, keep)

    def place(self, query: Float[Tensor, "B Q"]) -> Float[Tensor, "B D"]:
        return undone(*self._parts(query)).flatten(1)

    def _parts(self, query: Float[Tensor, "B Q"]) -> tuple[Tensor, Tensor, Tensor]:
        """Q P h by blocks, and the projections of the tail."""
        target, units, shares = query.split([self.space.entity_dim, self.widths[2], self.widths[4] // 2], dim=1)
        return (
            target.unflatten(1, self.blocks),
            self._split(units, self.blocks[1]),
            shares.unflatten(1, (self.blocks[0], -1)),
        )

    def _split(self, vectors: Float[Tensor, "B X"], width: int) -> Float[Tensor, "B n m width"]:
        num_blocks = self.blocks[0]
        return vectors.reshape(len(vectors), num_blocks, vectors.shape[1] // (num_blocks * width), width)

    def _units(self, vectors: Float[Tensor, "B X"]) -> Float[Tensor, "B n m k"]:
        return unit(self._split(vectors, self.blocks[1]))

    def _shares(self, scalars: Float[Tensor, "B X"]) -> Float[Tensor, "B n m"]:
        direction, scale = scalars.chunk(2, dim=1)
        return self._split(direction * scale.abs(), 1).squeeze(-1).clamp(max=self.threshold)

    def _inverse(self, relation: Float[Tensor, "B W"]) -> Float[Tensor, "B W"]:
        """The projections swapped, the reflections in reverse order."""
        turn, of_head, of_tail, head_shares, tail_shares, _ = relation.split(self.widths, dim=1)
        turn = self._split(turn, self.blocks[1]).flip(2).flatten(1)
        return torch.cat([turn, of_tail, of_head, tail_shares, head_shares], dim=1)


class _Init:
    """Uniform vectors; c_dir from U(-.01, .01), c_scale from U(-1, 1), and c_dir of the tail is minus that of the head."""

    def __init__(self, span: float, widths: list[int]) -> None:
        self.span = span
        self.widths = widths

    def __call__(self, entity: Tensor, relation: Tensor) -> None:
        nn.init.uniform_(entity, -self.span, self.span)
        nn.init.uniform_(relation, -self.span, self.span)
        *_, of_head, of_tail, _ = relation.split(self.widths, dim=1)
        direction, scale = of_head.chunk(2, dim=1)
        nn.init.uniform_(direction, -0.01, 0.01)
        nn.init.uniform_(scale, -1.0, 1.0)
        with torch.no_grad():
            of_tail.copy_(torch.cat([-direction, scale], dim=1))
