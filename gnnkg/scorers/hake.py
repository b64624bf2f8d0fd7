from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gnnkg.core import Scorer, Space
from gnnkg.ops import matching
from gnnkg.ops.matching import Mix, Tail
from gnnkg.ops.root_margin import root_margin
from gnnkg.scorers.spaces import initial_range


class HAKE(Scorer):
    """Modulus for the level of a hierarchy, phase for the place on a level:

        f(h, r, t) = gamma - w_p sum_d |sin((p_h + p_r - p_t) / 2)| - w_m || m_h (|m_r| + b) - m_t (1 - b) ||_2

    Zhang et al., "Learning Hierarchy-Aware Knowledge Graph Embeddings for Link Prediction", AAAI 2020. The bias b of the
    relation is clamped to [-|m_r|, 1]. An entity is ``[phase | modulus]``, a relation ``[phase | modulus | bias]``. The weights
    w_p and w_m are trained.

    Phases are drawn from +-(gamma + 2) / dim and stored so that ``phase_range`` stands for pi. None: (gamma + 2) / dim as
    published, which draws them from the whole circle, and where it is small a single step of Adam turns them far. A larger one
    starts them close together, with distances as in TransE. w_p starts at ``phase_weight * phase_range``: a phase's part of
    the score then has the slope ``phase_weight * pi / 2`` whatever the range.

    Raises ValueError for a ``phase_range`` that is not above 0.
    """

    reads_rows = True

    def __init__(
        self,
        dim: int = 100,
        gamma: float = 9.0,
        modulus_weight: float = 3.5,
        phase_weight: float = 1.0,
        phase_range: float | None = None,
    ) -> None:
        super().__init__()
        self.gamma = gamma
        span = initial_range(gamma, dim)
        phase_range = span if phase_range is None else phase_range
        if not phase_range > 0:
            raise ValueError(f"phase_range must be above 0, not {phase_range}")
        self.radians = math.pi / phase_range
        self.phase_weight = nn.Parameter(torch.tensor(phase_weight * phase_range))
        self.modulus_weight = nn.Parameter(torch.tensor(modulus_weight))
        self.space = Space(2 * dim, 3 * dim, init=_Init(dim, span), inverse=_inverse, phases=2 * phase_range)

    def query(self, head: Float[Tensor, "B D"], relation: Float[Tensor, "B W"]) -> Float[Tensor, "B Q"]:
        """``[phase | a | c]``: the modulus part is || a - c m_t ||."""
        phase, modulus = head.chunk(2, dim=-1)
        turn, stretch, bias = relation.chunk(3, dim=-1)
        stretch = stretch.abs()
        bias = torch.minimum(torch.maximum(bias, -stretch), torch.ones_like(bias))
        return torch.cat([(phase + turn) * self.radians, modulus * (stretch + bias), 1 - bias], dim=-1)

    def match(self, query: Float[Tensor, "B Q"], tail: Tail, mix: Mix | None = None) -> Float[Tensor, "B X"]:
        angle, target, scale, phase, modulus = self._parts(query, tail)
        mix_phase, mix_modulus = (None, None) if mix is None else self._mixes(mix)
        return self._score(
            matching.sine(angle, phase, mix_phase), matching.squared(target, modulus, mix_modulus, scale)
        )

    def match_both(
        self, query: Float[Tensor, "B Q"], tail: Tail, mix: Mix
    ) -> tuple[Float[Tensor, "B X"], Float[Tensor, "B X"]]:
        angle, target, scale, phase, modulus = self._parts(query, tail)
        mix_phase, mix_modulus = self._mixes(mix)
        phases = matching.both("sine", angle, phase, mix_phase)
        moduli = matching.both("squared", target, modulus, mix_modulus, scale)
        return self._score(phases[0], moduli[0]), self._score(phases[1], moduli[1])

    def _parts(self, query: Tensor, tail: Tail) -> tuple[Tensor, Tensor, Tensor, Any, Any]:
        """What phases and moduli are looked for, the scale of the latter, and those of the candidates; phases in radians."""
        angle, target, scale = query.chunk(3, dim=-1)
        phase, modulus = tail.chunk(2, dim=-1) if isinstance(tail, Tensor) else tail.halves()
        return angle, target, scale, phase * self.radians, modulus

    def _mixes(self, mix: Mix) -> tuple[Mix, Mix]:
        phase, modulus = mix.halves()
        return phase._replace(own=phase.own * self.radians), modulus

    def _score(self, phases: Tensor, moduli: Tensor) -> Tensor:
        """Of the sums over phases and over squared differences of moduli."""
        return root_margin(self.gamma, moduli, self.modulus_weight, phases, self.phase_weight)


class _Init:
    """Uniform phases and moduli; relations start with modulus 1 and bias 0, that is, as pure rotations."""

    def __init__(self, dim: int, span: float) -> None:
        self.dim = dim
        self.span = span

    def __call__(self, entity: Tensor, relation: Tensor) -> None:
        nn.init.uniform_(entity, -self.span, self.span)
        nn.init.uniform_(relation[:, : self.dim], -self.span, self.span)
        nn.init.ones_(relation[:, self.dim : 2 * self.dim])
        nn.init.zeros_(relation[:, 2 * self.dim :])


def _inverse(relation: Float[Tensor, "B W"]) -> Float[Tensor, "B W"]:
    phase, modulus, bias = relation.chunk(3, dim=-1)
    modulus = modulus.abs()
    bias = torch.minimum(torch.maximum(bias, -modulus), torch.ones_like(bias))
    return torch.cat([-phase, modulus, 1 - modulus - bias], dim=-1)
