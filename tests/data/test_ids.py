"""Files of ids: OpenKE's, and dictionaries."""

from __future__ import annotations

from pathlib import Path

import pytest

from gnnkg.data.dictionaries import read_dictionary, read_names, read_texts
from gnnkg.data.files import from_folder
from gnnkg.data.lines import FaultyLine
from gnnkg.data.openke import read_id_triples, read_openke
from gnnkg.data.text import SkippedLines
from gnnkg.data.triples import DataError
from tests.data.test_text import rows, write


@pytest.mark.parametrize("text", ["2\n0 7 1\n3 0 2\n", "\ufeff2\r\n0\t7\t1\r\n3\t0\t2\r\n", "2\n0  7 1 \n\n 3 0\t2\n"])
def test_openke_states_a_count_and_then_head_tail_relation(tmp_path, text):
    assert rows(read_openke(write(tmp_path / "train2id.txt", text))) == [("0", "1", "7"), ("3", "2", "0")]


def test_a_count_that_is_not_that_of_the_lines_is_refused(tmp_path):
    with pytest.raises(DataError, match="line 1 promises 3 facts, 2 follow; the file may be cut off"):
        read_openke(write(tmp_path / "train2id.txt", "3\n0 1 0\n1 0 0\n"))
    with pytest.raises(DataError, match="line 1: expected the number of facts, or a fact, found 'a 1 0'"):
        read_openke(write(tmp_path / "train2id.txt", "a 1 0\n1 0 0\n"))
    with pytest.raises(DataError, match="expected the number of facts"):
        read_openke(write(tmp_path / "train2id.txt", ""))


@pytest.mark.parametrize("text", ["0 7 1\n3 0 2\n", "0\t7\t1\n\n3\t0\t2\n"])
def test_k_on_states_no_count(tmp_path, text):
    assert rows(read_openke(write(tmp_path / "train2id.txt", text))) == [("0", "1", "7"), ("3", "2", "0")]


def test_what_is_no_number_is_a_fault(tmp_path):
    path = write(tmp_path / "train2id.txt", "3\n0 1 0\n1 two 0\n2 1 -1\n")
    with pytest.raises(FaultyLine, match="line 3: expected a whole number as tail, found 'two'"):
        read_openke(path)
    with pytest.warns(SkippedLines, match="2 lines skipped"):
        assert rows(read_openke(path, "skip")) == [("0", "0", "1")]


def test_id_triples_stand_in_the_order_that_is_said(tmp_path):
    path = write(tmp_path / "triples_1", "5\t2\t9\n007\t2\t9\n")
    assert rows(read_id_triples(path)) == [("5", "2", "9"), ("007", "2", "9")]
    assert rows(read_id_triples(path, ("head", "tail", "relation"))) == [("5", "9", "2"), ("007", "9", "2")]


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("1\tNew York\n0\tZürich\n", "id name"),
        ("New York 1\nZürich 0\n", "name id"),
        ("2\nNew York\t1\nZürich\t0\n", "name id"),
        ("\ufeffZürich\r\n\r\nNew York\r\n", "name"),
    ],
)
@pytest.mark.parametrize("told", [True, False])
def test_dictionaries_are_read_in_either_order(tmp_path, text, shape, told):
    path = write(tmp_path / "entities.dict", text)
    assert read_dictionary(path, shape if told else None) == {0: "Zürich", 1: "New York"}
    assert read_names(path, shape if told else None) == ["Zürich", "New York"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0\ta\n0\tb\n", "line 2: expected an id that did not stand before, found 0 again"),
        ("0\ta\n1\ta\n", "1 names stand twice"),
        ("0\ta\nb\n", "line 2: expected 'id name' separated by a tab or spaces, found 'b'"),
        ("3\n0\ta\n", "promises 3 names, 1 follow"),
        ("0\ta\n2\tb\n", "ids must be 0 to 1, but 1 is missing"),
    ],
)
def test_faulty_dictionaries_are_refused(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_names(write(tmp_path / "entities.dict", text), "id name")


def test_a_dictionary_of_numbers_must_be_told(tmp_path):
    with pytest.raises(DataError, match="can be read both ways"):
        read_dictionary(write(tmp_path / "ids.txt", "0\t17\n"))
    assert read_dictionary(write(tmp_path / "entities.dict", "0\t17\n")) == {0: "17"}
    assert read_dictionary(write(tmp_path / "entity2id.txt", "17\t0\n")) == {0: "17"}


def test_texts_of_a_name_are_joined(tmp_path):
    path = write(tmp_path / "entity2text.txt", "a\tfirst, with\ttab\nb\t\na\tsecond\n")
    assert read_texts(path) == {"a": "first, with\ttab; second"}
    with pytest.raises(DataError, match="line 1: expected a name, a tab and a text, found 'a b'"):
        read_texts(write(tmp_path / "entity2text.txt", "a b\n"))


def openke_folder(folder: Path) -> Path:
    write(folder / "train2id.txt", "2\n1 0 0\n0 2 1\n")
    write(folder / "test2id.txt.gz", "1\n2 1 0\n")
    write(folder / "entity2id.txt", "4\nz\t0\na b\t1\nm\t2\nalone\t3\n")
    write(folder / "relation2id.txt", "2\nr\t1\nq\t0\n")
    return folder


def test_a_folder_of_openke_keeps_its_ids(tmp_path):
    dataset = from_folder(openke_folder(tmp_path))
    assert dataset.entities == ("z", "a b", "m", "alone")
    assert dataset.relations == ("q", "r")
    assert dataset.graph.facts.tolist() == [[1, 0, 0], [0, 1, 2]]
    assert dataset.test.tolist() == [[2, 0, 1]]
    assert dataset.valid.shape == (0, 3)


def test_an_id_without_a_name_is_refused(tmp_path):
    write(openke_folder(tmp_path) / "train2id.txt", "1\n1 4 0\n")
    with pytest.raises(DataError, match=r"train2id.txt: entity id 4 has no name among the 4"):
        from_folder(tmp_path)
    (tmp_path / "relation2id.txt").unlink()
    with pytest.raises(DataError, match=r"no relation2id.txt"):
        from_folder(tmp_path)
