"""Trains, evaluates and records the experiments of a folder: what ``recipes/<paper>/reproduce.py`` does.

An experiment is ``<dataset>_<model>.yaml``. A run that was stopped is continued; one that is recorded already is left alone
unless ``--again``. Each result goes to ``results/`` with its protocol, seed, commit and hardware; the published figures beside it
come from ``published.yaml``, by data set and model. Where the file of a result is that of another experiment, it stays, and
this one's method bears the rest of its name: ``distmult-512`` gives "CE + N3, 512". A model of an inductive task is judged on the
entities that training never saw.
"""

from __future__ import annotations

import argparse
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: threads that spin starve the other runs

import yaml

from gnnkg import experiment as experiments
from gnnkg.config import ConfigError
from gnnkg.evaluation import Result
from gnnkg.evaluation.results import file_name, read_results, write_result
from gnnkg.lab.recording import finish, judged

RECIPES = Path(__file__).parent


def main(folder: Path, about: str | None) -> None:
    """Reproduces the experiments of a folder that the command line names."""
    known = sorted(path.stem for path in folder.glob("*_*.yaml"))
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="EXPERIMENT", help=f"of {', '.join(known)}; default: all")
    parser.add_argument("--seed", type=int, action="append", help="one or more; default: 0")
    parser.add_argument("--runs", type=Path, default=Path("runs") / folder.name, help="where run directories go")
    parser.add_argument("--again", action="store_true", help="train anew what is recorded already")
    arguments = parser.parse_args()
    for name in arguments.names or known:
        if name not in known:
            parser.error(f"there is no experiment {name!r}: choose from {', '.join(known)}")
        for seed in arguments.seed or [0]:
            reproduce(folder, name, seed, arguments.runs / f"{name}-seed{seed}", arguments.again)


def reproduce(folder: Path, name: str, seed: int, path: Path, again: bool) -> None:
    """Trains, evaluates and records one experiment; ``path`` is its run directory."""
    experiment = experiments.read(folder / f"{name}.yaml", {"seed": seed})
    results = read_results(RECIPES).items()
    recorded = [r for p, r in results if p.parents[1] == folder and is_of(experiment, r)]
    if recorded and not again:
        print(f"{name}, seed {seed}: recorded, test MRR {recorded[0].metrics['mrr']:.4f}")
        return
    if again and path.exists():
        shutil.rmtree(path)
    finish(experiment, path)
    result = judged(
        path,
        f"python recipes/{folder.name}/reproduce.py {name} --seed {seed}",
        method=method(experiment),
        published=yaml.safe_load((folder / "published.yaml").read_text(encoding="utf-8")),
    )
    named = [r for p, r in results if p.parents[1] == folder and row(r) == row(result)]
    if any(differs(experiment, r) for r in named):
        model = name.rpartition("_")[2]
        result = replace(result, method=f"{result.method}, {model.partition('-')[2] or model}")
    written = write_result(result, folder / "results")
    print(f"{name}, seed {seed}: test MRR {result.metrics['mrr']:.4f}, written to {written}")


def is_of(experiment: experiments.Experiment, result: Result) -> bool:
    """Whether a result is this experiment's. What experiments could not yet say when it was recorded stands at its default."""
    if result.seed != experiment.seed or result.config["scorer"] != experiment.config["scorer"]:
        return False  # without reading the rest
    try:
        return experiments.from_config(result.config).config == experiment.config
    except ConfigError:  # in words that are no longer known
        return False


def differs(experiment: experiments.Experiment, result: Result) -> bool:
    """Whether a result is known to be of another experiment, whatever the seeds: the two are no row of one table."""
    try:
        return experiments.from_config({**result.config, "seed": experiment.seed}).config != experiment.config
    except ConfigError:
        return False


def row(result: Result) -> tuple[str, str, str]:
    """What results are put together by in a table, as it stands in their files' names."""
    return result.dataset, result.model, file_name(result.method)


def method(experiment: experiments.Experiment) -> str:
    """What the objective is made of, in the words of the results table."""
    words = []
    for term in experiment.config["terms"].values():
        arguments = term["init_args"]
        if "loss" not in arguments:
            words.append(term["class_path"].rpartition(".")[2])
            continue
        transform = arguments.get("transform")
        loss = arguments["loss"]["class_path"].rpartition(".")[2]
        if transform is None:
            words.append({"CrossEntropy": "CE", "SelfAdversarial": "self-adversarial"}.get(loss, loss))
        else:
            name = transform["class_path"].rpartition(".")[2]
            words.append("ULS" if transform["init_args"].get("keep") == 1 else name)
    return " + ".join(dict.fromkeys(words)) + _modalities(experiment.config["encoder"]["init_args"])


def _modalities(encoder: dict[str, Any]) -> str:
    """``; name, numbers, noise 0.2 x 0.7, dropout 0.3`` for an encoder of modalities."""
    if "modalities" not in encoder:
        return ""
    noise, dropout = encoder.get("noise"), encoder.get("modality_dropout")
    told = [*encoder["modalities"], *([f"noise {noise['rho']} x {noise['epsilon']}"] if noise else [])]
    told += [f"dropout {dropout}"] if dropout else []
    return f"; {', '.join(told)}"
