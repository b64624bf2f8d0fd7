"""What commands have in common: options, how one is read, and how a result is told."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gnnkg.evaluation.noisy import Part, Target
    from gnnkg.noise import Family

OPTIONS: dict[str, dict[str, Any]] = {
    "run": {"metavar": "RUN", "type": Path, "help": "a run directory"},
    "--split": {"default": "test", "choices": ("train", "valid", "test")},
    "--on": {"metavar": "DATASET", "help": "another data set with the same relations, by name or folder"},
    "--direction": {"choices": ("tail", "head", "both"), "default": "tail"},
    "--top": {"metavar": "K", "type": int, "default": 1, "help": "the truth is among the best K (default: 1)"},
    "--facts": {"metavar": "N", "type": int, "help": "so many facts of the split, a fixed random sample"},
    "--memory": {"metavar": "SIZE", "help": "what scoring may take, e.g. 2GB (default: half of what is free)"},
    "--json": {"action": "store_true", "help": "print the complete result as JSON"},
    "--quiet": {"action": "store_true", "help": "no progress bar"},
}


def command(name: str, description: str | None, *options: str, **settings: Any) -> argparse.ArgumentParser:
    """The parser of ``gnnkg NAME``, with some of the options that commands share."""
    parser = argparse.ArgumentParser(prog=f"gnnkg {name}", description=description, **settings)
    for option in options:
        parser.add_argument(option, **OPTIONS[option])
    return parser


def number_or_all(option: str, text: str) -> int | None:
    """How many an option asks for; None for all. Raises ValueError for anything else."""
    if text != "all" and not text.isdecimal():
        raise ValueError(f"{option} is a number or all, not {text!r}")
    return None if text == "all" else int(text)


def number_word(value: float) -> str:
    """A number in the name of a file; no other number has the same."""
    short = f"{value:g}"
    return (short if float(short) == value else repr(value)).replace("e+", "e")


def not_default(parser: argparse.ArgumentParser, arguments: argparse.Namespace, settings: Sequence[str]) -> list[str]:
    """What is set otherwise than by default, in words for the name of a file."""

    def word(value: object) -> str:
        if isinstance(value, list):
            return " ".join(map(word, value))
        return number_word(value) if isinstance(value, float) else str(value)

    given = vars(arguments).items()
    return [f"{name} {word(value)}" for name, value in given if name in settings and value != parser.get_default(name)]


def refuse(parser: argparse.ArgumentParser, arguments: argparse.Namespace, settings: Sequence[str], why: str) -> None:
    """Raises ValueError where one of these options is set otherwise than by default: it "``why``"."""
    if words := not_default(parser, arguments, settings):
        raise ValueError(f"--{words[0].split()[0].replace('_', '-')} {why}")


def one_sigma(parser: argparse.ArgumentParser, arguments: argparse.Namespace, *measured: str) -> None:
    """Raises ValueError where a sigma is given and also how to measure one: options that ``measured`` names."""
    if arguments.sigma is not None:
        refuse(parser, arguments, measured, "is of a sigma that is measured, and --sigma gives one: leave out either")


def measured_as(kind: str, arguments: argparse.Namespace, words: Sequence[str]) -> str:
    """The name of a measurement's file, of the options --split and --on, and of ``words`` for settings that are not the default."""
    from gnnkg.evaluation.results import file_name
    from gnnkg.run import result_name

    return "-".join([kind, result_name(arguments.split, arguments.on), *([file_name(*words)] if words else [])])


def sigma_of(
    run: Path,
    family: Family,
    divisor: float,
    quantile: float = 0.9973,
    part: Part = "vector",
    target: Target = "query",
) -> float:
    """The spread of a run's vectors, for noise of this family on this part. Raises as ``load_run`` and ``noisy_part``."""
    from gnnkg.evaluation.noisy import noisy_part
    from gnnkg.evaluation.ranks import evaluating
    from gnnkg.experiment import load_run
    from gnnkg.noise import spread

    _, dataset, model, _ = load_run(run)
    with evaluating(model):
        vectors, _ = noisy_part(model, dataset.graph, part, target, family)
        return float(spread(vectors, divisor, quantile))


def tell(as_json: bool, result: dict[str, Any], table: object, *files: Path) -> None:
    """Prints a result that was written to files: all of it, or as a table."""
    from gnnkg.cli import console

    if as_json:
        print(json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        console().print(table)
        print(f"written to {', '.join(map(str, files))}")
