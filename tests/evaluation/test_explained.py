from __future__ import annotations

import io
import json

import pandas
import pytest
from rich.console import Console

from gnnkg.evaluation import explained
from gnnkg.evaluation.explanation import Reason, Step
from gnnkg.evaluation.prediction import Answer

BERN = (Step("Bern", "capital", "Switzerland", True), Step("Switzerland", "borders", "France", False))
ANSWERS = [Answer(1, "France", "Q142", 2.5, "train"), Answer(2, "Peru", "Q419", -1.0, None)]
REASONS = [[Reason("path", 0.41259, BERN), Reason("path", -1e-5, BERN[1:])], []]
WORDS = ["Bern <-[capital]- Switzerland -[borders]-> France", "Switzerland -[borders]-> France"]


def test_a_reason_in_words():
    assert [reason.words for reason in REASONS[0]] == WORDS


def test_csv_has_a_row_for_each_reason_and_one_for_an_answer_without():
    table = pandas.read_csv(io.StringIO(explained.csv(ANSWERS, REASONS)))
    assert list(table.columns) == ["rank", "label", "identifier", "score", "known", "kind", "weight", "path"]
    assert table["rank"].tolist() == [1, 1, 2]
    assert table.path.tolist()[:2] == WORDS
    assert table.weight.tolist()[:2] == pytest.approx([0.41259, -1e-5])
    assert table.loc[2, ["kind", "weight", "path"]].isna().all()
    assert list(explained.frame([], []).columns) == list(table.columns)


def test_json_lines_hold_the_reasons_of_each_answer():
    first, second = map(json.loads, explained.json_lines(ANSWERS, REASONS).splitlines())
    assert {key: first[key] for key in ("rank", "label", "score")} == {"rank": 1, "label": "France", "score": 2.5}
    assert [reason["path"] for reason in first["explanation"]] == WORDS
    assert first["explanation"][0]["steps"][0] == {
        "head": "Bern",
        "relation": "capital",
        "tail": "Switzerland",
        "backwards": True,
    }
    assert second["explanation"] == []


def test_the_listing_has_the_reasons_below_their_answer():
    console = Console(file=io.StringIO(), width=100)
    console.print(explained.listing(ANSWERS, REASONS))
    text = console.file.getvalue()
    places = [
        text.index(part) for part in ("1 France", f"0.413  path  {WORDS[0]}", "-1e-05", "2 Peru", "no path leads")
    ]
    assert places == sorted(places)
    assert "path: how fast the score grows" in text
    assert "short path:" not in text
