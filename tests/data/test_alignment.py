"""Alignment data: layouts of folders, published pairs, the bundled graph in two languages, what is refused."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
import torch

from gnnkg.data import DataError
from gnnkg.data.alignment import (
    AlignmentData,
    carve_links,
    cldr_in_two_languages,
    from_eva,
    from_openea,
    load_alignment,
    load_side,
    read_links,
)

EVA = {
    "ent_ids_1": "0\thttp://zh/A\n5\thttp://zh/B\n2\thttp://zh/C\n",
    "ent_ids_2": "1\thttp://en/a\n3\thttp://en/b\n4\thttp://en/c_d\n",
    "triples_1": "0\t7\t5\n5\t8\t2\n",
    "triples_2": "1\t9\t3\n3\t8\t4\n",
    "ref_ent_ids": "0\t1\n5\t3\n2\t4\n",
    "training_attrs_1": "http://zh/A\thttp://height\thttp://born\n",
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


def named(data: AlignmentData, part: str) -> set[tuple[str, str]]:
    return {(data.left.entities[left], data.right.entities[right]) for left, right in getattr(data, part).tolist()}


def test_eva_ids_are_shared_by_both_sides_and_links_name_them(tmp_path):
    data = from_eva(write(tmp_path, EVA), seeds=0.0)
    assert data.left.entities == ("http://zh/A", "http://zh/C", "http://zh/B")  # in the order of their ids
    assert data.left.in_words(data.left.graph.facts) == [("A", "7", "B"), ("B", "8", "C")]
    assert data.right.entity_labels == ("a", "b", "c d")
    assert data.left.texts["attributes"] == ("http://height\thttp://born", None, None)
    assert named(data, "test") == {
        ("http://zh/A", "http://en/a"),
        ("http://zh/B", "http://en/b"),
        ("http://zh/C", "http://en/c_d"),
    }
    assert not len(data.train)


def test_the_joint_graph_moves_right_ids_and_merges_relations_of_one_name(tmp_path):
    data = from_eva(write(tmp_path, EVA), seeds=0.0)
    assert data.graph.vocabulary is not None
    assert data.graph.vocabulary.relations == ("7", "8", "9")
    assert data.graph.facts.tolist() == [[0, 0, 2], [2, 1, 1], [3, 2, 4], [4, 1, 5]]
    assert data.is_left.tolist() == [True] * 3 + [False] * 3
    assert data.joint(torch.tensor([[1, 2]])).tolist() == [[1, 5]]


def test_seeds_of_their_own_file_are_not_tested(tmp_path):
    data = from_eva(write(tmp_path, {**EVA, "sup_ent_ids": "5\t3\n"}), valid=0.0)
    assert named(data, "train") == {("http://zh/B", "http://en/b")}
    assert named(data, "test") == {("http://zh/A", "http://en/a"), ("http://zh/C", "http://en/c_d")}


def test_links_for_validation_of_their_own_file_are_neither_tested_nor_learned_from(tmp_path):
    data = from_eva(write(tmp_path, {**EVA, "dev_ent_ids": "2\t4\n"}), seeds=0.5)
    assert named(data, "valid") == {("http://zh/C", "http://en/c_d")}
    assert [len(data.train), len(data.test)] == [1, 1]
    data = from_eva(write(tmp_path, {"sup_ent_ids": "5\t3\n"}))
    assert named(data, "valid") == {("http://zh/C", "http://en/c_d")}
    assert named(data, "train") == {("http://zh/B", "http://en/b")}
    assert named(data, "test") == {("http://zh/A", "http://en/a")}


def test_translated_names_lie_in_the_folder_or_beside_it(tmp_path):
    zh_en = write(tmp_path / "zh_en", EVA)
    write(tmp_path / "translated_ent_name", {"dbp_zh_en.json": '[[0, ["first"]], [4, ["c", "d"]]]', "fr_en.json": "[]"})
    data = from_eva(zh_en)
    assert data.left.texts["english_name"] == ("first", None, None)
    assert data.right.texts["english_name"] == (None, None, "c d")
    assert "attributes" in data.left.texts
    write(zh_en / "translated_ent_name", {"any.json": '[[0, ["own"]]]'})
    assert from_eva(zh_en).left.texts["english_name"] == ("own", None, None)
    write(zh_en / "translated_ent_name", {"any.json": '{"0": ["own"]}'})
    with pytest.raises(DataError, match=r"any.json is no list of \[id, \[word, ...\]\] as JSON"):
        from_eva(zh_en)
    write(zh_en / "translated_ent_name", {"other.json": "[]"})
    with pytest.raises(DataError, match=r"translated_ent_name holds any.json, other.json: keep the one of this pair"):
        from_eva(zh_en)


def test_gzipped_files(tmp_path):
    write(tmp_path, {name: text for name, text in EVA.items() if name != "triples_1"})
    (tmp_path / "triples_1.gz").write_bytes(gzip.compress(EVA["triples_1"].encode()))
    assert len(from_eva(tmp_path).left.graph.facts) == 2


def test_a_file_and_its_gzipped_twin_are_refused(tmp_path):
    write(tmp_path, EVA)
    (tmp_path / "triples_1.gz").write_bytes(gzip.compress(EVA["triples_1"].encode()))
    with pytest.raises(DataError, match=re.escape("triples_1 and triples_1.gz: keep one")):
        from_eva(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("ref_ent_ids", "0\t1\n5\n", "ref_ent_ids, line 2: expected two entities separated by a tab"),
        ("ref_ent_ids", "0\t1\n5\t2\n", "line 2: expected a left and a right entity.*2 is no entity id of its side"),
        ("triples_1", "0\t7\tx\n", "triples_1, line 1: expected a whole number as tail"),
        ("triples_1", "0\t7\t1\n", "entity id 1 has no name"),
    ],
)
def test_a_faulty_line_is_named(tmp_path, name, text, said):
    with pytest.raises(DataError, match=said):
        from_eva(write(tmp_path, {**EVA, name: text}))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=re.escape("holds no ent_ids_1 (or ent_ids_1.gz); found nothing.txt")):
        from_eva(write(tmp_path, {"nothing.txt": ""}))


OPENEA = {
    "rel_triples_1": "A\tr\tB\nB\tr\tC\nC\tr\tD\n",
    "rel_triples_2": "a\ts\tb\nb\ts\tc\nc\ts\td\n",
    "attr_triples_1": 'A\theight\t"1\t2"\nA\tborn\t1960\nA\theight\t3\n',
    "ent_links": "A\ta\nB\tb\nC\tc\n",
    "721_5fold/2/train_links": "A\ta\n",
    "721_5fold/2/valid_links": "B\tb\n",
    "721_5fold/2/test_links": "C\tc\n",
}


def test_openea(tmp_path):
    data = from_openea(write(tmp_path, OPENEA), fold=2)
    assert (named(data, "train"), named(data, "valid"), named(data, "test")) == (
        {("A", "a")},
        {("B", "b")},
        {("C", "c")},
    )
    assert data.left.texts["attributes"][0] == "height\tborn"
    assert "attributes" not in data.right.texts
    with pytest.raises(DataError, match="has no fold 1"):
        from_openea(tmp_path)
    write(tmp_path, {"attr_triples_1": "A\theight\n"})
    with pytest.raises(DataError, match="attr_triples_1, line 1: expected an entity, an attribute and a value"):
        from_openea(tmp_path, fold=2)


def test_openea_without_folds_divides_its_links(tmp_path):
    write(tmp_path, {name: text for name, text in OPENEA.items() if "fold" not in name})
    data = load_alignment(str(tmp_path), valid=0.0)
    assert [len(data.train), len(data.valid), len(data.test)] == [1, 0, 2]
    assert named(data, "train") | named(data, "test") == {("A", "a"), ("B", "b"), ("C", "c")}
    (tmp_path / "ent_links").unlink()
    with pytest.raises(DataError, match="has no fold 1"):
        from_openea(tmp_path)


def test_an_entity_of_the_seeds_is_in_no_test_link(tmp_path):
    files = {name: text for name, text in OPENEA.items() if "fold" not in name}
    write(tmp_path, {**files, "ent_links": "A\ta\nA\tb\nB\tb\nC\tc\nD\tc\n"})
    for seed in range(10):
        data = from_openea(tmp_path, seeds=0.4, valid=0.0, seed=seed)
        assert len(data.train) == 2
        for train, test in zip(data.train.unbind(1), data.test.unbind(1), strict=True):
            assert not set(train.tolist()) & set(test.tolist())


def test_links_of_ones_own_by_label(tmp_path):
    data = cldr_in_two_languages(languages=20)
    file = write(tmp_path, {"seeds.csv": "Switzerland,Schweiz\n"}) / "seeds.csv"
    links = read_links(file, data.left.entity_id, data.right.entity_id)
    assert [data.left.entity_labels[links[0, 0]], data.right.entity_labels[links[0, 1]]] == ["Switzerland", "Schweiz"]
    write(tmp_path, {"seeds.csv": "Switzerland,Schweiz\nSwizerland,Schweiz\n"})
    with pytest.raises(DataError, match=r"line 2: .*Swizerland"):
        read_links(file, data.left.entity_id, data.right.entity_id)


def test_links_may_be_quoted_and_have_a_header(tmp_path):
    names = ["Smith, Anna", 'Bob "B"', "c"]
    rows = '"Smith, Anna","Bob ""B"""\n\nc, "c"\n'
    for text in (rows, "left,right\n" + rows):
        file = write(tmp_path, {"seeds.csv": text}) / "seeds.csv"
        assert read_links(file, names.index, names.index).tolist() == [[0, 1], [2, 2]]
    write(tmp_path, {"seeds.csv": 'left,right,score,left_identifier,right_identifier\n"A\tB",x,,c,"Smith, Anna"\n'})
    assert read_links(file, names.index, names.index).tolist() == [[2, 0]]
    write(tmp_path, {"seeds.csv": "left,right,score\nc,c\n"})
    with pytest.raises(DataError, match="line 2: expected 3 fields, as the header has, found 'c,c'"):
        read_links(file, names.index, names.index)
    write(tmp_path, {"seeds.csv": 'c,c\n"c,c\n'})
    with pytest.raises(DataError, match="line 2: expected fields between commas, quoted or not"):
        read_links(file, names.index, names.index)


