"""The one form of every committed result: a JSON file in ``recipes/<paper>/results/``."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from gnnkg.evaluation.metrics import SAMPLED
from gnnkg.evaluation.protocol import Protocol
from gnnkg.evaluation.provenance import Provenance
from gnnkg.evaluation.ranking import Evaluation
from gnnkg.stored import write_atomically

REQUIRED_METRICS = ("mrr", "hits@1", "hits@3", "hits@10")


class InvalidResult(ValueError):
    """A result that does not have the form; ``problems`` names each fault."""

    def __init__(self, where: str, problems: list[str]) -> None:
        super().__init__(f"{where} is no valid result: {'; '.join(problems)}")
        self.problems = problems


@dataclass(frozen=True)
class Result:
    """One measured figure with all that it takes to measure it again. Fields with a default may be left out of the file."""

    dataset: str
    model: str
    """what the table calls it: DistMult, ComplEx ..."""
    method: str
    """how it was trained, where a table compares that: plain, EMU ..."""
    split: str
    metrics: Mapping[str, float]
    """at least mrr, hits@1, hits@3 and hits@10"""
    protocol: Mapping[str, Any]
    """the fields of ``Protocol``"""
    config: Mapping[str, Any]
    """complete: the run can be started from it"""
    command: str
    seed: int
    commit: str
    data_hash: str
    hardware: Mapping[str, Any]
    """at least cpu and cores"""
    wall_seconds: float
    """of the whole run"""
    peak_memory_bytes: int
    paper: Mapping[str, Any] | None
    """the published figure: its metrics, its ``source``, and ``protocol`` in words where it is known; None: there is none"""
    intervals: Mapping[str, Any] = field(default_factory=dict)
    directions: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """the metrics by what was asked: ``tail`` and ``head``"""
    entities: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """the metrics of ``seen`` facts and of ``unseen``, which hold an entity that no training fact has; empty where none does"""
    versions: Mapping[str, str] = field(default_factory=dict)
    time: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        problems = validate_result(asdict(self))
        if problems:
            raise InvalidResult(f"{self.model} on {self.dataset}", problems)


def result_from(
    evaluation: Evaluation,
    provenance: Provenance,
    *,
    model: str,
    method: str,
    wall_seconds: float,
    paper: Mapping[str, Any] | None = None,
    note: str = "",
) -> Result:
    """The result of a run. ``wall_seconds``: of all of it, training too. Raises InvalidResult."""
    origin = {each.name: getattr(provenance, each.name) for each in fields(provenance)}
    origin["peak_memory_bytes"] = max(provenance.peak_memory_bytes, evaluation.peak_memory_bytes)
    return Result(
        dataset=evaluation.dataset,
        model=model,
        method=method,
        split=evaluation.split,
        metrics=_finite(evaluation.metrics),
        protocol=evaluation.protocol.to_dict(),
        data_hash=evaluation.data_hash,
        wall_seconds=wall_seconds,
        paper=paper,
        intervals={name: list(ends) for name, ends in evaluation.intervals.items() if all(map(math.isfinite, ends))},
        directions={asked: _finite(each) for asked, each in evaluation.directions.items()},
        entities={
            known: _finite(each) for known, each in evaluation.entities.items() if "unseen" in evaluation.entities
        },
        note=note,
        **origin,
    )


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def file_name(*words: str) -> str:
    """Names, such as those of a data set, a model and a method, as one name of a file."""
    return re.sub(r"[^a-z0-9.]+", "-", "-".join(words).lower())


def write_result(result: Result, folder: Path, name: str | None = None) -> Path:
    """Writes ``<dataset>-<model>-<method>-seed<seed>.json`` into a results folder, making it where it is absent.

    ``name`` is another name for the file, where these do not tell it from others.
    """
    path = folder / f"{name or file_name(result.dataset, result.model, result.method, f'seed{result.seed}')}.json"
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(result), indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    write_atomically(path, text.encode())
    return path


def read_result(path: Path) -> Result:
    """Raises InvalidResult, which names the file and each fault."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidResult(str(path), [f"it is not JSON ({error})"]) from error
    problems = validate_result(values)
    if problems:
        raise InvalidResult(str(path), problems)
    return Result(**values)


def read_results(recipes: Path) -> dict[Path, Result]:
    """All results of ``recipes/*/results/*.json``, by path, in its order. Raises InvalidResult for the first faulty file."""
    return {path: read_result(path) for path in sorted(recipes.glob("*/results/*.json"))}


