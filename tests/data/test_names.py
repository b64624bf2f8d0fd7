from __future__ import annotations

import time

import pytest

from gnnkg.data.names import AmbiguousName, Names, UnknownName, closest


@pytest.fixture
def names() -> Names:
    identifiers = ("Q1", "Q2", "Q3", "Q4", "paris")
    labels = ("Switzerland", "Paris", "paris", "Paris", "a lily")
    return Names("entity", identifiers, labels)


def test_an_identifier_comes_before_a_label_and_both_before_their_case(names):
    assert names.id("Q2") == 1
    assert names.id("paris") == 4
    assert names.id("Switzerland") == names.id("SWITZERLAND") == names.id("q1") == 0


def test_a_label_of_several_is_ambiguous_and_names_them(names):
    with pytest.raises(
        AmbiguousName, match=r"2 entity names read 'Paris'; give one of the identifiers Q2, Q4$"
    ) as caught:
        names.id("Paris")
    assert caught.value.candidates == ("Q2", "Q4")
    with pytest.raises(AmbiguousName, match="4 entity names read 'PARIS'"):
        names.id("PARIS")


def test_an_unknown_name_gets_the_closest_ones(names):
    with pytest.raises(UnknownName, match=r"no entity is called 'Swizerland'; closest: Switzerland \(Q1\)") as caught:
        names.id("Swizerland")
    assert caught.value.suggestions == ("Switzerland (Q1)",)
    with pytest.raises(LookupError, match=r"no entity is called 'zzzzzz'$"):
        names.id("zzzzzz")
    with pytest.raises(UnknownName):
        names.id("")


def test_suggestions_among_forty_thousand_names_come_quickly():
    many = [f"entity number {i} of the village of {i % 97}" for i in range(40_000)] + ["Llanfairpwllgwyngyll"]
    names = Names("entity", many, many)
    start = time.process_time()
    with pytest.raises(UnknownName, match="Llanfairpwllgwyngyll"):
        names.id("Lanfairpwlgwyngyl")
    assert time.process_time() - start < 5


def test_the_closest_come_in_order_of_likeness():
    assert closest("fb15k237", ["db15k", "fb15k-237", "umls", "fb15k"])[:2] == ["fb15k-237", "fb15k"]


def test_the_end_of_an_iri_suggests_the_whole():
    names = Names("entity", ["http://example.org/E1234", "http://example.org/E77"], ["http://example.org/E1234", "x"])
    with pytest.raises(UnknownName) as caught:
        names.id("E1234")
    assert caught.value.suggestions == ("http://example.org/E1234",)
