"""Published data sets: manifests, where their files are looked for, and what they hold."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import sys
import tarfile
import threading
import zipfile
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from gnnkg.data import cache
from gnnkg.data.cache import DatasetNotFound, WrongChecksum, content_hash, download, locate, search_path, user_cache
from gnnkg.data.load import FolderPassedOver, dataset_names, load, read
from gnnkg.data.manifest import Manifest, Source, manifest, manifest_names, read_manifests
from gnnkg.data.triples import DataError

FILES = {"train.txt": b"a\tr\tb\r\nb\tr\tc\r\n", "valid.txt": b"a\tr\tc\n", "test.txt": b"c\tr\ta\n"}
SIDE = b"a\tAnna\n"


def toy_manifest(text: str = "") -> Manifest:
    return next(read_manifests(toy_yaml() + text, "toy"))


def toy_yaml() -> str:
    files = "".join(
        f"  {name[:-4]}: {{path: toy/{name}, sha256: {hashlib.sha256(content).hexdigest()}}}\n"
        for name, content in FILES.items()
    )
    side = f"{{path: toy/side/names.txt, sha256: {hashlib.sha256(SIDE).hexdigest()}}}"
    return (
        "title: Toy\nabout: three facts\nsource: https://example.org/toy\nlicence: not stated\nformat: text\n"
        f"files:\n{files}expected: {{train: 2, valid: 1, test: 1, entities: 3, relations: 1}}\n"
        f"side:\n  - gives: entity_labels\n    reader: texts\n    files: [{side}]\n"
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of data sets that holds the toy."""
    (tmp_path / "toy" / "side").mkdir(parents=True)
    for name, content in FILES.items():
        (tmp_path / "toy" / name).write_bytes(content)
    (tmp_path / "toy" / "side" / "names.txt").write_bytes(SIDE)
    return tmp_path


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no other folder to look in; gives the cache."""
    monkeypatch.delenv("GNNKG_DATASETS", raising=False)
    monkeypatch.setenv("GNNKG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "datasets"


def test_a_manifest_says_how_a_data_set_is_read(root):
    dataset = read(toy_manifest(), root)
    assert dataset.entities == ("a", "b", "c")
    assert dataset.entity_labels == ("Anna", "b", "c")
    assert dataset.graph.facts.tolist() == [[0, 0, 1], [1, 0, 2]]
    assert dataset.source == str(root / "toy")


def test_files_may_be_gzipped_and_the_root_may_be_the_folder_itself(root):
    plain = read(toy_manifest(), root)
    for name in FILES:
        path = root / "toy" / name
        path.with_name(f"{name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert read(toy_manifest(), root).data_hash == plain.data_hash
    assert read(toy_manifest(), root / "toy").data_hash == plain.data_hash


def test_a_file_that_disagrees_with_its_checksum_is_refused(root):
    path = root / "toy" / "valid.txt"
    path.write_bytes(FILES["valid.txt"].replace(b"a", b"A"))
    expected, got = hashlib.sha256(FILES["valid.txt"]).hexdigest(), content_hash(path)
    with pytest.raises(
        WrongChecksum, match=f"valid.txt is not the file .* expected the SHA-256 {expected} .* got {got}"
    ):
        read(toy_manifest(), root)
    (root / "toy" / "side" / "names.txt").write_text("a\tEve\n")
    path.write_bytes(FILES["valid.txt"])
    with pytest.raises(WrongChecksum, match=r"names.txt"):
        read(toy_manifest(), root)


def test_missing_facts_are_refused_and_missing_side_information_is_noted(root):
    (root / "toy" / "side" / "names.txt").unlink()
    dataset = read(toy_manifest(), root)
    assert dataset.entity_labels == ("a", "b", "c")
    assert dataset.report.notes == ("entity_labels: absent, because toy/side/names.txt is not there",)
    (root / "toy" / "test.txt").unlink()
    with pytest.raises(DatasetNotFound, match=r"not complete: .*toy/test.txt is missing"):
        read(toy_manifest(), root)


def test_folders_are_searched_in_order(root, nowhere, monkeypatch):
    toy = toy_manifest()
    with pytest.raises(DatasetNotFound) as caught:
        locate(toy)
    assert str(nowhere / "toy" / "train.txt") in str(caught.value)
    assert "https://example.org/toy" in str(caught.value)
    monkeypatch.setenv("GNNKG_DATASETS", f"{root / 'empty'}{cache.os.pathsep}{root}")
    assert search_path() == [root / "empty", root, nowhere]
    assert locate(toy) == root
    shutil.copytree(root / "toy", root / "empty" / "toy")
    assert locate(toy) == root / "empty"
    with pytest.raises(DatasetNotFound, match=str(root / "elsewhere")):
        locate(toy, root / "elsewhere")
    assert locate(toy, root) == root
    monkeypatch.delenv("GNNKG_DATASETS")
    shutil.copytree(root / "toy", nowhere / "toy")
    assert locate(toy) == nowhere


@pytest.mark.skipif(sys.platform != "linux", reason="the place of caches differs by platform")
def test_the_cache_lies_where_the_platform_keeps_caches(monkeypatch, tmp_path):
    monkeypatch.delenv("GNNKG_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "gnnkg" / "datasets"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_cache() == tmp_path / ".cache" / "gnnkg" / "datasets"


@pytest.fixture
def served(root: Path):
    """The folder of data sets on a loopback server; gives its address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