def test_links_that_contradict_each_other_are_refused_where_pairs_are_wanted(tmp_path):
    file = write(tmp_path, {"seeds.csv": "0,1\n2,3\n0,1\n4,1\n"}) / "seeds.csv"
    assert len(read_links(file, int, int)) == 4
    with pytest.raises(DataError, match=r"line 4: expected each entity in one link, found '4,1': a line before"):
        read_links(file, int, int, one_to_one=True)


def test_carving_leaves_no_entity_in_two_parts_and_ignores_the_order():
    links = torch.tensor([[i, i // 2] for i in range(40)])  # two left entities a right one
    train, valid = carve_links(links, 0.25, seed=1)
    assert len(valid) == 10
    assert not set(train[:, 1].tolist()) & set(valid[:, 1].tolist())
    again = carve_links(links.flip(0), 0.25, seed=1)
    assert torch.equal(again[0], train)
    assert torch.equal(again[1], valid)
    assert not torch.equal(carve_links(links, 0.25, seed=2)[1], valid)
    few = torch.tensor([[0, 0], [1, 1], [2, 2]])
    assert [len(part) for part in carve_links(few, 0.1)] == [2, 1]
    assert [len(part) for part in carve_links(few, 0.0)] == [3, 0]
    assert [len(part) for part in carve_links(few[:1], 0.1)] == [1, 0]
    with pytest.raises(ValueError, match="in \\[0, 1\\)"):
        carve_links(links, 1.0)


def test_an_entity_in_two_parts_is_refused():
    data = cldr_in_two_languages(languages=20)
    with pytest.raises(ValueError, match="linked in train and in test"):
        AlignmentData("twice", data.left, data.right, train=data.test[:3], test=data.test)
    with pytest.raises(ValueError, match="out of range"):
        AlignmentData("wide", data.left, data.right, test=torch.tensor([[0, 10**6]]))


def test_cldr_hides_who_is_who():
    data = load_alignment("cldr")
    assert len(data.left.graph.facts) != len(data.right.graph.facts)
    links = torch.cat([data.train, data.valid, data.test])
    assert len(links) > 1000
    assert (links[:, 0] == links[:, 1]).float().mean() < 0.05
    assert not set(data.left.entities) & set(data.right.entities)
    pairs = {(data.left.entity_labels[a], data.right.entity_labels[b]) for a, b in links.tolist()}
    assert {("Switzerland", "Schweiz"), ("Swiss Franc", "Schweizer Franken")} <= pairs
    with pytest.raises(ValueError, match="two locales"):
        cldr_in_two_languages(("de", "de"))


@pytest.mark.datasets
@pytest.mark.parametrize(
    ("name", "facts", "first"),
    [
        ("dbp15k/zh_en", 70414 + 95142, ("金大中", "Kim Dae-jung")),
        ("srprs/en_fr_15k_V1", 36508 + 33532, ("Zurovići", "Zurovići")),
    ],
)
def test_published_pairs(name, facts, first):
    data = load_alignment(name)
    assert [len(data.train), len(data.valid), len(data.test)] == [4050, 450, 10500]
    assert len(data.graph.facts) == facts
    assert (data.left.entity_labels[data.test[1, 0]], data.right.entity_labels[data.test[1, 1]]) == first
    assert ("attributes" in data.left.texts) == name.startswith("srprs")


def test_a_side_of_a_folder(tmp_path):
    eva, openea = write(tmp_path / "eva", EVA), write(tmp_path / "openea", {**OPENEA, "721_5fold/1/x": ""})
    for part in ("train", "valid", "test"):
        write(openea, {f"721_5fold/1/{part}_links": ""})
    assert load_side(f"{eva}/2").entity_labels == ("a", "b", "c d")
    assert load_side(f"{openea}/1").entities == ("A", "B", "C", "D")
    with pytest.raises(DataError, match="no data set is called"):
        load_side(f"{eva}/3")
    for folder, name in ((eva, "ref_ent_ids"), (openea, "ent_links")):
        (folder / name).unlink()
        assert len(load_side(f"{folder}/1").entities) > 2, "a side needs no links"
    own = write(tmp_path, {"own.tsv": "x\tr\ty\n"}) / "own.tsv"
    assert load_side(str(own)).entities == ("x", "y")


def test_an_unknown_name():
    with pytest.raises(DataError, match="did you mean dbp15k/zh_en"):
        load_alignment("dbp15k/zhen")
