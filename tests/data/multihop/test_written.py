"""The text form of a query: what can be said, and what is said where it cannot."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gnnkg.data import AmbiguousName, UnknownName
from gnnkg.data.dataset import Dataset
from gnnkg.data.multihop.query import Anchor, Hop, Intersection, Query, Union
from gnnkg.data.multihop.tokens import QuerySyntax
from gnnkg.data.multihop.written import parse_query

R = 3


@pytest.fixture
def named(dataset: Dataset) -> Dataset:
    """e0 is called France, e1 "New Zealand", e2 and e3 both Georgia, e4 Guinea-Bissau, e5 "and"; r0 borders, r1 "speaks a"."""
    labels = list(dataset.entities)
    labels[:6] = ["France", "New Zealand", "Georgia", "Georgia", "Guinea-Bissau", "and"]
    return replace(dataset, entity_labels=tuple(labels), relation_labels=("borders", "speaks a", "x->y"))


FRANCE = Hop(Anchor(0), 0)
MEANS: list[tuple[str, Query]] = [
    ("?x: France -borders-> ?x", FRANCE),
    ("?x: e0 -r0-> ?x", FRANCE),
    ("  ?x :  france   -BORDERS-> ?x ", FRANCE),
    ("?x: ?x <-borders- France", FRANCE),
    ("?x: France <-borders- ?x", Hop(Anchor(0), 0 + R)),
    ("?x: ?x -borders-> France", Hop(Anchor(0), 0 + R)),
    ('?x: "New Zealand" -"speaks a"-> ?x', Hop(Anchor(1), 1)),
    ("?x: 'New Zealand' -'x->y'-> ?x", Hop(Anchor(1), 2)),
    ('?x: Guinea-Bissau -borders-> ?x, "and" -borders-> ?x', Intersection((Hop(Anchor(4), 0), Hop(Anchor(5), 0)))),
    ("?x: France -borders-> ?y -r1-> ?x", Hop(FRANCE, 1)),
    ("?x: ?x <-r1- ?y <-borders- France", Hop(FRANCE, 1)),
    ("?x: ?y -r1-> ?x and France -borders-> ?y", Hop(FRANCE, 1)),
    ("?x: France -r0-> ?y <-r1- ?z -r2-> ?x", Hop(Hop(FRANCE, 1 + R), 2)),
    ("?x: France -r0-> ?x <-r1- e1", Intersection((FRANCE, Hop(Anchor(1), 1)))),
    ("?x: France -r0-> ?y, e1 -r1-> ?y, ?y -r2-> ?x", Hop(Intersection((FRANCE, Hop(Anchor(1), 1))), 2)),
    ("?x: e1 -r1-> ?x, e2 -r2-> ?x, France -r0-> ?x", Intersection((Hop(Anchor(1), 1), Hop(Anchor(2), 2), FRANCE))),
    ("?x: France -r0-> ?x or e1 -r1-> ?x", Union((FRANCE, Hop(Anchor(1), 1)))),
    (
        "?x: France -r0-> ?y -r2-> ?x or e1 -r1-> ?x, e2 -r2-> ?x",
        Union((Hop(FRANCE, 2), Intersection((Hop(Anchor(1), 1), Hop(Anchor(2), 2))))),
    ),
]


@pytest.mark.parametrize(("text", "expected"), MEANS, ids=[text for text, _ in MEANS])
def test_what_a_text_means(text, expected, named):
    written = parse_query(text, named)
    assert written.query == expected
    assert (written.target, written.text) == ("x", text)


def test_nodes_bear_the_names_of_variables(named):
    query = parse_query("?answer: France -r0-> ?middle, e1 -r1-> ?middle, ?middle -r2-> ?answer", named).query
    assert isinstance(query, Hop)
    assert query.name == "answer"
    assert isinstance(query.source, Intersection)
    assert query.source.name == "middle"


SYNTAX = [
    ("", 1, r"the variable that is asked for, such as \?x, at position 1, found the end"),
    ("France -r0-> ?x", 1, "the variable that is asked for"),
    ("?x France", 4, "expected a colon behind \\?x at position 4, found 'France'"),
    ("?x:", 4, "expected an entity or a variable such as \\?x at position 4, found the end"),
    ("?x: France", 11, "expected an arrow such as -relation-> or <-relation- at position 11, found the end"),
    ("?x: France borders ?x", 12, "expected an arrow .* found 'borders'"),
    ("?x: New Zealand -r0-> ?x", 9, "expected an arrow .* found 'Zealand'"),
    ("?x: France -r0-> ?x e1", 21, "expected a comma, 'and', 'or', an arrow or the end at position 21, found 'e1'"),
    ("?x: France -r0-> ?x,", 21, "expected an entity or a variable"),
    ("?x: France -r0->", 17, "expected an entity or a variable"),
    ("?x: France -r0 ?x", 12, "an arrow such as -relation-> or <-relation-, with spaces around it at position 12"),
    ('?x: "France -r0-> ?x', 5, "found '\"France -r0-'; names with spaces"),
    ("?x: or -r0-> ?x", 5, "expected an entity .* found 'or'"),
]


@pytest.mark.parametrize(("text", "position", "message"), SYNTAX, ids=[text for text, _, _ in SYNTAX])
def test_a_text_of_another_form_is_refused_with_the_place(text, position, message, named):
    with pytest.raises(QuerySyntax, match=message) as raised:
        parse_query(text, named)
    assert raised.value.position == position
    *_, shown, caret = str(raised.value).split("\n")
    assert (shown, caret) == ("  " + text, " " * (position + 1) + "^")


UNSUPPORTED = [
    ("?x: France -r0-> ?y -r1-> ?x, ?y -r2-> ?x", r"\?y -r2-> \?x closes a cycle; only trees are supported"),
    ("?x: France -r0-> ?x -r1-> ?x", "closes a cycle"),
    ("?x: France -r0-> ?y -r1-> ?z -r0-> ?x -r0-> ?y", "closes a cycle"),
    ("?x: ?y -r0-> ?x", r"no known entity leads to \?y; queries whose leaves are variables are not supported"),
    ("?x: France -r0-> ?x, ?x -r0-> ?y", r"no known entity leads to \?y"),
    ("?x: France -r0-> ?y", r"no known entity leads to \?x"),
    ("?x: France -r0-> ?x, e1 -r0-> ?y", r"e1'? -r0-> \?y is not connected with \?x"),
    ("?x: France -r0-> e1 -r1-> ?x", r"'France' -r0-> 'e1' is not connected with \?x"),
    ("?x: France -r0-> ?x or e1 -r0-> ?y", r"no known entity leads to \?x"),
]


@pytest.mark.parametrize(("text", "message"), UNSUPPORTED, ids=[text for text, _ in UNSUPPORTED])
def test_what_is_not_supported_is_said(text, message, named):
    with pytest.raises(ValueError, match=message):
        parse_query(text, named)


def test_names_are_looked_up_with_the_place_in_the_text(named):
    with pytest.raises(
        AmbiguousName, match=r"2 entity names read 'Georgia'; .* e2, e3 \(position 5 of the query\)"
    ) as raised:
        parse_query("?x: Georgia -r0-> ?x", named)
    assert raised.value.candidates == ("e2", "e3")
    with pytest.raises(
        UnknownName, match=r"no relation is called 'border'; closest: borders \(r0\) \(position 12 of the query\)"
    ):
        parse_query("?x: France -border-> ?x", named)
