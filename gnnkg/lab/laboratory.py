"""The work of a laboratory, cell by cell. Everything lies in one folder:

    runs/<cell>/          a run directory each; results/measures.json is what ``measures.py`` found
    results/<cell>.json   test figures, one result file a cell
    robustness/<cell>.json    how a cell stands noise, where the grid asks for it; ``robustness.py``
    steps/<name>.json     what a training step costs and how many make up the budget, for each data set, model and method
    tuning.db, tuning/    trials
    planning/             which process is at work on which of these
    table.csv, table.md, *.png

A cell with its result is left alone, one that was stopped goes on, and one that was trained with other fields is refused. Several
processes may work in one folder: each takes cells that no other is at work on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from gnnkg.config import ConfigError
from gnnkg.core import Model
from gnnkg.data.dataset import Dataset
from gnnkg.evaluation.provenance import command_line, hardware, provenance
from gnnkg.evaluation.results import write_result
from gnnkg.experiment import Experiment, build, from_config, load_dataset, load_run
from gnnkg.holding import InUse, held
from gnnkg.lab.budget import step_cost
from gnnkg.lab.grid import Combination, Grid, cell_name
from gnnkg.lab.measures import measure
from gnnkg.lab.recording import finish, judged
from gnnkg.lab.robustness import stand
from gnnkg.lab.standings import asked, measured_against, standing, standing_file
from gnnkg.lab.suspects import suspects_found
from gnnkg.lab.tuning import differing, needs_optuna, searched, tuned_fields
from gnnkg.run import NotARun, RunDirectory
from gnnkg.stored import DamagedFile, write_atomically
from gnnkg.transforms import DeMix

Say = Callable[[str], None]


class Laboratory:
    """A grid and the folder of its work."""

    def __init__(self, grid: Grid, folder: Path, progress: bool = False, say: Say = lambda line: None) -> None:
        self.grid = grid
        self.folder = folder
        self.progress = progress
        self.say = say
        self._searched: dict[str, dict[str, Any]] = {}
        """by the names of combinations: experiments are not read again for every cell"""

    def run(self) -> None:
        """Does all that is not done yet. Raises ConfigError where a cell was trained with other fields than the grid now says."""
        if self.grid.tuning is not None:
            needs_optuna()
        for folder in ("runs", "results", "steps"):
            (self.folder / folder).mkdir(parents=True, exist_ok=True)
        for combination, seed in self.grid.cells():
            self._check(combination, seed)
            self._check_first(combination, seed)
        self._plan_all()  # first, so that what does not go together shows before the first cell trains
        later = []
        for combination, seed in self.grid.cells():
            name = cell_name(combination, seed)
            if self._judged(name) and self._stood(combination, seed) and not (self.folder / "runs" / name).exists():
                self.say(f"{name}: done")
                continue
            try:
                with held(self.folder / "runs" / name):
                    self._train(combination, seed, name)
                    if not self._stood(combination, seed) and not self._stand(combination, seed, name):
                        later.append((combination, seed, name))
            except InUse:
                self.say(f"{name}: left to the process that is at work on it")
        for combination, seed, name in later:
            self._wait_and_stand(combination, seed, name)

    def _plan_all(self) -> None:
        """Plans what is not planned yet. What another process is at work on comes last, and is waited for."""
        for wait in (False, True):
            for combination in self.grid.combinations:
                if self._planned(combination) is not None:
                    continue
                try:
                    with held(self.folder / "planning" / combination.name, wait):
                        if self._planned(combination) is None:
                            with self._naming(combination):
                                self._plan(combination)
                except InUse:
                    self.say(f"{combination.name}: another process is planning it")

    def _train(self, combination: Combination, seed: int, name: str) -> None:
        if self._judged(name):
            self.say(f"{name}: done")
            keep_measures(self.folder, name)
        else:
            self._cell(combination, seed, name)

    def _judged(self, name: str) -> bool:
        return (self.folder / "results" / f"{name}.json").exists()

    def _stood(self, combination: Combination, seed: int) -> bool:
        """Whether a cell was measured under noise as the grid asks now."""
        return self.grid.robust is None or standing(self.folder, self.grid, combination, seed) is not None

    def _check_first(self, combination: Combination, seed: int) -> None:
        """That what noise is measured by will be there."""
        first = measured_against(self.grid, combination)
        here = any(each.name == first.name for each in self.grid.combinations)
        if not here and not self._stood(combination, seed) and not self._stood(first, seed):
            name = cell_name(combination, seed)
            raise ConfigError(f"noise on {name} is measured in sigmas of {first.name}: train that first")

    def _check(self, combination: Combination, seed: int) -> None:
        path = self.folder / "runs" / cell_name(combination, seed)
        plan = self._planned(combination)
        if plan is None or not (path / "config.yaml").exists():
            return
        begun = from_config(RunDirectory.open(path).config, str(path)).config
        wanted = self._experiment(combination, seed, plan).config
        differ = [key for key in wanted if wanted[key] != begun.get(key)]
        if differ:
            raise ConfigError(
                f"{path} was begun with other fields than {self.grid.path} now gives it ({', '.join(differ)}): "
                "name another folder with --out, or delete this one and its result"
            )

    def _cell(self, combination: Combination, seed: int, name: str) -> None:
        plan = self._planned(combination)
        assert plan is not None
        experiment = self._experiment(combination, seed, plan)
        self.say(f"{name}: {experiment.steps:,} steps")
        path = self.folder / "runs" / name
        watch = partial(_suspects, self.grid.judge_of(experiment)) if self.grid.inject else None
        standing_file(self.folder, combination, seed).unlink(missing_ok=True)  # of another training
        with self._naming(combination):
            finish(experiment, path, self.progress, watch)
        write_measures(path)
        keep_measures(self.folder, name)  # before the result, by which another process sees that the cell is finished
        result = judged(path, command_line(), model=combination.model, method=combination.method)
        write_result(result, self.folder / "results", name)
        self.say(f"{name}: test MRR {result.metrics['mrr']:.4f}")

    def _wait_and_stand(self, combination: Combination, seed: int, name: str) -> None:
        """Measures a cell against one that another process is at work on, once that is done."""
        first = cell_name(measured_against(self.grid, combination), seed)
        with held(self.folder / "runs" / first, wait=True):
            pass
        try:
            with held(self.folder / "runs" / name):
                if not self._stood(combination, seed) and not self._stand(combination, seed, name):
                    raise ConfigError(
                        f"noise on {name} is measured in sigmas of {first}, which another process has not finished: "
                        "the same command goes on"
                    )
        except InUse:
            self.say(f"{name}: left to the process that is at work on it")

    def _stand(self, combination: Combination, seed: int, name: str) -> bool:
        """Measures a cell under noise; False where what it is measured against is not there yet."""
        first, common = measured_against(self.grid, combination), None
        if combination.method != first.method:
            against = standing(self.folder, self.grid, first, seed)
            if against is None:
                return False
            common = against["own"]["sigma"]
        assert self.grid.robust is not None
        experiment, dataset, model, run = load_run(self.folder / "runs" / name)
        found = stand(model, dataset, self.grid.robust, common)
        origin = replace(
            provenance(experiment.config, seed), commit=run.environment["commit"]
        )  # of the code that trained
        told = {"asked": asked(self.grid), **found, "provenance": origin.to_dict()}
        text = json.dumps(told | ({"note": run.other_code} if run.other_code else {}), indent=1, allow_nan=False)
        file = standing_file(self.folder, combination, seed)
        file.parent.mkdir(exist_ok=True)
        write_atomically(file, text.encode())
        kept = "  ".join(f"{alpha}: {metrics['mrr']['mean']:.3f}" for alpha, metrics in found["own"]["values"].items())
        self.say(f"{name}: MRR by alpha  {kept}")
        return True

    def _experiment(self, combination: Combination, seed: int, plan: Mapping[str, Any]) -> Experiment:
        return combination.experiment(plan["steps"], self.grid.validations, seed, plan["tuned"])

    def _plan_file(self, combination: Combination) -> Path:
        return self.folder / "steps" / f"{combination.name}.json"

    def _planned(self, combination: Combination) -> dict[str, Any] | None:
        """What an earlier call has measured and tuned. Raises DamagedFile; ConfigError where it was for another grid."""
        file = self._plan_file(combination)
        if not file.exists():
            return None
        try:
            plan = json.loads(file.read_text(encoding="utf-8"))
            made_for = plan["made_for"]
        except (ValueError, KeyError) as error:
            raise DamagedFile(f"{file} is damaged ({error}): delete it") from error
        if made_for != self._made_for(combination):
            raise ConfigError(
                f"{file} was made for another grid than {self.grid.path} now is "
                f"{differing(made_for, self._made_for(combination))}"
            )
        return plan

    def _made_for(self, combination: Combination) -> dict[str, Any]:
        """What a plan depends on, as JSON has it."""
        budget = json.loads(json.dumps(vars(self.grid.budget)))
        if combination.name not in self._searched:
            self._searched[combination.name] = searched(combination, self.grid.tuning)
        return {"budget": budget, **self._searched[combination.name]}

    @contextmanager
    def _naming(self, combination: Combination) -> Iterator[None]:
        """Says which combination it is that does not go together."""
        try:
            yield
        except (DamagedFile, NotARun):
            raise
        except ValueError as error:
            raise ConfigError(f"{self.grid.path}: {combination.title}: {error}") from error

    def _plan(self, combination: Combination) -> dict[str, Any]:
        dataset = load_dataset(combination.experiment(1, 1, 0))
        tuned: dict[str, Any] = {}
        if self.grid.tuning is not None:
            self.say(f"{combination.name}: {self.grid.tuning.trials} trials")
            tuned = tuned_fields(combination, self.grid.tuning, dataset, self.folder)
        cost = step_cost(combination.experiment(1, 1, 0, tuned), dataset)
        self.say(f"{combination.name}: {1000 * cost.seconds:.1f} ms a step")
        plan = {
            "steps": self.grid.budget.in_steps(cost),
            "tuned": tuned,
            "seconds_per_step": cost.seconds,
            "peak_bytes": cost.peak_bytes,
            "hardware": hardware(),
            "made_for": self._made_for(combination),
        }
        write_atomically(self._plan_file(combination), json.dumps(plan, indent=1, ensure_ascii=False).encode())
        return plan


def _suspects(judge: DeMix, model: Model, dataset: Dataset) -> dict[str, float]:
    return suspects_found(model, dataset, judge)


def keep_measures(folder: Path, name: str) -> None:
    """Copies what tables and figures are made of out of a run, for the day when it is deleted; nothing where it is gone."""
    run, kept = folder / "runs" / name, folder / "measures"
    kept.mkdir(exist_ok=True)
    for source, kind in ((run / "results" / "measures.json", "json"), (run / "metrics.csv", "csv")):
        if source.exists():
            write_atomically(kept / f"{name}.{kind}", source.read_bytes())


def write_measures(path: Path) -> None:
    """Measures a finished run, with its objective as it was when training ended."""
    experiment, dataset, model, run = load_run(path)
    objective = build(experiment, dataset)[1]
    saved = run.load_checkpoint()
    if saved is not None:
        objective.load_state_dict(saved["objective"])
    objective.before_epoch(int(run.metrics["epoch"].iloc[-1]))
    run.write_result("measures", measure(model, objective, dataset, experiment.queries, experiment.seed))
