"""The run directory: everything about one training, in files that say what they are.

config.yaml               the complete experiment          vocabulary.json   names, labels and the data hash
environment.json          versions, hardware, commit       weights.safetensors   the best weights by validation
checkpoint.safetensors    model, optimiser, counters       metrics.csv       one row a report; curve.png its picture
results/<split>.json      evaluations                      tensorboard/      the same metrics as events
  (<split>-on-<data set>.json: of another data set)    results/certificate-<split>.json, .png   certified radii
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas
import yaml
from torch import nn

from gnnkg import checkpoint
from gnnkg.data.dataset import Dataset
from gnnkg.evaluation.provenance import commit, hardware, versions
from gnnkg.own_modules import homes
from gnnkg.stored import DamagedFile, write_atomically


def result_name(split: str, on: str | None = None) -> str:
    """What an evaluation is called in ``results``. ``on``: the other data set that the model was asked about, by name or folder."""
    if on is None:
        return split
    where = str(Path(on).resolve()) if Path(on).is_dir() else on
    return f"{split}-on-{re.sub(r'[^a-z0-9._]+', '-', where.lower()).strip('-')}"


NAMES = (
    "config.yaml",
    "vocabulary.json",
    "environment.json",
    "weights.safetensors",
    "checkpoint.safetensors",
    "metrics.csv",
    "curve.png",
    "results",
    "tensorboard",
)
"""what a run writes"""


def _environment() -> dict[str, Any]:
    return {"commit": commit(), "versions": versions(), "hardware": hardware()}


class NotARun(ValueError):
    """The folder is not a run directory."""


class RunDirectory:
    """One training on disk. Open it with ``RunDirectory.open``; ``create`` starts a new one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"RunDirectory({str(self.path)!r})"

    @classmethod
    def create(cls, path: Path | str, config: Mapping[str, Any], dataset: Dataset) -> RunDirectory:
        """Starts a run directory. Raises FileExistsError where the folder holds a run, or anything by a name that a run writes."""
        run = cls(Path(path))
        run.expect_none()
        names = {
            "dataset": dataset.name,
            "data_hash": dataset.data_hash,
            "entities": dataset.entities,
            "relations": dataset.relations,
            "entity_labels": dataset.entity_labels,
            "relation_labels": dataset.relation_labels,
        }
        environment = _environment() | ({"modules": modules} if (modules := homes(config)) else {})
        text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
        run.path.mkdir(parents=True, exist_ok=True)
        try:
            run._write_json("vocabulary.json", names)
            run._write_json("environment.json", environment)
            write_atomically(run.path / "config.yaml", text.encode())  # last: its presence makes the folder a run
        except BaseException:
            run.discard_unless_begun()
            raise
        return run

    @classmethod
    def open(cls, path: Path | str) -> RunDirectory:
        """Raises NotARun where the folder holds no run."""
        run = cls(Path(path))
        if not run.path.is_dir():
            raise NotARun(f"there is no folder {run.path}")
        if not (run.path / "config.yaml").is_file():
            raise NotARun(f"{run.path} is not a run directory: it has no config.yaml")
        return run

    def expect_none(self) -> None:
        """Raises FileExistsError where the folder holds a run already, or what the files of a run would take the place of."""
        if (self.path / "config.yaml").exists():
            raise FileExistsError(f"{self.path} holds a run already: resume it, or choose another folder")
        taken = [name for name in NAMES if os.path.lexists(self.path / name)]
        with suppress(OSError):  # where there is none; an empty one is of a process that holds the folder
            taken += [".lock"] * bool((self.path / ".lock").stat().st_size)
        if taken:
            raise FileExistsError(
                f"{self.path} is no run, and holds {' and '.join(taken)}, where a run would write files of its own: move what is "
                "there, or choose another folder"
            )

    def discard_unless_begun(self) -> None:
        """Removes what a run that ``create`` began has written, where its training has not come as far as weights or a checkpoint;
        other files stay. What bears these names is the run's own: ``create`` refuses a folder that has any.
        """
        if self.checkpoint.exists() or (self.path / "weights.safetensors").exists():
            return
        shutil.rmtree(self.path / "tensorboard", ignore_errors=True)
        for name in ("config.yaml", "vocabulary.json", "environment.json", ".lock"):
            (self.path / name).unlink(missing_ok=True)
        with suppress(OSError):  # where there are others
            self.path.rmdir()

    def _write_json(self, name: str, value: Any) -> None:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(value, ensure_ascii=False, indent=1).encode())

    def _read_json(self, name: str) -> Any:
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise DamagedFile(f"{self.path / name} is missing from the run directory") from error
        except ValueError as error:
            raise DamagedFile(f"{self.path / name} is damaged ({error})") from error

    @cached_property
    def config(self) -> dict[str, Any]:
        """The experiment as it stands in config.yaml. Raises DamagedFile."""
        file = self.path / "config.yaml"
        try:
            config = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise DamagedFile(f"{file} is damaged ({error})") from error
        if not isinstance(config, dict):
            raise DamagedFile(f"{file} is damaged (it should hold a mapping)")
        return config

    @cached_property
    def vocabulary(self) -> dict[str, Any]:
        """Names, labels and data hash of the data set that the run was trained on. Raises DamagedFile."""
        return self._read_json("vocabulary.json")

    @property
    def environment(self) -> dict[str, Any]:
        """Versions, hardware and commit at the start of the run; ``continued``: the same of each time that it went on under others,
        with the step; ``modules``: the folders of those with classes of one's own. Raises DamagedFile.
        """
        return self._read_json("environment.json")

    def note_continued(self, step: int) -> None:
        """Notes in environment.json that training goes on after ``step``, where code, versions or hardware changed."""
        known, now = self.environment, _environment()
        before = known.get("continued", [])
        last = before[-1] if before else known
        if any(last.get(name) != value for name, value in now.items()):
            self._write_json("environment.json", known | {"continued": [*before, {"step": step} | now]})

    @property
    def other_code(self) -> str:
        """Under which other commits the run went on, in words for a result; mostly empty. Raises DamagedFile."""
        known = self.environment
        parts = [known, *known.get("continued", [])]
        changes = [now for before, now in pairwise(parts) if now["commit"] != before["commit"]]
        return ", ".join(f"after step {now['step']:,} trained under commit {now['commit']}" for now in changes)

    def check(self, dataset: Dataset) -> None:
        """Raises ValueError where ``dataset`` is not what the run was trained on; DamagedFile where its names were changed."""
        expected = self.vocabulary.get("data_hash")
        if dataset.data_hash != expected:
            raise ValueError(
                f"{self.path} was trained on {self.vocabulary.get('dataset')!r} with data hash {str(expected)[:12]}, but the data "
                f"set {dataset.name!r} now has {dataset.data_hash[:12]}: its facts or names have changed"
            )
        names = {"entities": dataset.entities, "relations": dataset.relations}
        if any(list(known) != self.vocabulary.get(kind) for kind, known in names.items()):
            raise DamagedFile(f"{self.path / 'vocabulary.json'} is damaged (its names are not those of {dataset.name})")

    def save_weights(self, model: nn.Module, **about: Any) -> None:
        """The best weights so far, with what is known about them (step, validation metrics)."""
        checkpoint.save(self.path / "weights.safetensors", {"model": model.state_dict(), "about": about})

    def load_weights(self, model: nn.Module) -> dict[str, Any]:
        """Puts the best weights into the model and gives what is known about them. Raises DamagedFile, FileNotFoundError."""
        file = self.path / "weights.safetensors"
        state = checkpoint.load(file, remedy="train the model again, into another directory")
        try:
            model.load_state_dict(state["model"])
        except (KeyError, TypeError, RuntimeError) as error:
            raise DamagedFile(f"{file} does not fit the model that config.yaml describes ({error})") from error
        return state["about"]

    @property
    def checkpoint(self) -> Path:
        """Where the state to continue from lies, once there is one."""
        return self.path / "checkpoint.safetensors"

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        checkpoint.save(self.checkpoint, dict(state))

    def load_checkpoint(self) -> dict[str, Any] | None:
        """The last state that was written whole, or None. Raises DamagedFile."""
        if not self.checkpoint.exists():
            return None
        return checkpoint.load(self.checkpoint, remedy="delete it, and the training begins anew")

    def write_metrics(self, rows: list[dict[str, Any]]) -> None:
        """Replaces metrics.csv: one row a report of training."""
        write_atomically(self.path / "metrics.csv", pandas.DataFrame(rows).to_csv(index=False).encode())

    @property
    def metrics(self) -> pandas.DataFrame:
        """metrics.csv; empty before the first report. Raises DamagedFile."""
        file = self.path / "metrics.csv"
        if not file.exists():
            return pandas.DataFrame()
        try:
            found = pandas.read_csv(file)
        except ValueError as error:  # as pandas' errors of reading are
            raise DamagedFile(f"{file} is damaged ({error})") from error
        if found.empty or not {"step", "seconds"} <= set(found.columns):
            raise DamagedFile(f"{file} is damaged (it should hold a row with step and seconds for each report)")
        return found

    def expect_results(self) -> None:
        """Raises OSError where a result could not be written, before anything is computed."""
        folder = self.path / "results"
        with tempfile.TemporaryFile(dir=folder if folder.exists() else self.path):
            pass

    def write_result(self, name: str, result: Mapping[str, Any]) -> Path:
        """Writes results/<name>.json and gives its path."""
        self._write_json(f"results/{name}.json", dict(result))
        return self.path / "results" / f"{name}.json"

    def result(self, name: str) -> dict[str, Any]:
        """Raises DamagedFile where it is missing or cannot be read."""
        return self._read_json(f"results/{name}.json")

    def draw_curve(self) -> Path:
        """Draws losses and validation MRR against steps into curve.png."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        metrics = self.metrics
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        FigureCanvasAgg(figure)
        losses = figure.subplots()
        for name in [column for column in metrics.columns if column.startswith("loss/")]:
            losses.plot(metrics["step"], metrics[name], label=name, linewidth=1)
        losses.set(xlabel="step", ylabel="loss", title=str(self.path.name))
        quality = losses.twinx()
        if "valid/mrr" in metrics:
            valid = metrics.dropna(subset=["valid/mrr"])
            quality.plot(valid["step"], valid["valid/mrr"], "o-", color="black", label="valid/mrr", markersize=3)
        quality.set(ylabel="filtered MRR on validation")
        lines = losses.get_lines() + quality.get_lines()
        losses.legend(lines, [str(line.get_label()) for line in lines], loc="center right")
        figure.savefig(self.path / "curve.png", dpi=120)
        return self.path / "curve.png"
