"""The tables of the README, generated from the result files.

A table stands between ``<!-- results:begin NAME -->`` and ``<!-- results:end -->``. NAME is a folder of ``recipes``, or such a
folder and data sets: ``baselines``, ``baselines/fb15k-237``, ``baselines/umls,kinship,nations``. A second word ``grid`` gives a
model a row and a data set a column, of MRR alone.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping
from pathlib import Path

from gnnkg.evaluation.metrics import SAMPLED
from gnnkg.evaluation.protocol import Protocol
from gnnkg.evaluation.results import Result, read_results

PART = re.compile(r"(<!-- results:begin (?P<name>[^>]*?) -->\n)(?P<body>.*?)(<!-- results:end -->)", re.DOTALL)
COLUMNS = {"mrr": "MRR", "hits@1": "Hits@1", "hits@3": "Hits@3", "hits@10": "Hits@10", SAMPLED: "Hits@10 of 50"}
"""the last where a result has it"""

Files = dict[Path, Result]


def report(readme: Path, recipes: Path, check: bool = False) -> list[str]:
    """The names of the tables that did not say what the results say; they are written anew, unless ``check``.

    Raises ValueError where the file has no table or a marker without its partner, InvalidResult for a faulty result.
    """
    text = readme.read_text(encoding="utf-8")
    results = read_results(recipes)
    parts = list(PART.finditer(text))
    if not parts or any(text.count(f"<!-- results:{end}") != len(parts) for end in ("begin", "end")):
        raise ValueError(
            f"{readme} needs tables between <!-- results:begin NAME --> and <!-- results:end -->, in pairs"
        )
    fresh = PART.sub(lambda part: part[1] + table(part["name"], results, readme.parent) + part[4], text)
    stale = [old["name"] for old, new in zip(parts, PART.finditer(fresh), strict=True) if old["body"] != new["body"]]
    if stale and not check:
        readme.write_text(fresh, encoding="utf-8")
    return stale


def table(name: str, results: Files, root: Path) -> str:
    """A Markdown table of the results called NAME, with links relative to ``root``.

    Raises ValueError where there are none, where two are of one run, and where their protocols differ.
    """
    where, *layout = name.split()
    recipe, _, datasets = where.partition("/")
    wanted = datasets.split(",") if datasets else sorted({result.dataset for result in results.values()})
    chosen = {p: r for p, r in results.items() if p.parents[1].name == recipe and r.dataset in wanted}
    if not chosen or layout not in ([], ["grid"]):
        there = sorted({f"{path.parents[1].name}/{result.dataset}" for path, result in results.items()})
        raise ValueError(f"no results for the table {name!r}; there are: {', '.join(there) or 'none'}; a layout: grid")
    groups: dict[tuple[str, str, str, str], Files] = {}
    for path, result in sorted(chosen.items(), key=lambda item: _order(item[1], wanted)):
        groups.setdefault((result.dataset, result.split, result.model, result.method), {})[path] = result
    for key, files in groups.items():
        seeds = [result.seed for result in files.values()]
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"two results for {' '.join(key)} have the same seed: {', '.join(str(p) for p in files)}")
    lines = _grid(groups, wanted) if layout else _list(groups, root)
    return "\n".join([*lines, "", footnote(name, chosen), ""])


def _order(result: Result, datasets: list[str]) -> tuple[int, str, str, str, int]:
    return datasets.index(result.dataset), result.split, result.model, result.method, result.seed


def _list(groups: Mapping[tuple[str, str, str, str], Files], root: Path) -> list[str]:
    everything = [result for files in groups.values() for result in files.values()]
    columns = [name for name in COLUMNS if any(name in result.metrics for result in everything)]
    head = ["data set", "model", "method", *(COLUMNS[name] for name in columns), "published", "minutes", "seeds"]
    rows = []
    for (dataset, split, model, method), files in groups.items():
        minutes = _minutes(statistics.mean(result.wall_seconds for result in files.values()) / 60)
        links = " ".join(f"[{result.seed}]({path.relative_to(root).as_posix()})" for path, result in files.items())
        figures = [_figure([result.metrics.get(name) for result in files.values()]) for name in columns]
        shown = dataset if split == "test" else f"{dataset} ({split})"
        rows.append([shown, model, method, *figures, _published(next(iter(files.values()))), minutes, links])
    return markdown(head, rows, text_columns=3)


def _grid(groups: Mapping[tuple[str, str, str, str], Files], datasets: list[str]) -> list[str]:
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for (dataset, _, model, method), files in groups.items():
        cells.setdefault((model, method), {})[dataset] = _figure([result.metrics["mrr"] for result in files.values()])
    rows = [[*key, *(cells[key].get(dataset, "") for dataset in datasets)] for key in sorted(cells)]
    return markdown(["model", "method", *datasets], rows, text_columns=2)


def markdown(head: list[str], rows: list[list[str]], text_columns: int) -> list[str]:
    """The lines of a table; its first columns hold texts, the others numbers."""
    rule = ["---" if i < text_columns else "---:" for i in range(len(head))]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (head, rule, *rows)]


def _figure(measured: list[float | None]) -> str:
    values = [value for value in measured if value is not None]
    if len(values) < len(measured):
        return ""
    mean = f"{statistics.mean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.3f}"


def _published(result: Result) -> str:
    if result.paper is None:
        return ""
    figures = ", ".join(f"{word} {result.paper[name]:.3f}" for name, word in COLUMNS.items() if name in result.paper)
    protocol = f"; {result.paper['protocol']}" if "protocol" in result.paper else ""
    return f"{figures} ({result.paper['source']}{protocol})"


def _minutes(minutes: float) -> str:
    return f"{minutes:.1f}" if minutes < 10 else f"{minutes:.0f}"


def footnote(name: str, files: Files) -> str:
    """The protocol and the machines of the table called NAME. Raises ValueError where protocols differ."""
    first = next((path for path, result in files.items() if result.protocol.get("sampled")), next(iter(files)))
    protocol = Protocol.from_dict(files[first].protocol)
    for path, result in files.items():
        if differences := Protocol.from_dict(result.protocol).differences(protocol):
            raise ValueError(f"{path} and {first} cannot stand in one table, {name!r}: {'; '.join(differences)}")
    machines = sorted({machine(result) for result in files.values()})
    return f"Protocol: {protocol}. Measured on {'; '.join(machines)}."


def machine(result: Result) -> str:
    """What a result was measured on."""
    gpus = result.hardware.get("gpu") or []
    return ", ".join([str(result.hardware["cpu"]), f"{result.hardware['cores']} cores", *map(str, gpus)])
