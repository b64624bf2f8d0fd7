from __future__ import annotations

import pytest

from gnnkg.data.multihop.query import Anchor, Hop, Intersection, Query, Union, alternatives, anchors, mapped, relations
from gnnkg.data.multihop.structures import STRUCTURES, known_structures


def hop(entity: int, relation: int) -> Hop:
    return Hop(Anchor(entity), relation)


def test_ids_are_read_and_changed_in_one_order():
    query = Hop(Intersection((Hop(hop(5, 1), 2), hop(6, 3))), 4)
    assert anchors(query) == [5, 6]
    assert relations(query) == [1, 2, 3, 4]
    told: list[str] = []

    def note(kind: str):
        return lambda index: told.append(f"{kind}{index}") or index + 10

    changed = mapped(query, note("e"), note("r"))
    assert (anchors(changed), relations(changed)) == ([15, 16], [11, 12, 13, 14])
    assert [word for word in told if word[0] == "r"] == ["r1", "r2", "r3", "r4"]


@pytest.mark.parametrize("name", STRUCTURES)
def test_places_of_a_structure_are_counted_in_that_order(name):
    assert anchors(STRUCTURES[name]) == list(range(len(anchors(STRUCTURES[name]))))
    assert relations(STRUCTURES[name]) == list(range(len(relations(STRUCTURES[name]))))


def test_names_do_not_make_queries_different():
    assert Hop(Anchor(1), 2, "x") == Hop(Anchor(1), 2, "y")
    assert hash(Hop(Anchor(1), 2, "x")) == hash(Hop(Anchor(1), 2))


ALTERNATIVES: list[tuple[Query, set[Query]]] = [
    (STRUCTURES["pi"], {STRUCTURES["pi"]}),
    (STRUCTURES["up"], {Hop(hop(0, 0), 2), Hop(hop(1, 1), 2)}),
    (
        Intersection((Union((hop(0, 0), hop(1, 1))), Union((hop(2, 2), hop(3, 3))))),
        {Intersection((hop(a, a), hop(b, b))) for a in (0, 1) for b in (2, 3)},
    ),
    (Union((Union((hop(0, 0), hop(1, 1))), hop(2, 2))), {hop(0, 0), hop(1, 1), hop(2, 2)}),
]


@pytest.mark.parametrize(("query", "expected"), ALTERNATIVES)
def test_unions_come_to_the_top(query, expected):
    found = alternatives(query)
    assert set(found) == expected
    assert len(found) == len(expected)


@pytest.mark.parametrize("node", [Intersection, Union])
def test_parts_are_two_hops_at_least(node):
    with pytest.raises(ValueError, match="has two parts or more, not 1"):
        node((hop(0, 0),))
    with pytest.raises(ValueError, match="none is a known entity alone"):
        node((hop(0, 0), Anchor(1)))


def test_structures_are_known_by_name():
    assert known_structures(["2u", "1p"]) == ["1p", "2u"]
    with pytest.raises(ValueError, match="named once each"):
        known_structures(["2u", "1p", "2u"])
    with pytest.raises(ValueError, match=r"structures are 1p, 2p, .*, not '2in'"):
        known_structures(["1p", "2in"])
