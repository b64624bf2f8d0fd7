"""An experiment: a YAML file that names classes and their arguments, turned into constructor calls here and nowhere else.

The constructors are the schema: what a file says is checked against their type hints (``parts.py``, jsonargparse). ``config.py``
has the text itself: base files and changed fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from jsonargparse import ArgumentError, ArgumentParser
from jsonargparse.typing import register_type
from torch import Tensor

from gnnkg.config import DEFAULTS, ConfigError, change, load_file
from gnnkg.core import Model, Objective, Sampler, Term
from gnnkg.data.cldr import load_cldr
from gnnkg.data.dataset import Dataset
from gnnkg.data.files import from_folder
from gnnkg.data.load import BUNDLED, dataset_names, load
from gnnkg.data.queries import Queries
from gnnkg.encoders import Table
from gnnkg.evaluation import Evaluation, evaluate
from gnnkg.evaluation.memory import parse_size
from gnnkg.evaluation.provenance import provenance
from gnnkg.parts import MakeEncoder, MakeOptimizer, MakeSchedule, MakeScorer, expand_arguments
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


def read(path: Path | str, overrides: Mapping[str, Any] | None = None) -> Experiment:
    """The experiment in a YAML file, with some fields changed, e.g. ``{"seed": 3, "scorer.dim": 70}``.

    Raises ConfigError, which names the place in the file, what was expected and what stood there.
    """
    return from_config(change(load_file(Path(path)), overrides or {}), str(path))


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
            resolved["dataset"] = str(
                Path(built.dataset).resolve()
            )  # so that the run is found again from another folder
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


def load_dataset(experiment: Experiment) -> Dataset:
    """The data set of an experiment. Raises DataError, and ConfigError for an option that there is not."""
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


def evaluate_run(path: Path | str, split: str = "test", memory: int | None = None) -> Evaluation:
    """Judges a run's best weights, and keeps the result with its provenance in ``results/<split>.json``. Raises as ``load_run``."""
    experiment, dataset, model, run = load_run(path)
    evaluation = evaluate(model, dataset, split, memory=memory)
    origin = provenance(experiment.config, experiment.seed)
    run.write_result(split, {"evaluation": evaluation.to_dict(), "provenance": origin.to_dict()})
    return evaluation


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
