"""Data sets out of files and tables of one's own: what happens to each kind of trouble."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from gnnkg.data.assemble import SharedFacts
from gnnkg.data.dataset import Dataset
from gnnkg.data.files import from_files, from_folder, from_tables
from gnnkg.data.text import SkippedLines
from gnnkg.data.triples import DataError
from tests.data.test_text import write

TRAIN = "b\tr\ta\na\ts\tc\n"


def named(dataset: Dataset, split: str) -> list[tuple[str, str, str]]:
    entities, relations = dataset.entities, dataset.relations
    return [(entities[h], relations[r], entities[t]) for h, r, t in dataset.facts(split).tolist()]


def folder(path: Path, **splits: str) -> Path:
    for split, text in splits.items():
        write(path / f"{split}.txt", text)
    return path


def test_ids_are_positions_in_the_sorted_names_whatever_the_order_of_lines(tmp_path):
    dataset = from_files(write(tmp_path / "one.txt", TRAIN))
    turned = from_files(write(tmp_path / "two.txt", "a\ts\tc\nb\tr\ta\n"))
    assert dataset.entities == turned.entities == ("a", "b", "c")
    assert dataset.relations == turned.relations == ("r", "s")
    assert dataset.graph.facts.tolist() == [[1, 0, 0], [0, 1, 2]]
    assert turned.graph.facts.tolist() == [[0, 1, 2], [1, 0, 0]]
    assert dataset.data_hash == turned.data_hash


def test_names_sort_by_code_point():
    table = pd.DataFrame({"head": ["Z", "é", "a", "10", "9"], "relation": "r", "tail": ["z", "𝔸", "ﬀ", "B", "é"]})
    names = from_tables(table).entities
    assert list(names) == sorted(names)


def test_a_fact_that_stands_twice_in_a_split_is_kept_once_and_counted(tmp_path):
    dataset = from_folder(folder(tmp_path, train=TRAIN + TRAIN + "b\tr\tc\n", test="c\tr\tb\nc\tr\tb\n"))
    assert named(dataset, "train") == [("b", "r", "a"), ("a", "s", "c"), ("b", "r", "c")]
    assert named(dataset, "test") == [("c", "r", "b")]
    train, test = dataset.report.splits["train"], dataset.report.splits["test"]
    assert (train.read, train.duplicates, test.read, test.duplicates) == (5, 2, 2, 1)


def test_facts_in_two_splits_are_kept_counted_and_warned_of(tmp_path):
    path = folder(tmp_path, train=TRAIN, valid="b\tr\ta\nc\tr\ta\n", test="c\tr\ta\na\ts\tc\nc\ts\ta\n")
    with pytest.warns(SharedFacts, match="facts stand in an earlier split too: 1 of valid, 2 of test"):
        dataset = from_folder(path)
    assert [len(dataset.facts(split)) for split in ("train", "valid", "test")] == [2, 2, 3]
    assert [dataset.report.splits[split].shared for split in ("train", "valid", "test")] == [0, 1, 2]
    assert not dataset.report.splits["test"].shared_dropped


def test_facts_in_two_splits_stay_in_the_first_where_that_is_asked_for(tmp_path):
    path = folder(tmp_path, train=TRAIN, valid="b\tr\ta\nc\tr\ta\n", test="c\tr\ta\na\ts\tc\nc\ts\ta\n")
    dataset = from_folder(path, overlap="drop")
    assert named(dataset, "train") == [("b", "r", "a"), ("a", "s", "c")]
    assert named(dataset, "valid") == [("c", "r", "a")]
    assert named(dataset, "test") == [("c", "s", "a")]
    assert dataset.report.splits["test"].shared == 2
    assert dataset.report.splits["test"].shared_dropped


def test_entities_and_relations_unseen_in_train_have_ids_and_their_facts_stay(tmp_path):
    dataset = from_folder(folder(tmp_path, train=TRAIN, test="0\tnew\tz\na\tr\tz\n"))
    assert dataset.entities == ("0", "a", "b", "c", "z")
    assert dataset.relations == ("new", "r", "s")
    assert named(dataset, "test") == [("0", "new", "z"), ("a", "r", "z")]
    assert dataset.graph.seen.tolist() == [False, True, True, True, False]


def test_line_endings_byte_order_marks_and_blank_lines_change_nothing(tmp_path):
    plain = from_folder(folder(tmp_path, train=TRAIN, valid="c\tr\tb\n"))
    (tmp_path / "other").mkdir()
    odd = folder(tmp_path / "other", train="\ufeff\r\n" + TRAIN.replace("\n", "\r\n\r\n"), valid="\ufeffc\tr\tb")
    assert from_folder(odd).data_hash == plain.data_hash


def test_skipped_lines_are_reported(tmp_path):
    with pytest.warns(SkippedLines):
        dataset = from_folder(folder(tmp_path, train=TRAIN + "x\n", valid="c\tr\tb\n"), on_error="skip")
    assert dataset.report.splits["train"].faulty == 1
    assert [(fault.line, fault.found) for fault in dataset.report.faults] == [(3, "1: 'x'")]


def test_one_file_is_enough(tmp_path):
    dataset = from_files(write(tmp_path / "facts.csv", "tail,relation,head\na,r,b\n"), name="mine")
    assert (dataset.name, named(dataset, "train")) == ("mine", [("b", "r", "a")])
    assert dataset.valid.shape == dataset.test.shape == (0, 3)


def test_dictionaries_and_texts_of_a_folder_are_used(tmp_path):
    folder(tmp_path, train=TRAIN)
    write(tmp_path / "entities.dict", "0\tc\n1\ta\n2\tunused\n3\tb\n")
    write(tmp_path / "relations.dict", "0\ts\n1\tr\n")
    write(tmp_path / "entity2text.txt", "a\tAnna\nb\tBen\n")
    write(tmp_path / "relation2text.txt", "r\tknows\n")
    dataset = from_folder(tmp_path)
    assert dataset.entities == ("c", "a", "unused", "b")
    assert dataset.entity_labels == ("c", "Anna", "unused", "Ben")
    assert dataset.relation_labels == ("s", "knows")
    assert named(dataset, "train") == [("b", "r", "a"), ("a", "s", "c")]
    write(tmp_path / "entities.dict", "0\tc\n1\ta\n")
    with pytest.raises(DataError, match=r"train.txt: 1 entity names stand in no dictionary of ids, e.g. 'b'"):
        from_folder(tmp_path)


def test_a_folder_without_facts_says_what_was_looked_for(tmp_path):
    with pytest.raises(DataError, match=r"looked for train2id.txt, train.txt, .*train.ttl.*found nothing"):
        from_folder(tmp_path)
    write(tmp_path / "facts.txt", TRAIN)
    with pytest.raises(DataError, match=r"found facts.txt"):
        from_folder(tmp_path)
    with pytest.raises(DataError, match="is no folder"):
        from_folder(tmp_path / "absent")
    write(tmp_path / "train.txt", TRAIN)
    write(tmp_path / "train.tsv.gz", TRAIN)
    with pytest.raises(DataError, match=r"holds train.txt and train.tsv.gz"):
        from_folder(tmp_path)
    with pytest.raises(DataError, match="has no training facts"):
        from_files(write(tmp_path / "empty.txt", "\n"))


def test_every_format_gives_the_same_data_set(tmp_path):
    table = pd.DataFrame({"head": ["b", "a"], "relation": ["r", "s"], "tail": ["a", "c"]})
    expected = from_tables(table).data_hash
    parquet.write_table(pa.Table.from_pandas(table), tmp_path / "train.parquet")
    assert from_files(tmp_path / "train.parquet").data_hash == expected
    assert from_files(write(tmp_path / "train.tsv.gz", TRAIN)).data_hash == expected
    assert from_files(write(tmp_path / "train.csv", TRAIN.replace("\t", ","))).data_hash == expected
    assert from_tables(pa.Table.from_pandas(table)).data_hash == expected
    assert from_tables(table.astype("category")).data_hash == expected
    renamed = table.rename(columns={"head": "s", "relation": "p", "tail": "o"})[["o", "s", "p"]]
    assert from_tables(renamed, columns=("s", "p", "o"), entity_labels={"a": "Anna"}).entity_labels == (
        "Anna",
        "b",
        "c",
    )


def test_faulty_tables_are_refused():
    table = pd.DataFrame({"head": ["b", None], "relation": ["r", "s"], "tail": ["a", "c"]})
    with pytest.raises(DataError, match="train, row 1: expected a name in column 'head', found none"):
        from_tables(table)
    with pytest.raises(DataError, match="train has no column 'object' but head, relation, tail"):
        from_tables(table, columns=("head", "relation", "object"))
    with pytest.raises(DataError, match="floating-point"):
        from_tables(pd.DataFrame({"head": [1.0], "relation": [1], "tail": [2]}))
    whole = pd.DataFrame({"head": [10, 9], "relation": [0, 0], "tail": [9, 2]})
    assert from_tables(whole).entities == ("10", "2", "9")


names = st.text(min_size=1, max_size=3).map(lambda text: text.strip() or "x")
facts = st.lists(st.tuples(names, st.sampled_from("rs"), names), min_size=1, max_size=20)


@given(train=facts, test=facts)
def test_no_fact_is_lost_and_none_is_made(train, test):
    def table(rows: list[tuple[str, str, str]]) -> pd.DataFrame:
        return pd.DataFrame(rows, columns=["head", "relation", "tail"])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SharedFacts)
        dataset = from_tables(table(train), test=table(test))
    assert named(dataset, "train") == list(dict.fromkeys(train))
    assert named(dataset, "test") == list(dict.fromkeys(test))
    assert dataset.report.splits["test"].shared == len(set(train) & set(test))


def test_the_layout_of_vista_and_mygo(tmp_path):
    folder(tmp_path, train="10\t0\t2\n2\t0\t7\n", valid="7\t0\t10\n")
    write(tmp_path / "entities.txt", "10\n7\n2\n")  # a name a line, which may be a number: no count
    write(tmp_path / "relations.txt", "0\n")
    dataset = from_folder(tmp_path)
    assert dataset.entities == ("10", "7", "2")
    assert dataset.relations == ("0",)
    assert dataset.graph.facts.tolist() == [[0, 0, 2], [2, 0, 1]]


def test_the_layout_of_momok(tmp_path):
    names = [f"<http://dbpedia.org/resource/{name}>" for name in ("Rome", "Italy", "Paris")]
    folder(tmp_path, train=f"{names[0]} <in> {names[1]} .\n{names[2]} <in> {names[0]} .\n", test="")
    write(tmp_path / "entity2id.txt", "".join(f"{name}\t{2 - i}\n" for i, name in enumerate(names)))
    write(tmp_path / "relation2id.txt", "<in>\t0\n")
    dataset = from_folder(tmp_path)
    assert dataset.entities == tuple(reversed(names))
    assert dataset.graph.facts.tolist() == [[2, 0, 1], [0, 0, 2]]
    write(tmp_path / "train.txt", f"{names[0]} <in> {names[1]} .\n{names[2]} <in> {names[0]}\n")
    with pytest.raises(DataError, match=r"train.txt, line 2: expected 4 fields .head, relation, tail, full stop."):
        from_folder(tmp_path)


def test_the_layout_of_k_on(tmp_path):
    write(tmp_path / "train2id.txt", "0 1 0\n1 2 0\n")
    write(tmp_path / "entity2id.txt", "a\t0\nb\t1\nc\t2\n")
    write(tmp_path / "relation2id.txt", "r\t0\n")
    assert named(from_folder(tmp_path), "train") == [("a", "r", "b"), ("b", "r", "c")]


@pytest.mark.parametrize("openke", [False, True])
@pytest.mark.parametrize("kind", ["entity", "relation"])
def test_texts_of_a_folder_are_utf_8_and_about_it(tmp_path, kind, openke):
    if openke:
        write(tmp_path / "train2id.txt", "1\n0 1 0\n")
        write(tmp_path / "entity2id.txt", "a\t0\nb\t1\n")
        write(tmp_path / "relation2id.txt", "r\t0\n")
    else:
        folder(tmp_path, train=TRAIN)
    name = f"{kind}2text.txt"
    plural = {"entity": "entities", "relation": "relations"}[kind]
    write(tmp_path / name, "x\tXaver\n")
    with pytest.raises(DataError, match=rf"{name} tells of 1 {plural} \(x, ...\), and of none of .*'s"):
        from_folder(tmp_path)
    write(tmp_path / name, b"a\tAnna\nr\tr\n" + "b\tBéa\n".encode("latin1"))
    with pytest.raises(DataError, match=rf"{name}, line 3: expected UTF-8 text, found 'b.tB.xe9a"):
        from_folder(tmp_path)
    write(tmp_path / name, "")
    from_folder(tmp_path)


def test_names_that_are_numbers_are_told_from_ids_by_the_name_of_the_file(tmp_path):
    folder(tmp_path, train="10\t7\t20\n20\t7\t0\n")
    write(tmp_path / "entity2id.txt", "3\n20\t0\n0\t1\n10\t2\n")
    write(tmp_path / "relation2id.txt.gz", "1\n7\t0\n")
    dataset = from_folder(tmp_path)
    assert (dataset.entities, dataset.relations) == (("20", "0", "10"), ("7",))
    (tmp_path / "entity2id.txt").unlink()
    (tmp_path / "relation2id.txt.gz").unlink()
    write(tmp_path / "entities.dict", "0\t20\n1\t0\n2\t10\n")
    write(tmp_path / "relations.dict", "0\t7\n")
    assert from_folder(tmp_path).data_hash == dataset.data_hash
    other = write(tmp_path / "ids.txt", "0\t20\n1\t0\n2\t10\n")
    told = "say shape=..., or call it entities.dict if it is 'id name' or entity2id.txt if it is 'name id'"
    with pytest.raises(DataError, match=re.escape(f"{other} can be read both ways: {told}")):
        from_files(tmp_path / "train.txt", entities=other)


@pytest.mark.parametrize("kind", [pd.DataFrame, pa.table, "category", "parquet"])
def test_names_of_tables_are_trimmed_and_never_empty(tmp_path, kind):
    def read(names: list[str]) -> Dataset:
        columns = {"head": names, "relation": ["r", " r", "r\n"], "tail": ["c", "d", "e"]}
        if kind == "category":
            return from_tables(pd.DataFrame(columns).astype("category"))
        if kind != "parquet":
            return from_tables(kind(columns))
        parquet.write_table(pa.table(columns), tmp_path / "train.parquet")
        return from_files(tmp_path / "train.parquet")

    dataset = read(["a", "a ", "\ta"])
    assert (dataset.entities, dataset.relations) == (("a", "c", "d", "e"), ("r",))
    for empty in ("", "  "):
        with pytest.raises(
            DataError, match=r"(train|train.parquet), row 1: expected a name in column 'head', found an empty"
        ):
            read(["a", empty, "b"])


def test_tables_whose_columns_are_no_names_are_refused():
    mixed = pd.DataFrame({"head": ["a", 1], "relation": ["r", "s"], "tail": ["b", "c"]})
    for table in (mixed, mixed.assign(head=pd.Series(["a", "\ud800"], dtype=object))):
        with pytest.raises(
            DataError, match=r"train: column 'head' is neither text nor whole numbers .*\.astype\(str\)"
        ):
            from_tables(table)
    with pytest.raises(DataError, match="column 'head' holds binary; names must be text"):
        from_tables(pa.table({"head": [b"\xff"], "relation": ["r"], "tail": ["b"]}))
