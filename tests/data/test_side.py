"""Labels, texts and numbers beside the facts."""

from __future__ import annotations

import json

import pytest

from gnnkg.data import side
from gnnkg.data.labels import label_from_identifier
from gnnkg.data.triples import DataError
from tests.data.test_text import write


@pytest.mark.parametrize(
    ("identifier", "label"),
    [
        ("<http://dbpedia.org/resource/Abdullah_G%C3%BCl>", "Abdullah Gül"),
        ("http://dbpedia.org/resource/AC/DC", "AC/DC"),
        ("http://example.org/things#Blue_Whale", "Blue Whale"),
        ("http://example.org/a/b/", "b"),
        ("http://www.wikidata.org/entity/Q42", "Q42"),
        ("wasBornIn", "was born in"),
        ("western_africa", "western africa"),
        ("iPhone", "iPhone"),
        ("McDonald", "McDonald"),
        ("_", "_"),
        ("/m/06cx9", "/m/06cx9"),
    ],
)
def test_labels_out_of_identifiers(identifier, label):
    assert label_from_identifier(identifier) == label


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("54.2", 54.2),
        ('"+0.702"^^<http://www.w3.org/2001/XMLSchema#decimal>', 0.702),
        ('"1960-07-01T00:00:00Z"^^<http://www.w3.org/2001/XMLSchema#dateTime>', 1960.5),
        ('"-0043-00-00T00:00:00Z"^^<http://www.w3.org/2001/XMLSchema#dateTime>', -43),
        ("1999-01-01", 1999),
        ("2e3", 2000),
        ("tall", None),
    ],
)
def test_numbers_are_read_plain_as_literals_and_as_dates(text, value):
    assert side.parse_number(text) == (None if value is None else pytest.approx(value))


def test_a_zero_is_not_an_absence(tmp_path):
    path = write(tmp_path / "numbers.txt", "a\tlatitude\t0\nb\tlatitude\t2\nb\tlatitude\t4\nb\theight\t1\nz\tage\t7\n")
    feature = side.feature(side.numbers([path]), ["a", "b", "c"])
    assert feature.names == ("height", "latitude")
    assert feature.values.tolist() == [[0, 0], [1, 3], [0, 0]]
    assert feature.present.tolist() == [[False, True], [True, True], [False, False]]


def test_attributes_are_named_by_their_labels_and_units(tmp_path):
    numbers = write(tmp_path / "numbers.txt", 'a\tP1_Q199\t"1"\na\tP1_Q11573\t2\na\t<http://x.org/ns/age>\t3\n')
    labels = write(tmp_path / "labels.txt", "P1\theight\n")
    assert set(side.numbers([numbers, labels])) == {("a", "height"), ("a", "height (Q11573)"), ("a", "age")}
    with pytest.raises(DataError, match="line 1: expected an identifier, an attribute and a finite number, found"):
        side.numbers([labels])


def test_texts_of_every_kind(tmp_path):
    glosses = write(tmp_path / "gloss.txt", "1\tstool, solid matter\n2\tsaxony\n")
    assert side.texts([glosses], until=",", prefix="n") == {"n1": "stool", "n2": "saxony"}
    entries = {
        "/m/1": {"label": "Denton", "wikidata_id": "Q7"},
        "/m/2": {"label": "", "wikidata_id": "Q8"},
        "/m/3": {"label": "X"},
    }
    wiki = write(tmp_path / "wiki.json.gz", json.dumps(entries))
    assert side.json_field([wiki], field="label") == {"/m/1": "Denton", "/m/3": "X"}
    assert side.json_field([wiki], field="label", key="wikidata_id", prefix="w:") == {"w:Q7": "Denton"}
    types = write(tmp_path / "types.json", json.dumps({"Q1": ["T1", "T2"], "Q2": ["T9"]}))
    names = write(tmp_path / "names.json", json.dumps({"T1": {"label": "human"}, "T2": {"label": "poet"}}))
    assert side.json_types([types, names]) == {"Q1": "human; poet", "Q2": ""}
    words = write(tmp_path / "words.json", json.dumps([[0, ["abdullah", "gul"]], [5, ["other"]], [1, []]]))
    ids = write(tmp_path / "ent_ids_1", "0\thttp://x.org/a\n1\thttp://x.org/b\n")
    assert side.json_words([words, ids]) == {"http://x.org/a": "abdullah gul", "http://x.org/b": ""}
    assert side.from_identifiers([], ["a_b"]) == {"a_b": "a b"}


def test_countries_are_found_under_their_older_names(tmp_path):
    entry = {"name": {"common": "Eswatini"}, "area": 17364, "latlng": [-26.5, 31.5]}
    path = write(tmp_path / "countries.json", json.dumps([entry]))
    found = side.countries([path], {"swaziland": "Eswatini"})
    assert found["swaziland", "latitude"] == [-26.5]
    assert ("eswatini", "area") not in found
