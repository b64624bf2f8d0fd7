"""``gnnkg align`` on CLDR in two languages: with seeds, without, against known links, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path

import pandas
import pytest

from gnnkg.cli import main
from gnnkg.data.alignment import AlignmentData, cldr_in_two_languages


@pytest.fixture(scope="module")
def data() -> AlignmentData:
    return cldr_in_two_languages(languages=10)


@pytest.fixture(scope="module")
def folders(data, tmp_path_factory) -> list[str]:
    """Both sides as folders of facts, with labels."""
    written = []
    for name, side in (("english", data.left), ("german", data.right)):
        folder = tmp_path_factory.mktemp(name)
        facts = [(side.entities[h], side.relations[r], side.entities[t]) for h, r, t in side.graph.facts.tolist()]
        (folder / "train.txt").write_text("".join("\t".join(fact) + "\n" for fact in facts), "utf-8")
        labels = zip(side.entities, side.entity_labels, strict=True)
        (folder / "entity2text.txt").write_text("".join(f"{name}\t{label}\n" for name, label in labels), "utf-8")
        written.append(str(folder))
    return written


def right_ones(data: AlignmentData, table: pandas.DataFrame) -> float:
    """The share of the pairs, seeds aside, that are linked."""
    links = {
        (data.left.entities[a], data.right.entities[b])
        for part in (data.train, data.valid, data.test)
        for a, b in part.tolist()
    }
    found = table[~table["seed"]]
    pairs = list(zip(found["left_identifier"], found["right_identifier"], strict=True))
    return sum(pair in links for pair in pairs) / len(pairs)


def test_names_alone_start_it(data, folders, tmp_path: Path, capsys):
    out = tmp_path / "pairs.csv"
    assert main(["align", *folders, "--width", "256", "--out", str(out)]) == 0
    assert re.search(r"\d+ pairs \(0 of them seeds\)", capsys.readouterr().out.replace(",", ""))
    table = pandas.read_csv(out)
    assert not table["left"].duplicated().any()
    assert not table["right"].duplicated().any()
    assert right_ones(data, table) > 0.6
    assert table["score"].is_monotonic_decreasing


def test_seeds_are_kept_and_stand_first(data, folders, tmp_path: Path, capsys):
    seeds = tmp_path / "seeds.csv"
    pairs = [(data.left.entities[a], data.right.entities[b]) for a, b in data.train.tolist()]
    seeds.write_text("".join(f"{left},{right}\n" for left, right in pairs))
    assert main(["align", *folders, "--seeds", str(seeds), "--names", "none", "--width", "128"]) == 0
    (out := tmp_path / "out.csv").write_text(capsys.readouterr().out)
    table = pandas.read_csv(out)
    given = table[table["seed"]]
    assert set(zip(given["left_identifier"], given["right_identifier"], strict=True)) == set(pairs)
    assert table["seed"].iloc[: len(pairs)].all()
    assert right_ones(data, table) > 0.2


def test_known_links_judge_it(capsys):
    assert main(["align", "--on", "cldr", "--rounds", "1", "--width", "128", "--match", "sinkhorn"]) == 0
    out = capsys.readouterr().out
    assert "821 test links, ranked by sinkhorn among the partners of the test links" in out
    hits = [float(figure) for figure in re.findall(r"hits@1 (0\.\d+)", out)]
    assert len(hits) == 2
    assert min(hits) > 0.6


def test_training_on_seeds(capsys):
    assert main(["align", "--on", "cldr", "--epochs", "2", "--width", "64", "--candidates", "all"]) == 0
    captured = capsys.readouterr()
    assert "epoch 2: validation MRR" in captured.err
    assert "among all entities of the other graph" in captured.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name two graphs to align"),
        (["--on", "cldr", "--seeds", "x.csv"], "give --on alone"),
        (["--on", "cldr", "--names", "nicknames"], "no text 'nicknames' both; there is labels"),
        (["--on", "cldrr"], "did you mean cldr"),
    ],
)
def test_mistakes_are_told(arguments, said, capsys):
    assert main(["align", *arguments]) == 2
    assert said in capsys.readouterr().err