def test_files_are_downloaded_into_the_cache_once(served, root, nowhere):
    toy = toy_manifest(f"download: {{base: '{served}'}}\n")
    assert locate(toy) == nowhere
    assert read(toy, nowhere).entity_labels == ("Anna", "b", "c")
    shutil.rmtree(root / "toy")
    assert locate(toy) == nowhere


def test_a_download_that_is_another_file_leaves_nothing_behind(served, root, nowhere):
    (root / "toy" / "train.txt").write_bytes(b"<html>not found</html>")
    with pytest.raises(WrongChecksum, match=r"downloaded as train.txt has the SHA-256"):
        locate(toy_manifest(f"download: {{base: '{served}'}}\n"))
    assert not [path for path in nowhere.rglob("*") if path.is_file()]


def test_an_address_that_does_not_answer_is_named(served, root, nowhere):
    (root / "toy" / "valid.txt").unlink()
    with pytest.raises(DataError, match=r"toy cannot be downloaded from http.*toy/valid.txt: HTTP Error 404"):
        locate(toy_manifest(f"download: {{base: '{served}'}}\n"))


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_an_archive_gives_the_members_that_the_manifest_names_and_no_others(root, tmp_path, nowhere, kind):
    archive = root / f"toy.{kind}"
    evil = root / "evil.txt"
    evil.write_text("evil")
    members = {f"data/{name}": root / "toy" / name for name in FILES} | {"../../evil.txt": evil}
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as opened:
            for member, path in members.items():
                opened.write(path, member)
    else:
        with tarfile.open(archive, "w:gz") as opened:
            for member, path in members.items():
                opened.add(path, member)
    named = ", ".join(f"toy/{name}: data/{name}" for name in FILES)
    toy = toy_manifest(f"download: {{archive: '{archive.as_uri()}', members: {{{named}}}}}\n")
    assert locate(toy) == nowhere
    assert sorted(path.name for path in nowhere.rglob("*") if path.is_file()) == ["test.txt", "train.txt", "valid.txt"]
    assert len(read(toy, nowhere).graph.facts) == 2
    absent = replace(toy, download={**toy.download, "members": {"toy/train.txt": "data/absent.txt"}})
    with pytest.raises(DataError, match=r"data/absent.txt is no file of the archive"):
        download(absent, tmp_path / "fresh")


def test_a_manifest_with_wrong_keys_is_refused():
    with pytest.raises(
        DataError, match="manifest toy: 'licens' is unknown, 'licence' is missing; keys are about, columns"
    ):
        list(read_manifests(toy_yaml().replace("licence:", "licens:"), "toy"))
    with pytest.raises(DataError, match="format is one of text, openke, ids, not 'csv'"):
        list(read_manifests(toy_yaml().replace("format: text", "format: csv"), "toy"))


def test_a_family_shares_what_its_members_do_not_say():
    text = toy_yaml() + "members:\n  one: {}\n  two/ind: {title: Second, pairs_with: toy/one}\n"
    one, two = read_manifests(text, "toy")
    assert (one.name, one.title, two.name, two.title) == ("toy/one", "Toy", "toy/two/ind", "Second")
    assert two.files == one.files == {name[:-4]: one.files[name[:-4]] for name in FILES}


def test_every_manifest_is_complete():
    names = manifest_names()
    assert len(names) >= 36
    for name in names:
        entry = manifest(name)
        assert entry is not None
        assert entry.name == name
        assert entry.expected.keys() == {"train", "valid", "test", "entities", "relations"}
        assert (entry.download is None) == bool(entry.no_download)
        assert entry.source.startswith("https://")
        assert not entry.pairs_with or manifest(entry.pairs_with).pairs_with == name
        for file in [*entry.files.values(), *(each for side in entry.side for each in side.files)]:
            assert isinstance(file, Source)
            assert len(file.sha256) == 64


def test_an_unknown_name_gets_the_closest_ones(nowhere):
    with pytest.raises(
        DataError, match=r"no data set is called 'fb15k237', and there is no such folder in .*; did you mean fb15k-237"
    ):
        load("fb15k237")
    with pytest.raises(TypeError, match="umls takes no option header"):
        load("umls", header=True)
    assert {"cldr", "wn18rr", "grail/fb237_v1_ind", "dbp15k/zh_en/1"} <= set(dataset_names())


def test_a_folder_loads_by_its_path(root):
    assert load(str(root / "toy"), columns=("tail", "relation", "head")).graph.facts.tolist() == [[1, 0, 0], [2, 0, 1]]


def test_the_bundled_data_set_needs_no_folder(nowhere):
    assert load("CLDR").name == "cldr"


