from __future__ import annotations

import sys

import pytest

from gnnkg.data.files import from_files
from gnnkg.data.lines import FaultyLine
from gnnkg.data.rdf import read_rdf
from gnnkg.data.text import SkippedLines
from gnnkg.data.triples import DataError
from tests.data.test_text import rows, write

EX = "http://example.org/"
LABEL = "http://www.w3.org/2000/01/rdf-schema#label"
NT = f"""<{EX}Z%C3%BCrich> <{EX}liesIn> <{EX}CH> .
<{EX}CH> <http://www.w3.org/2000/01/rdf-schema#label> "Schweiz"@de .
<{EX}CH> <http://www.w3.org/2000/01/rdf-schema#label> "Switzerland"@en .
<{EX}CH> <http://www.w3.org/2000/01/rdf-schema#label> "Suisse"@fr .
<{EX}CH> <{EX}population> "8700000"^^<http://www.w3.org/2001/XMLSchema#integer> .
_:x <{EX}liesIn> <{EX}CH> .
_:x <{EX}liesIn> _:y .
"""
TTL = f"""@prefix : <{EX}> .
:a :knows :b , :c ; :age 7 .
:b :knows [ :knows :a ] .
"""


@pytest.mark.parametrize("name", ["train.nt", "train.nt.gz"])
@pytest.mark.parametrize("change", [str, lambda text: "\ufeff" + text.replace("\n", "\r\n")])
def test_literals_are_no_facts_but_counted_and_labels_are_kept(tmp_path, name, change):
    triples = read_rdf(write(tmp_path / name, change(NT)))
    assert rows(triples) == [
        (f"{EX}Z%C3%BCrich", f"{EX}liesIn", f"{EX}CH"),
        ("_:train/0", f"{EX}liesIn", f"{EX}CH"),
        ("_:train/0", f"{EX}liesIn", "_:train/1"),
    ]
    assert triples.literals == 4
    assert triples.labels == {f"{EX}CH": "Switzerland"}
    assert triples.made_labels[f"{EX}Z%C3%BCrich"] == "Zürich"
    assert triples.made_labels[f"{EX}liesIn"] == "lies in"


def test_a_label_that_one_split_states_goes_before_those_made_for_another(tmp_path):
    train = write(tmp_path / "train.nt", NT)
    test = write(tmp_path / "test.nt", f"<{EX}CH> <{EX}liesIn> <{EX}EU_rope> .\n")
    valid = write(
        tmp_path / "valid.nt", f'<{EX}CH> <{EX}in> <{EX}x> .\n<{EX}x> <{LABEL}> "Ex" .\n<{EX}CH> <{LABEL}> "C" .\n'
    )
    dataset = from_files(train, valid, test)
    shown = dict(zip(dataset.entities, dataset.entity_labels, strict=True))
    assert shown[f"{EX}CH"] == "Switzerland"
    assert shown[f"{EX}x"] == "Ex"
    assert shown[f"{EX}EU_rope"] == "EU rope"
    assert dataset.relation_labels == ("in", "lies in")


def test_turtle_is_read_as_ids_that_do_not_change_from_run_to_run(tmp_path):
    path = write(tmp_path / "train.ttl", TTL)
    facts = rows(read_rdf(path))
    knows = f"{EX}knows"
    assert set(facts) == {
        (f"{EX}a", knows, f"{EX}b"),
        (f"{EX}a", knows, f"{EX}c"),
        (f"{EX}b", knows, "_:train/0"),
        ("_:train/0", knows, f"{EX}a"),
    }
    dataset = from_files(path)
    assert dataset.entity_labels[dataset.entity_id("a")] == "a"
    assert dataset.report.splits["train"].literals == 1
    assert from_files(path).data_hash == dataset.data_hash


def test_a_faulty_line_is_named_or_skipped(tmp_path):
    path = write(tmp_path / "train.nt", NT.replace(f"<{EX}CH> <{EX}population>", f"<{EX}CH <{EX}population>"))
    with pytest.raises(
        FaultyLine, match=r"train.nt, line 5: expected RDF .*, found '<http://example.org/CH <"
    ) as caught:
        read_rdf(path)
    assert caught.value.fault.line == 5
    with pytest.warns(SkippedLines, match="1 lines skipped"):
        triples = read_rdf(path, "skip")
    assert (len(triples), triples.literals, triples.num_faulty, triples.faults[0].line) == (3, 3, 1, 5)


def test_faulty_turtle_is_refused_in_any_case(tmp_path):
    path = write(tmp_path / "train.ttl", TTL.replace("[ ", "( "))
    with pytest.raises(FaultyLine, match=r"train.ttl, line 3"):
        read_rdf(path, "skip")
    with pytest.raises(DataError, match=r"RDF is read from .nt and .ttl"):
        read_rdf(tmp_path / "train.owl")


def test_without_pyoxigraph_the_command_that_mends_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyoxigraph", None)
    with pytest.raises(ImportError, match=r"pip install 'gnnkg\[rdf\]'"):
        read_rdf(write(tmp_path / "train.nt", NT))
