"""Answers with their reasons, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import pandas
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gnnkg.evaluation.explanation import MEANING, Reason
from gnnkg.evaluation.prediction import Answer

COLUMNS = (*Answer.__dataclass_fields__, "kind", "weight", "path")


def frame(answers: Sequence[Answer], reasons: Sequence[Sequence[Reason]]) -> pandas.DataFrame:
    """A row an answer and reason; an answer without a reason has one row."""
    rows = []
    for answer, why in zip(answers, reasons, strict=True):
        rows += [asdict(answer) | {"kind": r.kind, "weight": r.weight, "path": r.words} for r in why] or [
            asdict(answer)
        ]
    return pandas.DataFrame(rows, columns=list(COLUMNS))


def csv(answers: Sequence[Answer], reasons: Sequence[Sequence[Reason]]) -> str:
    return frame(answers, reasons).to_csv(index=False)


def json_lines(answers: Sequence[Answer], reasons: Sequence[Sequence[Reason]]) -> str:
    """An object an answer; its ``explanation`` lists the reasons."""
    lines = []
    for answer, why in zip(answers, reasons, strict=True):
        explanation = [{"kind": r.kind, "weight": r.weight, "path": r.words, "steps": asdict(r)["steps"]} for r in why]
        lines.append(json.dumps(asdict(answer) | {"explanation": explanation}, ensure_ascii=False) + "\n")
    return "".join(lines)


def listing(answers: Sequence[Answer], reasons: Sequence[Sequence[Reason]]) -> Group:
    """For a terminal: the reasons below each answer, then what their weights mean."""
    blocks: list[Text | Padding] = []
    for answer, why in zip(answers, reasons, strict=True):
        blocks.append(Text(f"{answer.rank} {answer.label}", style="bold"))
        rows = Table.grid(padding=(0, 2))
        rows.add_column(justify="right")
        for reason in why:
            rows.add_row(*map(Text, (f"{reason.weight:.3g}", reason.kind, reason.words)))
        nothing = Text("no path leads to it, and no other fact of this relation is known")
        blocks.append(Padding(rows if why else nothing, (0, 0, 1, 2)))
    kinds = {reason.kind for why in reasons for reason in why}
    blocks += [Text(f"{kind}: {meaning}", style="dim") for kind, meaning in MEANING.items() if kind in kinds]
    return Group(*blocks)
