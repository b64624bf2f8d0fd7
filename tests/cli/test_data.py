from __future__ import annotations

import json
import shutil

import pytest

from gnnkg.cli import main


def test_audit_of_a_clean_folder(family, capsys):
    assert main(["audit", str(family)]) == 0
    out = capsys.readouterr().out
    assert "20 entities, 2 relations" in out


def test_audit_of_a_leaking_folder_has_status_1(family, tmp_path, capsys):
    folder = shutil.copytree(family, tmp_path / "leaking")
    with (folder / "test.txt").open("a") as file:
        file.write("Person 0\tnext\tPerson 1\n")
    assert main(["audit", str(folder), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["splits"]["test"]["shared"]["train"] == 1


def test_audit_names_a_faulty_line_or_skips_it(family, tmp_path, capsys):
    folder = shutil.copytree(family, tmp_path / "faulty")
    with (folder / "train.txt").open("a") as file:
        file.write("Person 0\tnext\n")
    assert main(["audit", str(folder)]) == 2
    error = capsys.readouterr().err
    assert "train.txt, line 31" in error
    with pytest.warns(UserWarning, match="1 lines skipped"):
        assert main(["audit", str(folder), "--on-error", "skip", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["splits"]["train"]["faulty"] == 1


def test_audit_is_told_how_a_folder_is_read(family, tmp_path, capsys):
    folder = shutil.copytree(family, tmp_path / "letters")
    for file in folder.glob("*.txt"):
        rows = [line.split("\t") for line in file.read_text().splitlines()]
        file.write_text("r;t;h\n" + "".join(f"{r};{t};{h}\n" for h, r, t in rows))
    options = ["--header", "yes", "--columns", "relation,tail,head", "--separator", ";"]
    assert main(["audit", str(folder), "--json", *options]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["splits"]["train"]["facts"], told["num_relations"]) == (30, 2)
    with pytest.raises(SystemExit):
        main(["audit", "umls", "--separator", ";"])
    assert "--separator is for folders" in capsys.readouterr().err


def test_datasets_lists_the_bundled_and_the_published(capsys):
    assert main(["datasets", "--json"]) == 0
    cards = {card["name"]: card for card in json.loads(capsys.readouterr().out)}
    assert {"cldr", "fb15k-237", "wn18rr", "umls"} <= set(cards)
    assert cards["cldr"]["where"].startswith("bundled: Unicode CLDR")
    assert cards["fb15k-237"]["entities"] == 14541


def test_datasets_shows_one_with_its_licence(capsys):
    assert main(["datasets", "umls"]) == 0
    assert "licence" in capsys.readouterr().out


@pytest.mark.datasets
def test_audit_finds_the_leak_of_db15k(capsys):
    assert main(["audit", "db15k", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["leaks"]


def test_parts_lists_what_an_experiment_can_name(capsys):
    assert main(["parts"]) == 0
    assert "DistMult" in capsys.readouterr().out
    assert main(["parts", "Uniform"]) == 0
    out = capsys.readouterr().out
    assert "num_negatives: int, default 256" in out
    assert "bound: float, required" in out


def test_report_writes_stale_tables_and_check_only_tells(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("gnnkg.evaluation.tables.report", lambda readme, recipes, check: ["baselines"])
    assert main(["report", "--check"]) == 1
    assert "gnnkg report mends it" in capsys.readouterr().out
    assert main(["report"]) == 0
    assert "written anew" in capsys.readouterr().out
    monkeypatch.setattr("gnnkg.evaluation.tables.report", lambda readme, recipes, check: [])
    assert main(["report", "--check"]) == 0