def validate_result(values: Any) -> list[str]:
    """What is wrong with a result as JSON has it, each fault in words; empty where nothing is."""
    if not isinstance(values, Mapping):
        return [f"it must be an object, not {values!r}"]
    optional = {"intervals", "directions", "entities", "versions", "time", "note"}
    problems = [f"{name} is missing" for name in CHECKS if name not in values and name not in optional]
    problems += [f"{name} is no field of a result" for name in values if name not in CHECKS]
    for name in CHECKS.keys() & values.keys():
        wrong = CHECKS[name](values[name])
        if wrong:
            problems.append(f"{name} {wrong}")
    if not problems and SAMPLED in values["metrics"] and not values["protocol"].get("sampled"):
        problems = [f"protocol does not say how the candidates of {SAMPLED} are sampled"]
    return sorted(problems)


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) and value.strip() else f"must be a text that is not empty, not {value!r}"


def _any_text(value: Any) -> str | None:
    return None if isinstance(value, str) else f"must be a text, not {value!r}"


def _object(*required: str) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        if not isinstance(value, Mapping):
            return f"must be an object, not {value!r}"
        absent = [name for name in required if name not in value]
        return f"lacks {', '.join(absent)}" if absent else None

    return check


def _some_object(value: Any) -> str | None:
    return _object()(value) or (None if value else "must not be empty")


def _number(value: Any, low: float = -math.inf, high: float = math.inf) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return f"must be a number, not {value!r}"
    return None if low <= value <= high else f"must lie in [{low:g}, {high:g}], not at {value:g}"


def _count(value: Any) -> str | None:
    wrong = _number(value, low=0)
    return wrong or (None if isinstance(value, int) else f"must be a whole number, not {value!r}")


def _metric(name: str, value: Any) -> str | None:
    if name == "mrr" or name.startswith("hits@"):
        return _number(value, 0, 1)
    return _number(value, low=1) if name == "mr" else _number(value)


def _metrics(value: Any) -> str | None:
    wrong = _object(*REQUIRED_METRICS)(value)
    if wrong:
        return wrong
    faults = [f"{name} {fault}" for name in value if (fault := _metric(name, value[name]))]
    if faults:
        return f"are wrong: {', '.join(faults)}"
    ordered = [value[name] for name in ("hits@1", "hits@3", "hits@10")]
    if ordered != sorted(ordered) or value["mrr"] < value["hits@1"]:
        return "contradict each other: hits@1 <= hits@3 <= hits@10 and hits@1 <= mrr must hold"
    return None


def _groups(value: Any) -> str | None:
    wrong = _object()(value)
    faults = [f"{name} {fault}" for name in value if (fault := _metrics(value[name]))] if not wrong else []
    return wrong or ("; ".join(faults) or None)


def _protocol(value: Any) -> str | None:
    try:
        Protocol.from_dict(value)
    except (ValueError, TypeError) as error:
        return f"is wrong: {error}"
    return None


def _hash(value: Any) -> str | None:
    return (
        None if isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) else f"must be a SHA-256, not {value!r}"
    )


def _paper(value: Any) -> str | None:
    if value is None:
        return None
    wrong = _object("source")(value) or _text(value["source"])
    if wrong:
        return f"source: {wrong}" if isinstance(value, Mapping) else wrong
    figures = {name: figure for name, figure in value.items() if name not in ("source", "protocol")}
    faults = [f"{name} {fault}" for name, figure in figures.items() if (fault := _metric(name, figure))]
    if "protocol" in value and (fault := _text(value["protocol"])):
        faults.append(f"protocol {fault}")
    if not figures:
        faults.append("it has no figure")
    return f"is wrong: {', '.join(faults)}" if faults else None


CHECKS: dict[str, Callable[[Any], str | None]] = {
    "dataset": _text,
    "model": _text,
    "method": _text,
    "split": _text,
    "metrics": _metrics,
    "protocol": _protocol,
    "config": _some_object,
    "command": _text,
    "seed": _count,
    "commit": _text,
    "data_hash": _hash,
    "hardware": _object("cpu", "cores"),
    "wall_seconds": lambda value: _number(value, low=0),
    "peak_memory_bytes": _count,
    "paper": _paper,
    "directions": _groups,
    "entities": _groups,
    "intervals": _object(),
    "versions": _object(),
    "time": _any_text,
    "note": _any_text,
}
