"""Where a training stands: counters, what has been best, and the reports so far. All that a continued run needs besides tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

Row = dict[str, float | int]
"""one report: step, epoch, seconds, lr, valid/..., loss/..."""


class TrainingFailed(RuntimeError):
    """The loss is no longer a usable number; the message names the step, the term and the last good checkpoint."""


@dataclass
class Progress:
    """The state of a training loop. Every field can be written into a checkpoint as it is."""

    step: int = 0
    best_mrr: float = -1.0
    best_step: int = 0
    worse: int = 0
    """validations since the best one"""
    finished: bool = False
    first_loss: float | None = None
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    """each loss, summed since the last report"""
    history: list[Row] = field(default_factory=list)

    def account(self, losses: dict[str, Tensor], explosion: float, checkpoint: Path | None) -> None:
        """Adds up the losses of a step. Raises TrainingFailed for one that is no longer a usable number."""
        found = torch.stack([loss.detach().float() for loss in losses.values()]).tolist()
        values = dict(zip(losses, found, strict=True))
        total = sum(found)
        if self.first_loss is None:
            self.first_loss = total
        wrong = [name for name, value in values.items() if not math.isfinite(value)]
        if wrong or abs(total) > explosion * (1 + abs(self.first_loss)):
            name = wrong[0] if wrong else max(values, key=lambda key: abs(values[key]))
            there = checkpoint is not None and checkpoint.exists()
            last = f"the last good checkpoint is {checkpoint}" if there else "there is no checkpoint yet"
            raise TrainingFailed(
                f"step {self.step}: the loss term {name!r} is {values[name]:g} (the first total was {self.first_loss:g}); "
                f"{last}. A lower learning rate or clip_norm usually helps"
            )
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def report(self, valid: Row, lr: float, steps_per_epoch: int, patience: int | None) -> None:
        """Notes a validation: a row of the history, whether it is the best so far, and whether it is time to stop."""
        mrr = valid["valid/mrr"]
        if mrr > self.best_mrr or self.best_step == 0:
            self.best_mrr, self.best_step, self.worse = mrr, self.step, 0
        else:
            self.worse += 1
        self.finished = patience is not None and self.worse >= patience
        since = self.step - (self.history[-1]["step"] if self.history else 0)
        row: Row = {"step": self.step, "epoch": self.step / steps_per_epoch, "seconds": self.seconds, "lr": lr}
        self.history.append(row | valid | {f"loss/{name}": value / since for name, value in self.sums.items()})
        self.sums = {}

    def best_metrics(self) -> Row:
        """The validation metrics of the best weights."""
        row = next((row for row in self.history if row["step"] == self.best_step), {})
        return {name: value for name, value in row.items() if name.startswith("valid/")}