@pytest.mark.datasets
@pytest.mark.parametrize("name", manifest_names())
@pytest.mark.filterwarnings("ignore::gnnkg.data.assemble.SharedFacts")
def test_published_data_sets_have_the_counts_of_their_manifests(name):
    dataset, known = load(name, published_split=True), manifest(name)
    splits = dataset.report.splits
    counts = {split: splits[split].read if split in splits else 0 for split in ("train", "valid", "test")}
    assert counts | {"entities": len(dataset.entities), "relations": len(dataset.relations)} == known.expected
    assert dataset.report.notes == ()
    duplicates = {split: report.duplicates for split, report in splits.items() if report.duplicates}
    assert duplicates == ({"train": 1} if "countries" in name else {"valid": 2423} if name == "db15k" else {})


@pytest.mark.datasets
def test_validation_of_db15k_is_carved_out_of_train_by_default():
    dataset = load("DB15K")
    assert (len(dataset.graph.facts), len(dataset.valid), len(dataset.test)) == (75_261, 3_961, 9_902)
    assert dataset.data_hash == load("db15k").data_hash
    valid = {tuple(fact) for fact in dataset.valid.tolist()}
    assert not valid & {tuple(fact) for fact in dataset.facts("train", "test").tolist()}
    assert dataset.graph.seen[dataset.valid[:, [0, 2]]].all()
    assert torch.isin(dataset.valid[:, 1], dataset.graph.facts[:, 1]).all()
    assert "6,584 of these stand in train" in dataset.report.notes[0]


@pytest.mark.datasets
def test_side_information_comes_with_masks():
    dataset = load("fb15k-237")
    numeric = dataset.features["numeric"]
    assert int(numeric.present.any(1).sum()) == 12_402
    assert (numeric.values[~numeric.present] == 0).all()
    place = numeric.names.index("location.geocode.latitude")
    here = dataset.entity_id("/m/06rf7")
    assert dataset.entity_labels[here] == "Schleswig-Holstein"
    assert numeric.present[here, place]
    assert numeric.values[here, place].item() == pytest.approx(54.20867775)
    present = {name: sum(text is not None for text in texts) for name, texts in dataset.texts.items()}
    assert present == {"label": 14_515, "description": 13_666}
    countries = load("countries_S1").features["numeric"]
    assert countries.names == ("area", "latitude", "longitude")
    assert countries.present.any(1).sum() == 244


@pytest.mark.datasets
@pytest.mark.parametrize(
    ("name", "label", "identifier"),
    [
        ("wn18rr", "land reform", "00260881"),
        ("codex-s", "leonhard euler", "Q7604"),
        ("litwd1k", "Gabon", "Q1000"),
        ("mkg-w", "My Darling Clementine", "http://www.wikidata.org/entity/Q370252"),
        ("mkg-y", "Gilles Mbang Ondo", "Gilles_Mbang_Ondo"),
        ("db15k", "Anarchism", "<http://dbpedia.org/resource/Anarchism>"),
        ("dbp15k/zh_en/2", "Abdullah Gül", "http://dbpedia.org/resource/Abdullah_Gül"),
        ("grail/fb237_v1_ind", "Amber Riley", "/m/080knyg"),
        ("umls", "steroid", "steroid"),
    ],
)
def test_entities_are_found_by_their_labels(name, label, identifier):
    dataset = load(name)
    assert dataset.entities[dataset.entity_id(label)] == identifier


def known_toy(name: str) -> Manifest | None:
    return toy_manifest() if name.lower() == "toy" else None


@pytest.mark.parametrize("name", ["toy", "Toy", "cldr", "CLDR"])
def test_a_folder_called_like_a_published_data_set_is_told_of(name, root, tmp_path_factory, monkeypatch):
    monkeypatch.setattr(sys.modules["gnnkg.data.load"], "manifest", known_toy)
    monkeypatch.setenv("GNNKG_DATASETS", str(root))
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    expected = load(name).data_hash
    (elsewhere / name).mkdir()
    (elsewhere / name / "train.txt").write_text("x\tr\ty\n")
    told = f"{name} is the published data set {name.lower()}, and not the folder {elsewhere / name}: write ./{name} for that"
    with pytest.warns(FolderPassedOver, match=told):
        assert load(name).data_hash == expected
    assert load(f"./{name}").entities == ("x", "y")


def test_a_folder_that_is_the_published_data_set_is_not_passed_over(root, monkeypatch):
    monkeypatch.setattr(sys.modules["gnnkg.data.load"], "manifest", known_toy)
    monkeypatch.setenv("GNNKG_DATASETS", str(root))
    monkeypatch.chdir(root)
    assert len(load("toy").valid) == 1


@pytest.mark.parametrize("option", [{"root": "/"}, {"published_split": True}])
def test_what_is_for_published_files_is_refused_elsewhere(option, tmp_path):
    (tmp_path / "train.txt").write_text("a\tr\tb\n")
    for name, told in (("cldr", "cldr is built"), (str(tmp_path), f"the folder {tmp_path} is read where and as it is")):
        with pytest.raises(TypeError, match=f"{told}, and takes no option {next(iter(option))}"):
            load(name, **option)
