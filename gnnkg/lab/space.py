"""What is tuned, as the grid file says it:

tune:
  trials: 20                        for every data set, model and method
  budget: {minutes: 3}              of each trial
  seed: 0                           of the search and of the trials
  space:                            fields of every method
    optimizer.lr: [0.0003, 0.03, log]           a range; without log: evenly; two whole numbers: whole numbers
    queries.batch_size: {choices: [512, 1024]}
  methods:                          further fields of some methods, or other ranges
    demix: {terms.plain.transform.mu: {choices: [1, 3, 5]}}
  try:                              settings that come before all others, for the methods that tune all of their fields
    - {optimizer.lr: 0.001}         fields that are tuned and not named here are drawn
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gnnkg.config import ConfigError
from gnnkg.lab.budget import Budget
from gnnkg.parts import closest

KEYS = ("trials", "budget", "seed", "space", "methods", "try")


@dataclass(frozen=True)
class Range:
    """The values of one field: from ``low`` to ``high``, or one of ``choices``."""

    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[Any, ...] = ()

    @classmethod
    def read(cls, value: Any, where: str) -> Range:
        """Raises ConfigError."""
        wrong = ConfigError(
            f"{where}: expected [low, high], [low, high, log] or {{choices: [one, or, another]}}, found {value!r}"
        )
        if isinstance(value, Mapping):
            choices = value.get("choices")
            if value.keys() != {"choices"} or not isinstance(choices, list) or not choices:
                raise wrong
            if not all(isinstance(each, str | int | float | None) for each in choices):
                raise ConfigError(f"{where}: choices are numbers, words, true, false or null, not {choices!r}")
            return cls(choices=tuple(choices))
        if not isinstance(value, list) or not (len(value) == 2 or (len(value) == 3 and value[2] == "log")):
            raise wrong
        low, high = value[:2]
        if not all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high)):
            raise wrong
        if not low < high or (len(value) == 3 and low <= 0):
            raise ConfigError(f"{where}: low must be below high, and above 0 with log, in {value!r}")
        return cls(low, high, len(value) == 3)

    def __contains__(self, value: object) -> bool:
        if self.choices:
            return value in self.choices
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    @property
    def ends(self) -> tuple[Any, ...]:
        return self.choices or (self.low, self.high)


@dataclass(frozen=True)
class Tuning:
    """An equal number of trials at an equal budget for each data set, model and method."""

    trials: int
    budget: Budget
    seed: int = 0
    space: Mapping[str, Range] = field(default_factory=dict)
    methods: Mapping[str, Mapping[str, Range]] = field(default_factory=dict)
    settings: tuple[Mapping[str, Any], ...] = ()
    """which come before all others"""

    @classmethod
    def read(cls, value: Any, methods: tuple[str, ...]) -> Tuning:
        """Raises ConfigError."""
        if not isinstance(value, Mapping) or not {"trials", "budget"} <= value.keys() <= {*KEYS}:
            raise ConfigError(f"tune: expected trials, budget and some of {', '.join(KEYS[2:])}, found {value!r}")
        trials, seed = value["trials"], value.get("seed", 0)
        for name, number, least in (("trials", trials, 1), ("seed", seed, 0)):
            if isinstance(number, bool) or not isinstance(number, int) or number < least:
                raise ConfigError(f"tune.{name}: expected a whole number of at least {least}, found {number!r}")
        own = value.get("methods") or {}
        if not isinstance(own, Mapping):
            raise ConfigError(f"tune.methods: expected a mapping of methods to fields and ranges, found {own!r}")
        for name in own:
            if name not in methods:
                known = ", ".join(methods)
                raise ConfigError(
                    f"tune.methods.{name}: there is no such method{closest(str(name), methods)}. Known: {known}"
                )
        tuning = cls(
            trials,
            Budget.read(value["budget"], "tune.budget"),
            seed,
            _space(value.get("space") or {}, "tune.space"),
            {name: _space(fields or {}, f"tune.methods.{name}") for name, fields in own.items()},
            _settings(value.get("try") or []),
        )
        for number, setting in enumerate(tuning.settings):
            if not any(tuning._tunes(name, setting) for name in methods):
                raise ConfigError(
                    f"tune.try[{number}]: no method tunes {', '.join(setting)}, with these values in range"
                )
        nothing = [name for name in methods if not tuning.of(name)]
        if nothing:
            raise ConfigError(f"tune: nothing is tuned for {', '.join(nothing)}: give fields under space or methods")
        return tuning

    def of(self, method: str) -> dict[str, Range]:
        """The fields that are tuned for a method."""
        return {**self.space, **self.methods.get(method, {})}

    def first(self, method: str) -> list[dict[str, Any]]:
        """The settings that a method's trials begin with."""
        return [dict(setting) for setting in self.settings if self._tunes(method, setting)][: self.trials]

    def _tunes(self, method: str, setting: Mapping[str, Any]) -> bool:
        fields = self.of(method)
        return all(name in fields and value in fields[name] for name, value in setting.items())

    def ends(self, method: str) -> list[dict[str, Any]]:
        """Settings that between them have both ends of each range and every choice."""
        fields = self.of(method)
        longest = max(len(each.ends) for each in fields.values())
        return [
            {name: each.ends[min(number, len(each.ends) - 1)] for name, each in fields.items()}
            for number in range(longest)
        ]


def _settings(value: Any) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(value, list) or not all(isinstance(each, Mapping) and each for each in value):
        raise ConfigError(f"tune.try: expected a list of settings, such as [{{optimizer.lr: 0.001}}], found {value!r}")
    return tuple({str(name): setting for name, setting in each.items()} for each in value)


def _space(value: Any, where: str) -> dict[str, Range]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: expected a mapping of fields to ranges, found {value!r}")
    return {str(name): Range.read(each, f"{where}.{name}") for name, each in value.items()}
