from __future__ import annotations

import gzip
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from gnnkg.data.lines import UNIT, FaultyLine, Layout, sift
from gnnkg.data.text import SkippedLines, read_layout, read_text
from gnnkg.data.triples import ROLES, DataError, Triples

FACTS = [
    ("Zürich", "liegt in", "Schweiz"),
    ("NA", "null", "nan"),
    ("東京", "首都", "日本"),
    ("Zürich", "liegt in", "CH"),
]


def rows(triples: Triples) -> list[tuple[str, str, str]]:
    columns = (triples.head, triples.relation, triples.tail)
    return list(zip(*(column.to_pylist() for column in columns), strict=True))


def write(path: Path, text: str | bytes) -> Path:
    content = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("name", ["train.txt", "train.txt.gz"])
def test_names_in_any_script_behind_any_line_ending_and_byte_order_mark(tmp_path, name, mark, ending):
    text = mark + ending.join("\t".join(fact) for fact in FACTS) + ending
    assert rows(read_text(write(tmp_path / name, text))) == FACTS


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_blank_lines_and_whitespace_around_names_do_not_matter(tmp_path, ending):
    text = ending.join(["", "a\tr\tb", "  \t ", " a \t s\t b", "", ""])
    assert rows(read_text(write(tmp_path / "train.txt", text))) == [("a", "r", "b"), ("a", "s", "b")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b\tr s\tc, d\n", ("a b", "r s", "c, d")),
        ("a b,r s,c d\n", ("a b", "r s", "c d")),
        ("a;r;b,c\n", ("a", "r", "b,c")),
        ("a r b\n", ("a", "r", "b")),
        ("  a   r \tb \n", ("a", "r", "b")),
        (
            '"Washington, D.C.",capital of,"the ""United"" States"\n',
            ("Washington, D.C.", "capital of", 'the "United" States'),
        ),
        ('a, "b, c", d\n', ("a", "b, c", "d")),
        ('"a"\tr\t"b\n', ('"a"', "r", '"b')),
    ],
)
def test_the_separator_is_found_from_the_first_line(tmp_path, text, expected):
    assert rows(read_text(write(tmp_path / "train.txt", text))) == [expected]


def test_columns_stand_in_any_order_and_others_are_ignored(tmp_path):
    path = write(tmp_path / "train.txt", "2024\tb\ta\tr\n2025\t\ta\tr\n")
    with pytest.raises(FaultyLine, match="line 2: expected a tail, found an empty field"):
        read_text(path, columns=("year", "tail", "head", "relation"))
    path = write(tmp_path / "train.txt", "\tb\ta\tr\n")
    assert rows(read_text(path, columns=("year", "tail", "head", "relation"))) == [("a", "r", "b")]


@pytest.mark.parametrize(
    "names",
    [
        "Object,Predicate,Subject",
        '"object","predicate","subject"',
        "target,edge,source",
        "#tail,relation,head",
        "tail_entity,relation_id,head_entity",
    ],
)
def test_a_header_is_recognised_and_gives_the_columns(tmp_path, names):
    assert rows(read_text(write(tmp_path / "train.csv", f"\n{names}\nb,r,a\n"))) == [("a", "r", "b")]


def test_a_header_may_be_announced_or_denied(tmp_path):
    path = write(tmp_path / "train.txt", "h\tr\tt\na\tr\tb\n")
    assert len(read_text(path)) == 2
    assert rows(read_text(path, header=True)) == [("a", "r", "b")]
    path = write(tmp_path / "train.txt", "head\trelation\ttail\na\tr\tb\n")
    assert len(read_text(path, header=False)) == 2
    path = write(tmp_path / "train.txt", "von\tart\tnach\na\tr\tb\n")
    assert rows(read_text(path, header=True, columns=ROLES)) == [("a", "r", "b")]
    with pytest.raises(DataError, match=r"line 1: expected a header .* found 'von\\tart\\tnach'"):
        read_text(path, header=True)


