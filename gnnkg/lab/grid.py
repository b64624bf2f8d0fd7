"""The grid of a laboratory: which data sets, models, methods and seeds are compared, as a YAML file says it.

    base: common.yaml               an experiment, relative to this file; or its fields under ``experiment``, or both
    budget: {minutes: 20}           or {steps: 20000}: of training, the same for every cell
    seeds: [0, 1, 2]
    datasets: {fb15k-237: {}}       name -> changed fields; the name is the data set unless ``dataset`` is among them
    models: {RotatE: {scorer: {class_path: RotatE, init_args: {dim: 100}}}}
    methods: {uniform: {}, emu: {terms.plain.transform: {class_path: EMU, init_args: {keep: 0.7}}}}

and, where they are wanted,

    also: [{model: RotatE, method: emu, changes: {optimizer.lr: 0.001}}]      fields of some pairs; of data sets likewise
    validations: 10                 how often a training is validated
    inject: 0.1                     the share of training facts that are hidden, to be planted as false negatives
    judge: {mu: 1.0}                arguments of the DeMix that looks for them under methods that have none of their own
    robust: {certify: 500}          noise tests, certificates and geometry of every cell, see ``robustness.py``
    tune: ...                       see ``space.py``

Later changes win: base, data set, model, method, ``also`` in its order, what tuning has found, the seed. A budget replaces
``steps``, ``epochs``, ``validate_every`` and ``patience``; ``total_iters``, ``T_max`` and ``total_steps`` of a schedule, wherever
they stand in it, become the number of steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from itertools import product
from pathlib import Path
from typing import Any

from gnnkg.config import DEFAULTS, ConfigError, change, importable_beside, load_file, read_mapping
from gnnkg.data.load import dataset_names
from gnnkg.evaluation.results import file_name
from gnnkg.experiment import Experiment, from_config
from gnnkg.lab.budget import Budget, with_steps
from gnnkg.lab.robustness import Robustness
from gnnkg.lab.space import Tuning
from gnnkg.parts import closest, expand_arguments
from gnnkg.transforms import DeMix

KEYS = ("base", "experiment", "budget", "seeds", "datasets", "models", "methods")
KEYS += ("also", "validations", "inject", "judge", "robust", "tune")


@dataclass(frozen=True)
class Combination:
    """What cells that differ in their seeds alone have in common."""

    dataset: str
    model: str
    method: str
    config: Mapping[str, Any] = field(repr=False)
    """the experiment, before tuning, without a budget and a seed"""

    @property
    def name(self) -> str:
        """In files and folders."""
        return file_name(self.dataset, self.model, self.method)

    @property
    def title(self) -> str:
        """In messages."""
        return f"{self.dataset}, {self.model}, {self.method}"

    def experiment(self, steps: int, validations: int, seed: int, tuned: Mapping[str, Any] | None = None) -> Experiment:
        """What is trained. Raises ConfigError."""
        config = with_steps(change(self.config, tuned or {}), steps, validations)
        return from_config({**config, "seed": seed}, self.title)


@dataclass(frozen=True)
class Grid:
    """A grid that was read and checked."""

    path: Path
    budget: Budget
    seeds: tuple[int, ...]
    combinations: tuple[Combination, ...]
    validations: int = 10
    inject: float = 0.0
    judge: Mapping[str, Any] = field(default_factory=dict)
    robust: Robustness | None = None
    first_method: str = ""
    """which noise is measured by; also where ``only`` left it out"""
    tuning: Tuning | None = None

    def cells(self) -> Iterator[tuple[Combination, int]]:
        """Every combination with every seed: all of the first seed first, so that a table soon has all of its rows."""
        return ((combination, seed) for seed, combination in product(self.seeds, self.combinations))

    def judge_of(self, experiment: Experiment) -> DeMix:
        """Who looks for false negatives: the experiment's own DeMix, or where it has none one that all such share.

        At the start of its annealing, so that epochs can be compared.
        """
        transforms = (getattr(term, "transform", None) for term in experiment.terms.values())
        own = next((each for each in transforms if isinstance(each, DeMix) and each.split == "scores"), None)
        if own is None:
            return DeMix(**self.judge)
        judge = copy(own)
        judge.anneal = None
        return judge


def cell_name(combination: Combination, seed: int) -> str:
    """The name of a run directory and of a result file."""
    return f"{combination.name}-seed{seed}"


def read_grid(path: Path | str) -> Grid:
    """A grid from its file, every experiment in it built once. Raises ConfigError, which names the file and the place."""
    path = Path(path)
    content = read_mapping(path)
    importable_beside(path)
    try:
        return _grid(path, content)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _grid(path: Path, content: dict[str, Any]) -> Grid:
    for key in content:
        if key not in KEYS:
            raise ConfigError(f"{key}: a grid has no key {key!r}{closest(str(key), KEYS)}. Known: {', '.join(KEYS)}")
    missing = [key for key in ("budget", "datasets", "models", "methods") if key not in content]
    if missing or not ("base" in content or "experiment" in content):
        needed = ", ".join(missing or ["base (the file of an experiment) or experiment (its fields)"])
        raise ConfigError(f"a grid needs {needed}")
    base = load_file(path.parent / str(content["base"])) if "base" in content else DEFAULTS
    inject = _number(content, "inject", 0.0)
    shared = change(base, _mapping(content.get("experiment", {}), "experiment"))
    if inject:
        shared = change(shared, {"dataset_options.hide": inject})
    axes = {key: _changes(content[key], key) for key in ("datasets", "models", "methods")}
    pairs = _pairs(content.get("also", []), axes)
    combinations = []
    for names in product(*axes.values()):
        dataset, model, method = names
        chosen = dict(zip(("dataset", "model", "method"), names, strict=True))
        steps = [(f"{key}.{name}", axes[key][name]) for key, name in zip(axes, names, strict=True)]
        config = change(shared, {"dataset": dataset})
        for where, changes in [*steps, *(pair[1:] for pair in pairs if pair[0].items() <= chosen.items())]:
            config = _changed(config, changes, where)
        combinations.append(Combination(dataset, model, method, config))
    grid = Grid(
        path,
        Budget.read(content["budget"], "budget"),
        _seeds(content.get("seeds", [0])),
        tuple(combinations),
        _count(content, "validations", 10),
        inject,
        _part(content.get("judge", {}), DeMix, "judge"),
        _robust(content.get("robust")),
        next(iter(axes["methods"])),
        Tuning.read(content["tune"], tuple(axes["methods"])) if content.get("tune") is not None else None,
    )
    _check(grid)
    return grid


def _changed(config: Mapping[str, Any], changes: Mapping[str, Any], where: str) -> dict[str, Any]:
    try:
        return change(config, changes)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _check(grid: Grid) -> None:
    """Builds the experiment of every model and method, and with the first model the ends of every range that is tuned."""
    names: dict[str, Combination] = {}
    for combination in grid.combinations:
        if (other := names.setdefault(combination.name, combination)) is not combination:
            both = " and ".join(c.title for c in (other, combination))
            raise ConfigError(f"{both} would both be called {combination.name}: give them names that differ in letters")
        first = grid.combinations[0]
        if combination.dataset != first.dataset and (combination.model, combination.method) != (
            first.model,
            first.method,
        ):
            continue  # each is built again, on its data, before the first cell trains
        tuned_here = grid.tuning if combination.model == first.model else None
        tried: list[dict[str, Any]] = [{}] if tuned_here is None else tuned_here.ends(combination.method)
        for tuned in tried:
            dataset = combination.experiment(1, 1, 0, tuned).dataset
            if dataset.lower() not in dataset_names() and not Path(dataset).is_dir():
                raise ConfigError(
                    f"datasets.{combination.dataset}: no data set is called {dataset!r}{closest(dataset, dataset_names())}, "
                    "and there is no such folder"
                )


def _changes(value: Any, where: str) -> dict[str, dict[str, Any]]:
    """Name -> changed fields; an empty value changes none."""
    items = _mapping(value, where)
    if not items:
        raise ConfigError(f"{where}: expected at least one name with its changed fields")
    return {str(name): _mapping(changes or {}, f"{where}.{name}") for name, changes in items.items()}


def _pairs(value: Any, axes: Mapping[str, Mapping[str, Any]]) -> list[tuple[dict[str, str], str, dict[str, Any]]]:
    """Which names each entry is for, where it stands, and the fields that it changes."""
    if not isinstance(value, list):
        raise ConfigError(
            f"also: expected a list of dataset, model, method (some of them) and changes, found {value!r}"
        )
    pairs = []
    for number, entry in enumerate(value):
        where = f"also.{number}"
        wanted = {str(key): item for key, item in _mapping(entry, where).items() if key != "changes"}
        if "changes" not in entry or not wanted or not wanted.keys() <= {"dataset", "model", "method"}:
            raise ConfigError(f"{where}: expected dataset, model, method (some of them) and changes, found {entry!r}")
        for key, name in wanted.items():
            if name not in axes[f"{key}s"]:
                known = ", ".join(axes[f"{key}s"])
                raise ConfigError(f"{where}.{key}: there is no {key} {name!r} in this grid. Known: {known}")
        pairs.append((wanted, f"{where}.changes", _mapping(entry["changes"], f"{where}.changes")))
    return pairs


def _seeds(value: Any) -> tuple[int, ...]:
    whole = isinstance(value, list) and all(isinstance(seed, int) and seed >= 0 for seed in value)
    if not whole or not value or len(set(value)) < len(value):
        raise ConfigError(f"seeds: expected a list of different whole numbers, found {value!r}")
    return tuple(value)


def _part(value: Any, part: Callable[..., object], where: str) -> dict[str, Any]:
    """The arguments of a part, complete, once it has been built of them."""
    arguments = expand_arguments(_mapping(value, where), part, where)
    try:
        part(**arguments)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
    return arguments


def _robust(value: Any) -> Robustness | None:
    return None if value is None else Robustness(**_part(value, Robustness, "robust"))


def _number(content: Mapping[str, Any], key: str, default: float) -> float:
    value = content.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ConfigError(f"{key}: expected a share, in [0, 1), found {value!r}")
    return float(value)


def _count(content: Mapping[str, Any], key: str, default: int) -> int:
    value = content.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{key}: expected a whole number of at least 1, found {value!r}")
    return value


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: expected a mapping of names to values, found {value!r}")
    return value


def only(grid: Grid, pattern: str = "*", seeds: Sequence[int] = ()) -> Grid:
    """The grid with those combinations alone whose name matches, as ``*-rotate-*`` does, and those seeds; none given: all.

    Raises ConfigError where no name matches, and for a seed that the grid has not.
    """
    chosen = tuple(c for c in grid.combinations if fnmatch(c.name, pattern))
    if not chosen:
        names = ", ".join(c.name for c in grid.combinations)
        raise ConfigError(f"nothing in {grid.path} is called {pattern!r}. It has: {names}")
    if unknown := [seed for seed in seeds if seed not in grid.seeds]:
        known = ", ".join(str(seed) for seed in grid.seeds)
        raise ConfigError(f"{grid.path} has no seed {unknown[0]}. It has: {known}")
    return replace(grid, combinations=chosen, seeds=tuple(dict.fromkeys(seeds)) or grid.seeds)
