"""A written query on a graph of neighbours and languages, asked of a model that knows the facts and one thing more."""

from __future__ import annotations

import json
from io import StringIO

import pytest
import torch
from rich.console import Console

from gnnkg import Model, encoders
from gnnkg.data.dataset import Dataset
from gnnkg.evaluation.multihop import Beam, Chain, ask
from gnnkg.evaluation.multihop.asking import json_lines, table
from gnnkg.graph import KnowledgeGraph
from gnnkg.scorers import TransE
from tests.evaluation.toys import given

ENTITIES = ("Switzerland", "France", "Austria", "French", "German", "Italy", "Italian")
BORDERS, SPEAKS = 0, 1


@pytest.fixture
def places() -> Dataset:
    train = torch.tensor([[0, BORDERS, 1], [0, BORDERS, 2], [1, SPEAKS, 3]])
    return Dataset(
        name="places",
        graph=KnowledgeGraph(train, 7, 2),
        valid=torch.empty(0, 3, dtype=torch.long),
        test=torch.tensor([[2, SPEAKS, 4]]),
        entities=tuple(name.lower() for name in ENTITIES),
        relations=("borders", "official_language"),
        entity_labels=ENTITIES,
        relation_labels=("borders", "official language"),
    )


@pytest.fixture
def model() -> Model:
    """It knows all facts, less surely that Switzerland borders Italy, where Italian is spoken."""
    scores = torch.full((7, 4, 7), -12.0)
    for head, relation, tail, score in (
        (0, 0, 1, 6),
        (0, 0, 2, 5),
        (1, 1, 3, 6),
        (2, 1, 4, 5),
        (0, 0, 5, 1),
        (5, 1, 6, 6),
    ):
        scores[head, relation, tail] = scores[tail, relation + 2, head] = score
    return given(scores)


QUERY = '?x: Switzerland -borders-> ?y -"official language"-> ?x'


def test_answers_in_labels_with_what_is_known_and_the_way(model, places):
    found = ask(model, places, QUERY, Beam("sigmoid"), top=3)
    assert [(answer.rank, answer.label, answer.known) for answer in found] == [
        (1, "French", "train"),
        (2, "German", "test"),
        (3, "Italian", None),
    ]
    assert [answer.bindings for answer in found] == [{"y": "France"}, {"y": "Austria"}, {"y": "Italy"}]
    assert found[0].degree == pytest.approx(torch.tensor(6.0).sigmoid().item() ** 2, abs=1e-5)
    assert [str(step) for step in found[2].steps] == [
        "Switzerland -[borders]-> Italy (new)",
        "Italy -[official language]-> Italian (new)",
    ]
    assert [step.known for step in found[1].steps] == ["train", "test"]


def test_known_answers_can_be_left_out(model, places):
    (answer,) = ask(model, places, QUERY, Beam("sigmoid"), top=1, novel=True)
    assert (answer.rank, answer.label, answer.known) == (1, "Italian", None)


def test_intersections_and_unions_have_their_ways(model, places):
    both = '?x: Switzerland -borders-> ?x, French <-"official language"- ?x'
    (answer,) = ask(model, places, both, Beam("sigmoid"), top=1)
    assert [str(step) for step in answer.steps] == [
        "Switzerland -[borders]-> France",
        "French <-[official language]- France",
    ]
    assert answer.bindings == {}
    (answer,) = ask(model, places, f'{QUERY} or Austria -"official language"-> ?x', Beam("sigmoid"), top=1)
    assert (answer.label, len(answer.steps)) == ("German", 1), "two alternatives give it; the shorter way is the surer"


def test_closed_form_shows_no_entities_between(places):
    scorer = TransE(dim=4)
    found = ask(Model(encoders.Table(places.graph, scorer.space), scorer), places, QUERY, Chain())
    assert len(found) == 7
    assert all(answer.bindings == {} and answer.steps == () for answer in found)


def test_answers_are_written_out(model, places):
    found = ask(model, places, QUERY, Beam("sigmoid"), top=2)
    lines = [json.loads(line) for line in json_lines(found).splitlines()]
    assert [line["bindings"]["y"] for line in lines] == ["France", "Austria"]
    assert lines[0]["steps"][0]["relation"] == "borders"
    console = Console(width=160, file=StringIO())
    console.print(table(found, QUERY))
    told = console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO
    assert all(word in told for word in (QUERY, "?y", "Austria", "train", "Switzerland -[borders]-> France"))


def test_at_least_one_answer_is_wanted(model, places):
    with pytest.raises(ValueError, match="at least 1, not 0"):
        ask(model, places, QUERY, top=0)