@pytest.mark.parametrize(
    ("line", "expected", "found"),
    [
        ("a\tr", r"3 fields \(head, relation, tail\) separated by tabs", r"2: 'a\\tr'"),
        ("a\tr\tb\tc", "3 fields", "4: "),
        ("a\t\tb", "a relation", "an empty field"),
        ("a\tr\t ", "a tail", "an empty field"),
    ],
)
def test_a_faulty_line_names_its_place_what_was_expected_and_what_stood_there(tmp_path, line, expected, found):
    path = write(tmp_path / "train.txt", f"a\tr\tb\n\n{line}\n")
    with pytest.raises(FaultyLine, match=f"train.txt, line 3: expected {expected}.*found {found}") as caught:
        read_text(path)
    assert caught.value.fault.line == 3


def test_bytes_that_are_no_utf8_are_a_fault(tmp_path):
    path = write(tmp_path / "train.txt", b"a\tr\tb\nZ\xfcrich\tr\tb\n")
    with pytest.raises(FaultyLine, match=r"line 2: expected UTF-8 text, found 'Z\\xfcrich"):
        read_text(path)


def test_an_open_quote_is_a_fault(tmp_path):
    path = write(tmp_path / "train.csv", 'a,r,b\n"a,r,b\nc,r,d\n')
    with pytest.raises(FaultyLine, match="line 2: expected a closing quote"):
        read_text(path)
    with pytest.warns(SkippedLines, match="1 lines skipped"):
        assert rows(read_text(path, on_error="skip")) == [("a", "r", "b"), ("c", "r", "d")]


def test_faulty_lines_are_skipped_and_listed_where_that_is_asked_for(tmp_path):
    path = write(tmp_path / "train.txt.gz", "a\tr\tb\nbroken\na\tr\tc\n\tr\tb\n")
    with pytest.warns(SkippedLines, match="2 lines skipped; the first: .*line 2"):
        triples = read_text(path, on_error="skip")
    assert rows(triples) == [("a", "r", "b"), ("a", "r", "c")]
    assert [fault.line for fault in triples.faults] == [2, 4]
    assert triples.num_faulty == 2


def test_of_many_faulty_lines_all_are_counted_and_the_first_kept(tmp_path):
    path = write(tmp_path / "train.txt", "a\tr\tb\n" + "broken\n" * 1000)
    with pytest.warns(SkippedLines, match="1,000 lines skipped"):
        triples = read_text(path, on_error="skip")
    assert (len(triples), len(triples.faults), triples.num_faulty) == (1, 10, 1000)


def test_an_empty_file_holds_no_facts(tmp_path):
    assert rows(read_text(write(tmp_path / "valid.txt", ""))) == []
    assert rows(read_text(write(tmp_path / "valid.txt.gz", "\n\n"))) == []


def test_wrong_arguments_are_refused(tmp_path):
    path = write(tmp_path / "train.txt", "a\tr\tb\n")
    with pytest.raises(DataError, match="a separator is a tab"):
        read_text(path, separator="|")
    with pytest.raises(DataError, match="columns must name head, relation and tail, each once, not head, tail, tail"):
        read_text(path, columns=("head", "tail", "tail"))
    with pytest.raises((ValueError, TypeCheckError), match="on_error"):
        read_text(path, on_error="ignore")


@settings(max_examples=400)
@given(
    text=st.text(alphabet='ab7 \t\r\n",;\u00e9\u3000\ufeff\x00\x1f', max_size=40),
    separator=st.sampled_from("\t,; "),
    numeric=st.booleans(),
    columns=st.permutations([*ROLES, "other"]).map(tuple) | st.just(ROLES),
)
def test_the_fast_reader_gives_what_the_careful_one_defines(tmp_path_factory, text, separator, numeric, columns):
    path = write(tmp_path_factory.mktemp("facts") / "train.txt", text)
    layout = Layout(separator, columns, numeric=numeric)
    good, faults, num_faulty = sift(path, layout)
    expected = [tuple(line.split(UNIT)) for line in good.read().decode("utf-8-sig").split("\n") if line]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedLines)
        triples = read_layout(path, layout, "skip")
    assert rows(triples) == expected
    assert (triples.faults, triples.num_faulty) == (faults, num_faulty)
