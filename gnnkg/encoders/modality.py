"""One modality of the entities as an encoder holds it: a table, which rows are there, noise in training, and a linear map."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gnnkg.annotations import Feature
from gnnkg.encoders.modality_noise import GaussModalityNoise, Noise, Spread
from gnnkg.stored import digest

Missing = Literal["masked", "filled"]
"""rows that are not there take no part; or they are filled once with draws from N(mean, std), as published"""


class Modality(nn.Module):
    """The tokens of one modality: the rows of its table through ``num_layers`` linear maps with nothing between them.

    What stands in rows that are missing is not read. A table that was computed is part of the state, so that a run keeps what it
    was trained on; of one that is a feature of the data set as it stands, named ``given``, the state has the SHA-256 alone.
    Loading a state raises ValueError where the data set's feature is not the one of that state.
    """

    values: Tensor
    has: Tensor
    """which rows are read: those that are there, or all of them where the others are filled"""
    present: Tensor

    def __init__(
        self,
        feature: Feature,
        dim: int,
        num_layers: int,
        noise: GaussModalityNoise | None,
        missing: Missing,
        given: str | None = None,
    ) -> None:
        super().__init__()
        self.missing: Missing = missing
        self.given = given
        values, present = torch.where(feature.present, feature.values.float(), 0), feature.has
        spread = Spread.of(values, present)
        filled = missing == "filled"
        kept = given is None
        self.register_buffer("values", _filled(values, ~present, spread) if filled else values, persistent=kept)
        self.register_buffer("has", torch.ones_like(present) if filled else present, persistent=kept)
        self.register_buffer("present", present, persistent=False)
        if not kept:
            told = bytearray.fromhex(digest({"values": self.values, "present": present}))
            self.register_buffer("sha256", torch.frombuffer(told, dtype=torch.uint8).clone())
        self.noise = None if noise is None else Noise(noise, *values.shape)
        if self.noise is not None:
            self.noise.measure(spread)
        widths = [values.shape[1]] + [dim] * num_layers
        self.projection = nn.Sequential(*(nn.Linear(before, after) for before, after in pairwise(widths)))

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *others: Any) -> None:
        told = state_dict.get(f"{prefix}sha256")
        if self.given is not None and told is not None and told.tolist() != self.get_buffer("sha256").tolist():
            raise ValueError(
                f"the feature {self.given!r} of this data set is not the one that the model was trained on: give the data set the "
                "same vectors, or train anew"
            )
        super()._load_from_state_dict(state_dict, prefix, *others)  # type: ignore[arg-type]  # torch gives a dict

    @contextmanager
    def without(self, gone: Bool[Tensor, " N"], draw: torch.Generator | None = None) -> Iterator[None]:
        """For as long as the context lasts, the rows of some entities are missing, and so they are masked or filled."""
        values, has = self.values, self.has
        if self.missing == "filled":
            self.values = _filled(values, gone, Spread.of(values, self.present & ~gone), draw)
        else:
            self.has = has & ~gone
        try:
            yield
        finally:
            self.values, self.has = values, has

    def forward(self, entities: Int[Tensor, " X"] | None) -> tuple[Float[Tensor, "X D"], Bool[Tensor, " X"]]:
        """The tokens of some entities (None: of all), and which of these are there."""
        values, has = (self.values, self.has) if entities is None else (self.values[entities], self.has[entities])
        if self.training and self.noise is not None:
            values = self.noise(values, entities)
        return self.projection(values), has


def _filled(
    values: Float[Tensor, "N F"], gone: Bool[Tensor, " N"], spread: Spread, draw: torch.Generator | None = None
) -> Float[Tensor, "N F"]:
    """A table with draws from N(mean, std) in the place of some rows."""
    unit = torch.randn(values.shape, generator=draw, dtype=values.dtype).to(values.device)
    return torch.where(gone.unsqueeze(1), spread.mean + spread.std * unit, values)
