"""An experiment: a YAML file that names classes and their arguments, turned into constructor calls here and nowhere else.

The constructors are the schema: what a file says is checked against their type hints (``parts.py``, jsonargparse). ``config.py``
has the text itself: base files and changed fields.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import torch

from gnnkg.config import DEFAULTS, ConfigError, change, importable_beside, load_file
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
from gnnkg.holding import InUse
from gnnkg.own_modules import find_again, modules_named
from gnnkg.parts import MakeEncoder, MakeOptimizer, MakeSchedule, MakeScorer, expand_arguments, read_as
from gnnkg.run import RunDirectory, result_name

if TYPE_CHECKING:
    from gnnkg.train import Fitted

CHANGES = ("carve", "carve_seed", "features", "texts", "classes", "hide", "hide_seed")
"""options of ``gnnkg.data.load`` that every data set takes"""

Measure = Callable[[Model, Dataset], Mapping[str, float]]
"""further figures for the reports of a training"""


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
    average: float | None = None
    explosion: float = 1e4
    checkpoint_seconds: float = 60.0
    memory: str | int | None = None
    """how much validation may take, e.g. 2GB"""
    config: dict[str, Any] = field(default_factory=dict, repr=False)
    """the complete YAML that this was read from, defaults filled in"""

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("say how long to train: give either steps or epochs")
        if self.seed < 0 or self.devices < 1:
            raise ValueError(f"seed is at least 0 and devices at least 1, not {self.seed} and {self.devices}")
        if dotted := [name for name in self.terms if not name or "." in name]:
            raise ValueError(f"the name of a term holds no dot, because dots lead to its fields; not {dotted[0]!r}")


def read(path: Path | str, overrides: Mapping[str, Any] | None = None) -> Experiment:
    """The experiment in a YAML file, with some fields changed, e.g. ``{"seed": 3, "scorer.dim": 70}``.

    It may name classes of one's own in Python files beside it, such as ``mine.MyScorer``; its folder joins ``sys.path`` for that.

    Raises ConfigError, which names the place in the file, what was expected and what stood there.
    """
    config = change(load_file(Path(path)), overrides or {})
    importable_beside(Path(path))
    return from_config(config, str(path))


def from_config(config: Mapping[str, Any], source: str = "the experiment") -> Experiment:
    """The experiment that a mapping describes, as YAML would. Raises ConfigError."""
    experiment = read_as(Experiment, {**DEFAULTS, **config}, source)
    resolved = experiment.config  # with paths that hold in any folder, so that the run finds its data
    if experiment.dataset.lower() not in dataset_names() and Path(experiment.dataset).is_dir():
        resolved["dataset"] = str(Path(experiment.dataset).resolve())
    options = resolved["dataset_options"]
    for kind in ("features", "texts"):
        if isinstance(files := options.get(kind), dict):
            options[kind] = {name: str(Path(file).resolve()) for name, file in files.items()}
    return experiment


def load_dataset(experiment: Experiment) -> Dataset:
    """The data set of an experiment. Raises DataError, and ConfigError for an option that there is not."""
    name, options = experiment.dataset, experiment.dataset_options
    changes = {key: value for key, value in options.items() if key in CHANGES}
    changes = expand_arguments(changes, load, "dataset_options", late=2)
    for share in ("hide", "carve"):
        if f"{share}_seed" in changes and share not in changes:
            raise ConfigError(
                f"dataset_options.{share}_seed: it draws what dataset_options.{share} says a share of; give both, or neither"
            )
    options = {key: value for key, value in options.items() if key not in changes}
    if name.lower() == BUNDLED:
        options = expand_arguments(options, load_cldr, "dataset_options", elsewhere=CHANGES)
    elif name.lower() in dataset_names():
        options = expand_arguments(options, load, "dataset_options", late=2)
    else:
        options = expand_arguments(options, from_folder, "dataset_options", late=1, elsewhere=CHANGES)
    return load(name, **options, **changes)


def build(experiment: Experiment, dataset: Dataset) -> tuple[Model, Objective]:
    """Model and objective, with initial values drawn from the experiment's seed."""
    torch.manual_seed(experiment.seed)
    scorer = _made("scorer", experiment.scorer)
    encoder = _made("encoder", partial(experiment.encoder, dataset.graph, scorer.space))
    return Model(encoder, scorer), Objective(experiment.sampler, experiment.terms, experiment.redraw)


Made = TypeVar("Made")


def _made(what: str, make: Callable[[], Made]) -> Made:
    """A part, with its place in the experiment in the message where a value does not suit it."""
    try:
        return make()
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"{what}: {error}") from error


def is_first_process() -> bool:
    """Whether this process is the one that writes, where several train together (``devices`` above 1)."""
    return int(os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or 0) == 0


