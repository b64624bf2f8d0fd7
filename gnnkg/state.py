"""The state of a training: into the checkpoint of its run, and back from there to continue."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel

from gnnkg.core import Model, Objective
from gnnkg.data.queries import Queries
from gnnkg.progress import Progress
from gnnkg.run import RunDirectory

Schedule = LRScheduler | ReduceLROnPlateau


@dataclass(frozen=True)
class State:
    """All that a step of training changes besides its ``Progress``."""

    model: Model
    objective: Objective
    optimizer: Optimizer
    schedule: Schedule | None
    averaged: AveragedModel | None
    precision: Any
    """Fabric's, which scales the losses of half precision"""

    def save(self, run: RunDirectory, at: Progress, about: dict[str, Any]) -> None:
        """Writes the run's checkpoint. ``about``: what a training must share with this one to continue it (``told``)."""
        run.save_checkpoint(
            {
                "model": self.model.state_dict(),
                "average": self.averaged.state_dict() if self.averaged is not None else {},
                "objective": self.objective.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "schedule": _plain(self.schedule.state_dict()) if self.schedule else {},
                "precision": self.precision.state_dict(),
                "progress": vars(at),
                "about": about,
            }
        )

    def restore(self, run: RunDirectory, about: dict[str, Any]) -> Progress | None:
        """Continues from the run's checkpoint, if there is one. Raises DamagedFile; ValueError where it is of another training."""
        saved = run.load_checkpoint()
        if saved is None:
            return None
        begun = saved.get("about", {})  # checkpoints said nothing at first
        if other := [name for name in about if begun.get(name, about[name]) != about[name]]:
            told = " and ".join(f"{name} {begun[name]!r}, not {about[name]!r}" for name in other)
            raise ValueError(
                f"{run.checkpoint} is of another training, with {told}: continue it with what it began with, or choose another "
                "folder"
            )
        try:
            self.model.load_state_dict(saved["model"])
            if self.averaged is not None:
                self.averaged.load_state_dict(saved["average"])
            self.objective.load_state_dict(saved["objective"])
            self.optimizer.load_state_dict(saved["optimizer"])
            if self.schedule:
                self.schedule.load_state_dict(saved["schedule"])
            self.precision.load_state_dict(saved["precision"])
            return Progress(**saved["progress"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ValueError(
                f"{run.checkpoint} does not fit this model, objective and optimiser ({error}): continue it with those that it "
                "began with, or choose another folder"
            ) from error

    def told(self, seed: int, queries: Queries, average: float | None) -> dict[str, Any]:
        """What can be compared of two trainings at no cost, as a checkpoint keeps it."""
        return {
            "seed": seed,
            "queries": asdict(queries),
            "average": average,
            "encoder": type(self.model.encoder).__name__,
            "scorer": type(self.model.scorer).__name__,
            "sampler": type(self.objective.sampler).__name__,
            "terms": {name: type(term).__name__ for name, term in self.objective.terms.items()},
            "optimizer": type(self.optimizer).__name__,
            "schedule": type(self.schedule).__name__ if self.schedule else None,
        }


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """A schedule's state without what its constructor sets anew (functions); of those that it holds too."""
    kept = (Tensor, bool, int, float, str, list, tuple, dict, type(None))

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [_plain(item) if isinstance(item, dict) else item for item in value]
        return dict(value) if isinstance(value, dict) else value

    return {name: plain(value) for name, value in state.items() if isinstance(value, kept)}
