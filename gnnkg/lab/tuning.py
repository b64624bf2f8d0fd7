"""Optuna searches the fields of a method: the same number of trials for each, judged by the validation MRR.

Trials are stored in ``tuning.db`` and exported as ``tuning/<name>.csv``. A trial's sampler is seeded by its number, so a
search that was stopped and continued makes the same trials as one that was not. A trial that was cut off is begun anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gnnkg.config import ConfigError
from gnnkg.data.dataset import Dataset
from gnnkg.data.queries import step_seed
from gnnkg.experiment import try_out
from gnnkg.holding import held
from gnnkg.lab.budget import step_cost
from gnnkg.lab.grid import Combination
from gnnkg.lab.space import Range, Tuning
from gnnkg.progress import TrainingFailed
from gnnkg.stored import write_atomically

if TYPE_CHECKING:
    import optuna


def needs_optuna() -> None:
    """Raises ImportError, which says how to install it, where Optuna is missing."""
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise ImportError("tuning needs Optuna: pip install 'gnnkg[lab]'") from error


def searched(combination: Combination, tuning: Tuning | None) -> dict[str, Any]:
    """What trials depend on, as JSON has it: the experiment, and how it is searched."""
    told = {
        "experiment": combination.experiment(1, 1, 0).config,
        "tune": None
        if tuning is None
        else {
            "trials": tuning.trials,
            "seed": tuning.seed,
            "budget": vars(tuning.budget),
            "space": {name: vars(each) for name, each in tuning.of(combination.method).items()},
            **({"try": first} if (first := tuning.first(combination.method)) else {}),
        },
    }
    return json.loads(json.dumps(told))


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """In what two grids differ, and what to do about it: how such a message ends."""
    differ = ", ".join(key for key, value in now.items() if before.get(key) != value)
    return f"(it differs in {differ}): name another folder with --out"


def tuned_fields(combination: Combination, tuning: Tuning, dataset: Dataset, folder: Path) -> dict[str, Any]:
    """The best fields that were found, after the trials that are still missing. Raises ConfigError where there are some of
    another grid.
    """
    import optuna

    done, first = optuna.trial.TrialState.COMPLETE, tuning.first(combination.method)
    with _study(combination.name, folder) as study:
        asked = searched(combination, tuning)
        if (before := study.user_attrs.setdefault("searched", asked)) != asked:
            raise ConfigError(
                f"{folder / 'tuning.db'} holds trials of {combination.name} for another grid than this now is "
                f"{differing(before, asked)}"
            )
        study.set_user_attr("searched", asked)
        for cut_off in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
            study.tell(cut_off.number, state=optuna.trial.TrialState.FAIL)
        for number in range(len(study.get_trials(states=(done,))), tuning.trials):
            study.sampler = optuna.samplers.TPESampler(seed=step_seed(tuning.seed, number) % 2**32)
            if number < len(first):
                study.enqueue_trial(first[number])
            trial = study.ask()
            fields = {name: _suggested(trial, name, each) for name, each in tuning.of(combination.method).items()}
            study.tell(trial, _try(trial, fields, combination, tuning, dataset))
            _export(study, folder / "tuning" / f"{combination.name}.csv")
        return dict(study.best_params)


@contextmanager
def _study(name: str, folder: Path) -> Iterator[optuna.Study]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with held(folder / "planning", wait=True):  # two processes cannot make the data base's tables at once
        storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'tuning.db'}")
    try:
        yield optuna.create_study(study_name=name, storage=storage, direction="maximize", load_if_exists=True)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _suggested(trial: optuna.Trial, name: str, values: Range) -> Any:
    if values.choices:
        return trial.suggest_categorical(name, values.choices)
    if isinstance(values.low, int) and isinstance(values.high, int):
        return trial.suggest_int(name, values.low, values.high, log=values.log)
    return trial.suggest_float(name, values.low, values.high, log=values.log)


def _try(
    trial: optuna.Trial, fields: dict[str, Any], combination: Combination, tuning: Tuning, dataset: Dataset
) -> float:
    """The validation MRR at the end of a short training; 0 for one that failed, which counts as a trial all the same."""
    steps = tuning.budget.steps
    if steps is None:
        steps = tuning.budget.in_steps(step_cost(combination.experiment(1, 1, tuning.seed, fields), dataset))
    trial.set_user_attr("steps", steps)
    try:
        fitted = try_out(combination.experiment(steps, 1, tuning.seed, fields), dataset)
    except TrainingFailed as failure:
        trial.set_user_attr("failure", str(failure))
        return 0.0
    trial.set_user_attr("seconds", fitted.seconds)
    return fitted.best_metrics["valid/mrr"]


def _export(study: optuna.Study, file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    columns = ("number", "state", "value", "params", "user_attrs")
    write_atomically(file, study.trials_dataframe(attrs=columns).to_csv(index=False).encode())