def train(
    experiment: Experiment,
    path: Path | str,
    progress: bool = True,
    measure: Measure | None = None,
    say: Callable[[str], None] = lambda note: None,
) -> RunDirectory:
    """Trains an experiment that was read into a new run directory. ``measure`` as in ``gnnkg.train.fit``; ``say`` hears what is
    to be noted of the data, such as how many entities a file tells of.

    A training that fails before its first checkpoint leaves no run behind. Raises FileExistsError where the folder holds a run
    already, or other files by the names of a run's; ValueError for parts that do not go together.
    """
    if not experiment.config:
        raise ValueError(
            "an experiment that was not read has no config to keep in a run: use from_config, or gnnkg.train.fit"
        )
    first = is_first_process()
    if first:
        RunDirectory(Path(path)).expect_none()
    dataset = load_dataset(experiment)
    model, objective = build(experiment, dataset)
    for note in dataset.report.notes if first else ():
        say(note)
    run = RunDirectory.create(path, experiment.config, dataset) if first else RunDirectory(Path(path))
    try:
        _fit(experiment, model, objective, dataset, run, progress, measure)
    except InUse:  # it is the other process's
        raise
    except Exception:
        if first:
            run.discard_unless_begun()  # so that the same command serves again once the fault is mended
        raise
    return run


def resume(path: Path | str, progress: bool = True, measure: Measure | None = None) -> RunDirectory:
    """Continues a run that was stopped, as if it had never been. Raises NotARun, DamagedFile, ConfigError, MissingModule."""
    run = RunDirectory.open(path)
    experiment = _read_run(run)
    dataset = load_dataset(experiment)
    run.check(dataset)
    _fit(experiment, *build(experiment, dataset), dataset, run, progress, measure)
    return run


def try_out(experiment: Experiment, dataset: Dataset, **settings: Any) -> Fitted:
    """Trains in memory and writes nothing: for what is learned on the way. ``settings`` go to ``gnnkg.train.fit``."""
    return _fit(experiment, *build(experiment, dataset), dataset, None, progress=False, **settings)


def _fit(
    experiment: Experiment,
    model: Model,
    objective: Objective,
    dataset: Dataset,
    run: RunDirectory | None,
    progress: bool,
    measure: Measure | None = None,
    **others: Any,
) -> Fitted:
    """Fits with those settings of the experiment that bear the names of ``fit``'s own."""
    from gnnkg.train import fit  # Lightning takes as long to import as torch; evaluating and predicting do without it

    named = [name for name in inspect.signature(fit).parameters if hasattr(experiment, name)]
    settings: dict[str, Any] = {name: getattr(experiment, name) for name in named}
    settings["optimizer"] = lambda parameters: _made("optimizer", partial(experiment.optimizer, parameters))
    settings["dataset"] = dataset
    settings["memory"] = parse_size(experiment.memory)
    settings["measure"] = None if measure is None else partial(measure, model, dataset)
    fitted = fit(model, objective, run=run, progress=progress, **settings, **others)
    if run is not None and is_first_process():
        run.draw_curve()
    return fitted


def _read_run(run: RunDirectory) -> Experiment:
    """Raises ConfigError for a run that was made in Python; MissingModule where classes of one's own are gone."""
    if absent := [name for name in ("dataset", "scorer", "sampler", "terms", "optimizer") if name not in run.config]:
        raise ConfigError(
            f"{run.path} holds a training that was started in Python: its config.yaml is no experiment, it has no "
            f"{' and no '.join(absent)}. Build the model in Python as it was built, then "
            f"gnnkg.RunDirectory.open({str(run.path)!r}).load_weights(model) gives it the best weights, to evaluate and "
            "predict with; fit with this run continues it"
        )
    if modules_named(run.config):
        find_again(run.config, run.environment.get("modules", {}))
    return from_config(run.config, str(run.path / "config.yaml"))


def evaluate_run(path: Path | str, split: str = "test", memory: int | None = None, on: str | None = None) -> Evaluation:
    """Judges a run's best weights, and keeps the result with its provenance in ``results``, beside that of the training.
    ``on`` as in ``load_run``.

    Raises as ``load_run``; ValueError where the model has vectors for other entities than ``on`` has.
    """
    experiment, dataset, model, run = load_run(path, on, measured=True)
    training = run.environment
    evaluation = evaluate(model, dataset, split, memory=memory)
    origin = provenance(experiment.config, experiment.seed)
    told = {"evaluation": evaluation.to_dict(), "provenance": origin.to_dict(), "training": training}
    run.write_result(result_name(split, on), told)
    return evaluation


def load_run(
    path: Path | str, on: str | None = None, measured: bool = False
) -> tuple[Experiment, Dataset, Model, RunDirectory]:
    """A run with the data set that it was trained on and the model with its best weights.

    ``on``: another data set to ask the model about, by name or folder, in place of that one; relations are matched by identifier
    (``Dataset.for_model_of``), entities are new unless the model's are the same. ``measured``: a result is to be written there.
    Raises NotARun; DamagedFile, which names the file; ConfigError for a run that was made in Python; MissingModule where
    classes of one's own are gone; OSError where a result could not be written; ValueError where the data set is no longer the same,
    or ``on`` has relations that it has not.
    """
    run = RunDirectory.open(path)
    if measured:
        run.expect_results()
    experiment = _read_run(run)
    dataset = load_dataset(experiment)
    run.check(dataset)
    model, _ = build(experiment, dataset)
    run.load_weights(model)
    asked = dataset if on is None else load(on).for_model_of(dataset)
    return experiment, asked, model.eval(), run
