"""An equal budget: so many steps of training, or so many minutes, counted in steps by what a step takes on this machine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Any

from torch.optim import Optimizer

from gnnkg.config import ConfigError
from gnnkg.core import Objective
from gnnkg.data.dataset import Dataset
from gnnkg.experiment import Experiment, from_config, try_out
from gnnkg.lab.memory import PeakMemory

WARM_UP, ROUNDS, TIMED, WEIGHED = 5, 4, 20, 2
"""steps before the time is taken, rounds of so many steps in which it is, and steps whose memory is taken"""
LATE = 5_040_000
"""an epoch in which the warm-up of every method is over, and what is done in each second, third ... tenth epoch is done"""
LENGTHS = ("total_iters", "T_max", "total_steps")
"""arguments of schedules that say how long a training is"""


@dataclass(frozen=True)
class Budget:
    """Of one training: ``steps``, or ``minutes`` (one of the two)."""

    steps: int | None = None
    minutes: float | None = None

    @classmethod
    def read(cls, value: Any, where: str) -> Budget:
        """Raises ConfigError."""
        if not isinstance(value, Mapping) or len(value) != 1 or not value.keys() <= {"steps", "minutes"}:
            raise ConfigError(f"{where}: expected {{minutes: 20}} or {{steps: 20000}}, found {value!r}")
        ((unit, amount),) = value.items()
        whole = isinstance(amount, int) or (unit == "minutes" and isinstance(amount, float))
        if not whole or isinstance(amount, bool) or amount <= 0:
            raise ConfigError(f"{where}.{unit}: expected a number above 0, found {amount!r}")
        return cls(steps=int(amount)) if unit == "steps" else cls(minutes=float(amount))

    def in_steps(self, cost: Cost) -> int:
        """How many steps the budget is worth."""
        return self.steps if self.steps is not None else max(1, round(60 * (self.minutes or 0) / cost.seconds))


@dataclass(frozen=True)
class Cost:
    """What one training step takes, evaluation aside."""

    seconds: float
    """the median of ``TIMED`` steps, in the quickest of ``ROUNDS`` rounds of them, in the phase in which each method does all of
    its work; the machine's other work makes rounds slower and none quicker"""
    peak_bytes: int
    """the most that tensors have held while the model was built and trained by ``WEIGHED`` steps: parameters, the state of the
    optimiser, and what a step needs for a while"""


def step_cost(experiment: Experiment, dataset: Dataset) -> Cost:
    """Trains a few steps that nobody keeps, exactly as the real ones will be, and takes their time, and then their memory."""
    ends = _train_a_little(experiment, dataset, WARM_UP + ROUNDS * TIMED)[WARM_UP - 1 :]
    seconds = [end - begin for begin, end in pairwise(ends)]
    with PeakMemory() as memory:
        _train_a_little(experiment, dataset, WEIGHED)
    return Cost(min(median(seconds[first : first + TIMED]) for first in range(0, len(seconds), TIMED)), memory.peak)


def _train_a_little(experiment: Experiment, dataset: Dataset, steps: int) -> list[float]:
    """When each step has ended."""
    ends: list[float] = []
    fresh = from_config(experiment.config)  # samplers and terms may keep a state
    objective = Objective(fresh.sampler, fresh.terms)
    once = {"steps": steps, "epochs": None, "validate_every": steps, "validate_facts": 1, "patience": None}
    timed = replace(fresh, optimizer=partial(_clocked, fresh, ends), schedule=None, **once)
    try_out(timed, dataset, before_epoch=lambda epoch: objective.before_epoch(LATE))
    return ends


def _clocked(experiment: Experiment, ends: list[float], parameters: Any) -> Optimizer:
    """The experiment's optimiser, which notes when each of its steps has ended."""
    optimizer = experiment.optimizer(parameters)
    optimizer.register_step_post_hook(lambda *_: ends.append(time.perf_counter()))
    return optimizer


def with_steps(config: Mapping[str, Any], steps: int, validations: int) -> dict[str, Any]:
    """An experiment's config for so many steps: the schedule is as long as the training, and no patience cuts it short."""
    schedule = config.get("schedule")
    given = {"steps": steps, "epochs": None, "validate_every": -(-steps // validations), "patience": None}
    return {**config, **given, "schedule": _as_long(schedule, steps)}


def _as_long(part: Any, steps: int) -> Any:
    if isinstance(part, Mapping):
        return {key: steps if key in LENGTHS else _as_long(value, steps) for key, value in part.items()}
    return [_as_long(each, steps) for each in part] if isinstance(part, list) else part
