"""Noise on modalities during training, and what it is made of: means and deviations of the rows that are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


class Spread(NamedTuple):
    """Mean and standard deviation of each column."""

    mean: Float[Tensor, " F"]
    std: Float[Tensor, " F"]

    @staticmethod
    def of(values: Float[Tensor, "N F"], has: Bool[Tensor, " N"] | None = None) -> Spread:
        """Over the rows that are there, n - 1 in the denominator; 0 where there are fewer than two. No gradient."""
        rows = values.detach() if has is None else values.detach()[has]
        if not len(rows):
            return Spread(rows.new_zeros(rows.shape[1]), rows.new_zeros(rows.shape[1]))
        mean = rows.mean(0)
        return Spread(mean, ((rows - mean).square().sum(0) / max(1, len(rows) - 1)).sqrt())


@dataclass(frozen=True)
class GaussModalityNoise:
    """Mixes noise that looks like a modality into some of its rows, in training only (GMNM).

        x^ = (1 - epsilon) x + epsilon (mean + std * z),  z ~ N(0, I)      with probability rho for each entity and modality
        x^ = x                                                             otherwise

    Chen et al., "The Power of Noise: Toward a Unified Multi-modal Knowledge Graph Representation Framework", COLING 2025. Mean and
    deviation are those of each column over the rows that are there; of the structure they are taken anew with each refresh, and
    no gradient runs through them. ``refresh="epoch"``: all batches of an epoch see the same noise; "step": each sees its own.
    ``structure_scale`` multiplies rho and epsilon for the structure: 1 in completion, 0.5 in alignment. ``before_messages`` noises
    the free vectors that a structure encoder passes along the graph, as in alignment, and not what comes out of it. ``clean``:
    modalities without noise, as names are in alignment.
    """

    rho: float = 0.2
    epsilon: float = 0.7
    refresh: Literal["epoch", "step"] = "epoch"
    structure_scale: float = 1.0
    before_messages: bool = False
    clean: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("rho", "epsilon", "structure_scale"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], not {getattr(self, name)}")

    def scaled(self, factor: float) -> GaussModalityNoise:
        return GaussModalityNoise(self.rho * factor, self.epsilon * factor, self.refresh, clean=self.clean)


class Noise(nn.Module):
    """The noise on one modality of N entities, for as long as an epoch lasts.

    What an epoch draws depends on the key, which is drawn when the noise is made, and on the epoch alone, so that a run that is
    continued sees the same. Buffers keep the spread that an epoch began with.
    """

    key: Tensor
    mean: Tensor
    std: Tensor
    measured: Tensor

    def __init__(self, settings: GaussModalityNoise, num_entities: int, width: int) -> None:
        super().__init__()
        self.settings = settings
        self.num_entities = num_entities
        self.epoch = 0
        self.register_buffer("key", torch.randint(2**62, ()))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.zeros(width))
        self.register_buffer("measured", torch.tensor(-1))
        self._drawn: tuple[int, Tensor, Tensor] | None = None

    def before_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    @property
    def wants_spread(self) -> bool:
        """Whether the spread of the present table is to be told by ``measure`` before ``forward``."""
        return self.settings.refresh == "step" or int(self.measured) != self.epoch

    def measure(self, spread: Spread) -> None:
        """Takes a spread for this epoch, or for this step."""
        self.mean.copy_(spread.mean)
        self.std.copy_(spread.std)
        self.measured.fill_(self.epoch)

    def forward(self, values: Float[Tensor, "X F"], entities: Int[Tensor, " X"] | None) -> Float[Tensor, "X F"]:
        """The rows of these entities (None: of all), with noise."""
        rho, epsilon = self.settings.rho, self.settings.epsilon
        if not rho or not epsilon:
            return values
        if self.settings.refresh == "step":
            noised = torch.rand(len(values), 1, device=values.device) < rho
            unit = torch.randn_like(values)
        else:
            noised, unit = self._of_epoch(values.device)
            if entities is not None:
                noised, unit = noised[entities], unit[entities]
        other = self.mean + self.std * unit.to(values.dtype)
        return torch.where(noised, (1 - epsilon) * values + epsilon * other, values)

    def _of_epoch(self, device: torch.device) -> tuple[Bool[Tensor, "N 1"], Float[Tensor, "N F"]]:
        """Which rows are noised, and z; drawn on the CPU, so that a GPU trains with the same."""
        if self._drawn is None or self._drawn[0] != self.epoch:
            draw = torch.Generator().manual_seed((int(self.key) + 0x9E3779B97F4A7C15 * (self.epoch + 1)) % 2**63)
            noised = torch.rand(self.num_entities, 1, generator=draw) < self.settings.rho
            unit = torch.randn(self.num_entities, len(self.mean), generator=draw)
            self._drawn = self.epoch, noised.to(device), unit.to(device)
        return self._drawn[1].to(device), self._drawn[2].to(device)
