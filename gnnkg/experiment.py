"""An experiment: a YAML file that names classes and their arguments, turned into constructor calls here and nowhere else.

A file is checked against the constructors' type hints (jsonargparse). It may begin with ``base: other.yaml``, a path relative to
itself: then it holds only what differs. A plain key replaces the base's value whole; a dotted key, such as
``terms.mutated.transform.keep: 0.5``, changes one field deep inside, just as ``--terms.mutated.transform.keep 0.5`` does on the
command line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from jsonargparse import ArgumentError, ArgumentParser, get_loader
from jsonargparse.typing import register_type
from torch import Tensor

from gnnkg.core import Model, Objective, Sampler, Term
from gnnkg.data.dataset import Dataset
from gnnkg.data.load import dataset_names, load
from gnnkg.data.queries import Queries
from gnnkg.encoders import Table
from gnnkg.evaluation.memory import parse_size
from gnnkg.parts import ConfigError, MakeEncoder, MakeOptimizer, MakeSchedule, MakeScorer, expand_arguments
from gnnkg.run import RunDirectory
from gnnkg.train import fit


@dataclass(frozen=True)
class Experiment:
    """What to train, on what, and how. Settings from ``steps`` on are those of ``gnnkg.train.fit``.

    Encoder, scorer, optimiser and schedule are given as functions that make them, so that everything random in them is drawn
    after ``build`` has set the seed.
    """

    dataset: str
    """a name that ``gnnkg datasets`` lists, or a folder"""
    scorer: MakeScorer
    sampler: Sampler
    terms: dict[str, Term]
    optimizer: MakeOptimizer
    encoder: MakeEncoder = Table
    dataset_options: dict[str, Any] = field(default_factory=dict)
    """further arguments of ``gnnkg.data.load``"""
    redraw: bool = False
    """whether each term sees candidates of its own"""
    schedule: MakeSchedule | None = None
    queries: Queries = field(default_factory=Queries)
    steps: int | None = None
    epochs: float | None = None
    validate_every: int | None = None
    validate_facts: int | None = None
    patience: int | None = None
    seed: int = 0
    accelerator: str = "auto"
    devices: int = 1
    precision: Literal["32-true", "64-true", "bf16-mixed", "16-mixed", "bf16-true"] = "32-true"
    clip_norm: float | None = None
    explosion: float = 1e4
    checkpoint_seconds: float = 60.0
    memory: str | int | None = None
    """how much validation may take, e.g. 2GB"""
    config: dict[str, Any] = field(default_factory=dict, repr=False)
    """the complete YAML that this was read from, defaults filled in"""


DEFAULTS = {"encoder": "Table"}


def read(path: Path | str, overrides: Mapping[str, Any] | None = None) -> Experiment:
    """The experiment in a YAML file, with some fields changed, e.g. ``{"seed": 3, "scorer.dim": 70}``.

    Raises ConfigError, which names the place in the file, what was expected and what stood there.
    """
    return from_config(change(_load(Path(path)), overrides or {}), str(path))


def from_config(config: Mapping[str, Any], source: str = "the experiment") -> Experiment:
    """The experiment that a mapping describes, as YAML would. Raises ConfigError."""
    try:
        complete = expand_arguments({**DEFAULTS, **config}, Experiment, "", hidden="config")
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Experiment, skip={"config"})
    try:
        namespace = parser.parse_object(complete)
        resolved = yaml.safe_load(parser.dump(namespace, skip_unset=False))
        built = parser.instantiate(namespace)
        if built.dataset.lower() not in dataset_names() and Path(built.dataset).is_dir():
            resolved["dataset"] = str(Path(built.dataset).resolve())  # so that the run is found again from another folder
    except (ArgumentError, ValueError) as error:
        raise ConfigError(f"{source}: {_innermost(error)}") from error
    return Experiment(**vars(built), config=resolved)


def _innermost(error: BaseException) -> BaseException:
    """What a constructor said, without the layers that jsonargparse puts around it."""
    inner = error.__cause__ or error.__context__
    return error if inner is None else _innermost(inner)


def _no_tensor(value: object) -> Tensor:
    raise ValueError("a tensor cannot be written in YAML")


register_type(
    Tensor, _no_tensor, _no_tensor
)  # else jsonargparse takes a loss, which returns one, for a maker of tensors


def _load(path: Path, derived: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A YAML file with what it takes from its base. Raises ConfigError."""
    if not path.is_file():
        raise ConfigError(f"{derived[-1]}: its base {path} does not exist" if derived else f"there is no file {path}")
    if path.resolve() in derived:
        raise ConfigError(f"{path} is based on itself")
    try:
        content = get_loader("yaml")(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected a mapping of names to values, found {content!r}")
    base = content.pop("base", None)
    inherited = _load(path.parent / str(base), (*derived, path.resolve())) if base is not None else DEFAULTS
    return change(inherited, content)


def change(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``config`` with some fields replaced. A dotted key leads through mappings and the ``init_args`` of parts."""
    changed = dict(config)
    for key, value in changes.items():
        first, _, rest = str(key).partition(".")
        if not rest:
            changed[first] = value
            continue
        inner = changed.get(first) or {}
        inner = {"class_path": inner} if isinstance(inner, str) else inner
        if not isinstance(inner, Mapping):
            raise ConfigError(f"{key}: {first} is {inner!r}, which has no field {rest}")
        if "class_path" in inner and rest.split(".")[0] not in ("class_path", "init_args"):
            rest = f"init_args.{rest}"
        changed[first] = change(inner, {rest: value})
    return changed


def parse_overrides(arguments: Iterable[str]) -> dict[str, Any]:
    """``["--scorer.dim", "70", "--seed=3"]`` as ``{"scorer.dim": 70, "seed": 3}``. Raises ConfigError."""
    overrides: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        option = rest.pop(0)
        name, equals, text = option.removeprefix("--").partition("=")
        if not option.startswith("--") or not name:
            raise ConfigError(f"expected an override such as --scorer.dim 70, found {option!r}")
        if not equals:
            if not rest:
                raise ConfigError(f"{option} needs a value")
            text = rest.pop(0)
        try:
            overrides[name] = get_loader("yaml")(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"{option}: {text!r} is no valid YAML") from error
    return overrides


def load_dataset(experiment: Experiment) -> Dataset:
    """The data set of an experiment. Raises DataError, and ConfigError for an option that the data set does not take."""
    name, options = experiment.dataset, experiment.dataset_options
    if name.lower() == BUNDLED:
        options = expand_arguments(options, load_cldr, "dataset_options")
    elif name.lower() in dataset_names():
        options = expand_arguments(options, load, "dataset_options", late=2)
    else:
        options = expand_arguments(options, from_folder, "dataset_options", late=1)
    return load(name, **options)


def build(experiment: Experiment, dataset: Dataset) -> tuple[Model, Objective]:
    """Model and objective, with initial values drawn from the experiment's seed."""
    torch.manual_seed(experiment.seed)
    scorer = experiment.scorer()
    encoder = experiment.encoder(dataset.graph, scorer.space)
    return Model(encoder, scorer), Objective(experiment.sampler, experiment.terms, experiment.redraw)


_FIT = [f.name for f in fields(Experiment)]
_FIT = _FIT[_FIT.index("queries") : _FIT.index("config")]


def train(experiment: Experiment, path: Path | str, progress: bool = True) -> RunDirectory:
    """Trains into a new run directory. Raises FileExistsError where the folder holds a run already."""
    dataset = load_dataset(experiment)
    run = RunDirectory.create(path, experiment.config, dataset)
    _fit(experiment, dataset, run, progress)
    return run


def resume(path: Path | str, progress: bool = True) -> RunDirectory:
    """Continues a run that was stopped, as if it had never been. Raises NotARun, DamagedFile."""
    run = RunDirectory.open(path)
    experiment = _read_run(run)
    dataset = load_dataset(experiment)
    run.check(dataset)
    _fit(experiment, dataset, run, progress)
    return run


def _fit(experiment: Experiment, dataset: Dataset, run: RunDirectory, progress: bool) -> None:
    model, objective = build(experiment, dataset)
    settings = {name: getattr(experiment, name) for name in _FIT}
    settings["memory"] = None if experiment.memory is None else parse_size(experiment.memory)
    fit(
        model,
        objective,
        dataset,
        optimizer=experiment.optimizer,
        schedule=experiment.schedule,
        run=run,
        progress=progress,
        **settings,
    )
    run.draw_curve()


def _read_run(run: RunDirectory) -> Experiment:
    return from_config(run.config, str(run.path / "config.yaml"))


def load_run(path: Path | str) -> tuple[Experiment, Dataset, Model, RunDirectory]:
    """A run with the data set that it was trained on and the model with its best weights.

    Raises NotARun; DamagedFile, which names the file; ValueError where the data set is no longer the same.
    """
    run = RunDirectory.open(path)
    experiment = _read_run(run)
    dataset = load_dataset(experiment)
    run.check(dataset)
    model, _ = build(experiment, dataset)
    run.load_weights(model)
    return experiment, dataset, model.eval(), run
