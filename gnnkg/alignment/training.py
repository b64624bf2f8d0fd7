"""How an aligner is trained, as YAML says it: an encoder, losses, and the settings of ``fit_alignment``.

The same parts as of an experiment (``gnnkg parts SNAG``), and the same overrides: ``gnnkg align --on dbp15k/zh_en --train
recipes/alignment/snag.yaml --encoder.noise null``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from gnnkg.alignment.encoder import AlignmentEncoder, cosine_space
from gnnkg.alignment.fit import FittedAlignment, Joint, fit_alignment
from gnnkg.alignment.losses import AlignmentObjective
from gnnkg.alignment.pseudo_labels import Probation
from gnnkg.config import change, load_file
from gnnkg.data.alignment import AlignmentData
from gnnkg.parts import MakeEncoder, MakeOptimizer, read_as
from gnnkg.progress import Row

DEFAULTS: Mapping[str, Any] = {
    "encoder": {
        "class_path": "SNAG",
        "init_args": {
            "structure": "DiagonalGAT",
            "modalities": {
                "relations": {
                    "class_path": "RelationBag",
                    "init_args": {"scale": "log", "directed": False, "most": 1000},
                }
            },
            "num_heads": 1,
            "hidden_dim": 400,
            "tanh": False,
        },
    },
    "optimizer": {"class_path": "AdamW", "init_args": {"lr": 0.005, "weight_decay": 0.0001}},
}
"""what a file need not say: structure and relations without noise"""


@dataclass(frozen=True)
class AlignmentTraining:
    """What to train, and how. Losses as of ``AlignmentObjective``; the other settings are those of ``fit_alignment``."""

    encoder: MakeEncoder
    """``SNAG`` with its modalities, or any other whose entity vectors do not depend on the query: structure alone"""
    optimizer: MakeOptimizer
    epochs: int
    dim: int = 300
    """the width of each modality's vectors"""
    temperature: float = 0.1
    gmi: bool = True
    ecia: bool = True
    iir: bool = True
    confidence: bool = True
    joint: Joint = "weights"
    batch_size: int = 3500
    warm_up: float = 0.15
    clip_norm: float | None = 1.0
    validate_every: int = 10
    patience: int | None = None
    pseudo_labels: Probation | None = None
    stop_after: float | None = None
    accelerator: str = "cpu"
    config: dict[str, Any] = field(default_factory=dict, repr=False)
    """the complete YAML that this was read from, defaults filled in"""

    def __post_init__(self) -> None:
        for name in ("epochs", "dim", "batch_size", "validate_every", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if not self.temperature > 0 or not 0 <= self.warm_up <= 1:
            raise ValueError(
                f"temperature must be above 0 and warm_up in [0, 1], not {self.temperature} and {self.warm_up}"
            )


def read_training(path: Path | None, overrides: Mapping[str, Any]) -> AlignmentTraining:
    """The training in a YAML file (None: the defaults) with some fields changed.

    Raises ConfigError, which names the place in the file, what was expected and what stood there.
    """
    config = change(DEFAULTS, {}) if path is None else load_file(path, defaults=DEFAULTS)
    return read_as(AlignmentTraining, change(config, overrides), "the training" if path is None else str(path))


def train_aligner(
    training: AlignmentTraining,
    data: AlignmentData,
    seed: int = 0,
    checkpoint: Path | None = None,
    report: Callable[[Row], None] = lambda row: None,
) -> tuple[AlignmentEncoder, FittedAlignment]:
    """Trains on the seeds of two graphs. ``checkpoint``, ``report`` and what is raised as in ``fit_alignment``."""
    torch.manual_seed(seed)
    encoder = AlignmentEncoder(training.encoder(data.graph, cosine_space(data.graph.num_entities, training.dim)))
    objective = AlignmentObjective(encoder.names, **_named(training, AlignmentObjective))
    settings = _named(training, fit_alignment)
    settings |= {"seed": seed, "checkpoint": checkpoint, "report": report}
    return encoder, fit_alignment(encoder, objective, data, **settings)


def _named(training: AlignmentTraining, function: Callable[..., Any]) -> dict[str, Any]:
    """The settings that bear the names of a function's own."""
    taken = inspect.signature(function).parameters
    return {name: value for name, value in vars(training).items() if name in taken and name != "encoder"}
