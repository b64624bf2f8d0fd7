"""A training as a result: trained or continued, judged on test once, and written down with where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gnnkg.core import Model
from gnnkg.data.manifest import manifest
from gnnkg.evaluation import Result, evaluate
from gnnkg.evaluation.provenance import provenance
from gnnkg.evaluation.results import result_from
from gnnkg.experiment import Experiment, Measure, load_run, resume, train
from gnnkg.run import RunDirectory


def finish(experiment: Experiment, path: Path, progress: bool = True, measure: Measure | None = None) -> RunDirectory:
    """Trains an experiment in a run directory, or continues what was stopped there."""
    if (path / "config.yaml").exists():
        return resume(path, progress, measure)
    return train(experiment, path, progress, measure)


def judged(
    path: Path,
    command: str,
    *,
    method: str,
    model: str | None = None,
    published: Mapping[str, Any] | None = None,
    note: str = "",
) -> Result:
    """The result of a finished run on test; a model of an inductive task is judged on the entities that training never saw.

    ``model``: what it is called, by default ``model_name``. ``published``: figures by data set and model.
    """
    known = manifest(RunDirectory.open(path).config["dataset"])
    experiment, dataset, trained, run = load_run(path, (known and known.new_entities) or None)
    evaluation = evaluate(trained, dataset, "test")
    origin = provenance(experiment.config, experiment.seed, command)
    name = model or model_name(trained)
    return result_from(
        evaluation,
        replace(origin, commit=run.environment["commit"]),  # of the code that trained
        model=name,
        method=method,
        wall_seconds=float(run.metrics["seconds"].iloc[-1]) + evaluation.wall_seconds,
        paper=(published or {}).get(dataset.name, {}).get(name),
        note="; ".join(filter(None, (note, run.other_code))),
    )


def model_name(model: Model) -> str:
    """The scorer's name over a table, the encoder's over a network, otherwise both."""
    encoder, scorer = type(model.encoder).__name__, type(model.scorer).__name__
    if encoder == "Table":
        return scorer
    return encoder if scorer == "MLP" else f"{encoder} + {scorer}"
