"""Trains what ``ablation.yaml`` changes of an alignment, one thing at a time, and prints a table.

    python recipes/alignment/ablate.py --on cldr --train recipes/alignment/cldr_snag.yaml --seed 0 --seed 1 --seed 2

Each is ``gnnkg align`` with its figures in ``measured/ablation/``; what is there already is left alone unless ``--again``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
MATCHES = ("cosine", "csls", "sinkhorn")


def main() -> None:
    changes: dict[str, dict[str, Any]] = yaml.safe_load((FOLDER / "ablation.yaml").read_text(encoding="utf-8"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(changes)}; default: all")
    parser.add_argument("--on", required=True, help="known links, as gnnkg align names them")
    parser.add_argument("--train", type=Path, required=True, help="the training that is changed")
    parser.add_argument("--seed", type=int, action="append", help="one or more; default: 0")
    parser.add_argument("--again", action="store_true", help="train anew what is measured already")
    arguments = parser.parse_args()
    seeds = arguments.seed or [0]
    rows = []
    for name in arguments.names or changes:
        if name not in changes:
            parser.error(f"there is no {name!r}: choose from {', '.join(changes)}")
        found = []
        for seed in seeds:
            file = FOLDER / "measured" / "ablation" / f"{slug(arguments.on)}-{slug(name)}-seed{seed}.json"
            if arguments.again or not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                subprocess.run(command(arguments.on, arguments.train, changes[name], seed, file), check=True)
            found.append(json.loads(file.read_text(encoding="utf-8")))
        rows.append(row(name, found))
    print(
        f"\n| {arguments.on} | {' | '.join(f'H@1 {match}' for match in MATCHES)} | MRR {MATCHES[-1]} | validation MRR |"
    )
    print("| --- |" + " ---: |" * (len(MATCHES) + 2))
    print("\n".join(rows))


def command(on: str, training: Path, changed: dict[str, Any], seed: int, file: Path) -> list[str]:
    program = str(Path(sys.executable).with_name("gnnkg"))
    options = [part for field, value in changed.items() for part in (f"--{field}", json.dumps(value))]
    common = ["--on", on, "--train", str(training), "--match", *MATCHES, "--seed", str(seed), "--json", relative(file)]
    return [program, "align", *common, *options]


def relative(file: Path) -> str:
    return str(file.resolve().relative_to(Path.cwd())) if file.resolve().is_relative_to(Path.cwd()) else str(file)


def row(name: str, found: list[dict[str, Any]]) -> str:
    """Means over seeds, with the deviation where there are several."""
    figures = [[each["metrics"][match]["left to right"]["hits@1"] for each in found] for match in MATCHES]
    figures.append([each["metrics"][MATCHES[-1]]["left to right"]["mrr"] for each in found])
    figures.append([each["validation, by cosine, among all entities, both ways"]["mrr"] for each in found])
    return f"| {name} | {' | '.join(map(told, figures))} |"


def told(values: list[float]) -> str:
    mean = f"{statistics.mean(values):.3f}".lstrip("0")
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.3f}".replace("± 0", "± ")


def slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())


if __name__ == "__main__":
    main()
