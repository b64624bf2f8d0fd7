"""``gnnkg align`` on CLDR in two languages: with seeds, without, against known links, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas
import pytest
import torch

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
    assert main(["align", "--width", "256", "--match", "csls", *folders, "--out", str(out)]) == 0
    assert re.search(r"\d+ pairs \(0 of them seeds\)", capsys.readouterr().out.replace(",", ""))
    table = pandas.read_csv(out)
    assert not table["left"].duplicated().any()
    assert not table["right"].duplicated().any()
    assert right_ones(data, table) > 0.6
    assert table["score"].is_monotonic_decreasing


def test_files_of_facts_are_graphs(tmp_path: Path, capsys):
    for name, people in (("left", "Anna Bob Carla"), ("right", "Ana Bobb Karla")):
        a, b, c = people.split()
        (tmp_path / f"{name}.tsv").write_text(f"{a}\tknows\t{b}\n{b}\tknows\t{c}\n")
    assert main(["align", str(tmp_path / "left.tsv"), str(tmp_path / "right.tsv"), "--rounds", "1"]) == 0
    assert "Bob,Bobb," in capsys.readouterr().out


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


@pytest.fixture(scope="module")
def pictured(tmp_path_factory) -> Path:
    """A folder in the layout of EVA, a ring on either side, and one file of vectors by the ids that both sides share."""
    folder = tmp_path_factory.mktemp("pictured")
    for side, first in (("1", 0), ("2", 30)):
        names = [f"{first + i}\thttp://{side}/{'abc'[i % 3] * (i + 1)}{side}\n" for i in range(30)]
        facts = [f"{first + i}\t7\t{first + (i + 1) % 30}\n" for i in range(30)]
        (folder / f"ent_ids_{side}").write_text("".join(names))
        (folder / f"triples_{side}").write_text("".join(facts))
    (folder / "ill_ent_ids").write_text("".join(f"{i}\t{30 + i}\n" for i in range(30)))
    torch.manual_seed(0)
    images = torch.randn(30, 6)
    torch.save({i: images[i % 30] for i in range(60)}, folder / "images.pth")
    for side in "12":
        arguments = [str(folder / "images.pth"), str(folder / f"{side}.npz"), "--dataset", str(folder / side)]
        assert main(["convert", *arguments]) == 0
    return folder


def test_vectors_of_both_sides_are_compared(pictured, tmp_path: Path, capsys):
    given = [f"--left-features=image={pictured / '1.npz'}", f"--right-features=image={pictured / '2.npz'}"]
    graphs = [str(pictured / side) for side in "12"]
    (seeds := tmp_path / "seeds.csv").write_text("http://1/a1,http://2/a2\n")
    for options in (["--names", "none"], ["--features", "{image: {class_path: Given, init_args: {feature: image}}}"]):
        capsys.readouterr()
        assert main(["align", *graphs, "--seeds", str(seeds), "--rounds", "1", *given, *options]) == 0
        (out := tmp_path / "out.csv").write_text(capsys.readouterr().out)
        table = pandas.read_csv(out)
        assert len(table) == 30
        assert (table["left_identifier"].str[8:-1] == table["right_identifier"].str[8:-1]).mean() > 0.9

    figures = tmp_path / "figures.json"
    arguments = ["--epochs", "1", "--width", "8", "--names", "none", "--json", str(figures)]
    assert main(["align", "--on", str(pictured), *given, *arguments]) == 0
    assert json.loads(figures.read_text())["training"]["weights"].keys() == {"structure", "relations", "image"}


def test_texts_of_both_sides_are_compared(pictured, tmp_path: Path, capsys):
    given = []
    for side, name in (("1", "left"), ("2", "right")):
        words = ("".join(f"{(7 * i + k) % 30:02}" for k in range(3)) for i in range(30))
        lines = [f"http://{side}/{'abc'[i % 3] * (i + 1)}{side}\tthing {word}\n" for i, word in enumerate(words)]
        (file := tmp_path / f"{name}.tsv").write_text("".join(lines))
        given += [f"--{name}-texts", f"about={file}"]
    graphs, out = [str(pictured / side) for side in "12"], tmp_path / "out.csv"
    assert main(["align", *graphs, *given, "--names", "about", "--rounds", "1", "--out", str(out)]) == 0
    table = pandas.read_csv(out)
    assert len(table) == 30  # labels by themselves give eight
    assert (table["left_identifier"].str[8:-1] == table["right_identifier"].str[8:-1]).mean() > 0.9
    for arguments, said in (
        ([*given[:2], "--names", "about"], "there are texts about of the left one and none of the right one"),
        (given, "the text about is compared by --names about"),
        ([*given, "--epochs", "1"], "the text about is compared by --names about"),
        (["--left-texts", "about"], "a name and a file, as in about=left.tsv, not 'about'"),
    ):
        assert main(["align", *graphs, *arguments]) == 2
        assert said in capsys.readouterr().err


def test_vectors_that_cannot_be_compared_are_refused(pictured, tmp_path: Path, capsys):
    torch.save(torch.zeros(60, 2), tmp_path / "other.pth")
    other, here = str(tmp_path / "other.npz"), ["align", *(str(pictured / side) for side in "12")]
    assert main(["convert", str(tmp_path / "other.pth"), other, "--dataset", str(pictured / "2")]) == 0
    left, right = ([f"--{side}-features", f"image={pictured / i}.npz"] for side, i in (("left", "1"), ("right", "2")))
    snag = "recipes/alignment/snag.yaml"
    for options, said in (
        (left, "there are features image of the left one and none of the right one"),
        ([*left, "--right-features", f"image={other}"], "1.npz has 6 numbers an entity and"),
        (["--left-features", "image"], "a name and a file, as in image=left.safetensors, not 'image'"),
        (
            [*left, *right, "--features", "{names: TextNgrams}"],
            "nothing reads the feature image: name it in --features",
        ),
        ([*left, *right, "--train", snag], "name it in encoder.modalities of the training, as {class_path: Given"),
    ):
        assert main([*here, *options]) == 2
        assert said in capsys.readouterr().err


def test_what_was_written_can_be_seeds_again(folders, tmp_path: Path, capsys):
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    assert main(["align", *folders, "--width", "64", "--rounds", "1", "--out", str(first)]) == 0
    pairs = len(pandas.read_csv(first))
    assert main(["align", *folders, "--width", "64", "--rounds", "1", "--seeds", str(first), "--out", str(second)]) == 0
    assert pandas.read_csv(second)["seed"].sum() == pairs


def test_training_with_few_seeds_or_with_names_in_place_of_seeds(data, folders, tmp_path: Path, capsys):
    seeds = tmp_path / "seeds.csv"
    pairs = [(data.left.entities[a], data.right.entities[b]) for a, b in data.train[:2].tolist()]
    seeds.write_text("".join(f"{left},{right}\n" for left, right in pairs))
    out = tmp_path / "out.csv"
    assert main(["align", *folders, "--epochs", "1", "--width", "16", "--seeds", str(seeds), "--out", str(out)]) == 0
    found = pandas.read_csv(out)
    kept = found[found["seed"]]
    assert set(zip(kept["left_identifier"], kept["right_identifier"], strict=True)) == set(pairs), (
        "one is for validation"
    )
    capsys.readouterr()
    assert main(["align", *folders, "--epochs", "2", "--width", "16", "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert int(re.findall(r"([\d,]+) pairs of names are seeds", captured.err)[0].replace(",", "")) > 100
    assert "(0 of them seeds)" in captured.out
    assert right_ones(data, pandas.read_csv(out)) > 0.6
    assert main(["align", *folders, "--epochs", "1", "--names", "none"]) == 2
    assert "without names a training needs seeds" in capsys.readouterr().err


def test_known_links_judge_it(capsys):
    assert main(["align", "--on", "cldr", "--rounds", "1", "--width", "128", "--match", "sinkhorn"]) == 0
    out = capsys.readouterr().out
    assert "821 test links, ranked by sinkhorn among the partners of the test links" in out
    hits = [float(figure) for figure in re.findall(r"hits@1 (0\.\d+)", out)]
    assert len(hits) == 2
    assert min(hits) > 0.6


def test_features_take_the_place_of_names(capsys):
    def hits(*options: str) -> float:
        assert main(["align", "--on", "cldr", "--rounds", "1", "--width", "64", *options]) == 0
        return float(re.findall(r"hits@1 (0\.\d+)", capsys.readouterr().out)[0])

    spelling = "{class_path: TextNgrams, init_args: {dim: 512, reduce: random}}"
    both = hits("--features", f"{{spelling: {spelling}, relations: RelationBag}}")
    assert hits("--features", f"{{spelling: {spelling}}}") == hits()
    assert both != hits() > hits("--names", "none")


def test_training_on_seeds(capsys):
    assert main(["align", "--on", "cldr", "--epochs", "2", "--width", "64", "--candidates", "all"]) == 0
    captured = capsys.readouterr()
    assert "epoch 2: validation MRR" in captured.err
    assert "among all entities of the other graph" in captured.out


def test_a_file_says_how_to_train_and_options_change_it(tmp_path: Path, capsys):
    file, figures = tmp_path / "small.yaml", tmp_path / "figures.json"
    text = (
        "epochs: 3\ndim: 32\nencoder.noise: {before_messages: true}\npseudo_labels: {every: 1, renew: 2, promote: 2}\n"
    )
    file.write_text(text)
    arguments = ["--train", str(file), "--batch-size", "200", "--iir", "false", "--encoder.modalities.names=TextNgrams"]
    options = ["--pseudo-from", "1", "--match", "cosine", "csls", "--json", str(figures)]
    assert main(["align", "--on", "cldr", *options, *arguments]) == 0
    found = json.loads(figures.read_text())
    assert found["metrics"].keys() == {"cosine", "csls"}
    training = found["training"]
    assert training["weights"].keys() == {"structure", "relations", "names"}
    config = training["config"]
    assert (config["batch_size"], config["iir"], config["dim"], config["pseudo_labels"]["begin"]) == (200, False, 32, 1)
    assert training["history"][-1].keys() >= {"loss/gmi", "loss/ecia", "valid/mrr"}
    valid = found["validation, by cosine, among all entities, both ways"]
    assert valid["mrr"] == pytest.approx(max(row["valid/mrr"] for row in training["history"]))
    assert "ranked by csls among" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name two graphs to align"),
        (["--on", "cldr", "--match", "nearest"], "--match is one of csls, sinkhorn, cosine, not 'nearest'"),
        (["--on", "cldr", "--seeds", "x.csv"], "give --on alone"),
        (["--on", "cldr", "--names", "nicknames"], "there is no text 'nicknames' in this data set; it has label"),
        (["--on", "cldrr"], "did you mean cldr"),
        (["--on", "cldr", "--iir", "false"], "--iir is of a training: give --train FILE or --epochs N too"),
        (["--on", "cldr", "--lr", ".5"], "--lr is of a training: give --train FILE or --epochs N too"),
        (["--on", "cldr", "--checkpoint", "x"], "--checkpoint is of a training"),
        (["--on", "cldr", "--epochs", "40", "--pseudo-from", "5"], "at epoch 55, and the training ends at 40"),
        (["--on", "cldr", "--train", "x.yaml", "--names", "labels"], "x.yaml says which names are read"),
        (["--on", "cldr", "--train", "x.yaml"], "there is no file x.yaml"),
        (["cldr", "cldr", "--seeds", "x.csv"], "there is no file x.csv: links are two entities a line"),
        (["cldr", "x.tsv"], "there is no file x.tsv of facts"),
        (["cldr", "zzzzz"], "gnnkg datasets lists the names"),
        (["--on", "cldr", "--epochs", "1", "--encoder.noize", "null"], "did you mean noise"),
        (["--on", "cldr", "--epochs", "1", "--features", "{names: TextNgrams}"], "a training's are encoder.modalities"),
        (["--on", "cldr", "--features", "{names: TextNgram}"], "did you mean TextNgrams"),
        (["--on", "cldr", "--features", "TextNgrams"], "features: expected a mapping"),
        (["--on", "cldr", "--out", "nodir/pairs.csv"], "there is no folder nodir to write pairs.csv to"),
        (["--on", "cldr", "--json", "."], ". is a folder: name a file in it"),
        (["--on", "cldr", "--epochs", "1", "--checkpoint", "nodir/x"], "there is no folder nodir"),
        (["--on", "cldr", "--seed", "-1"], "--seed is a number from 0"),
        (["--on", "cldr", "--epochs", "1", "--batch-size", "0"], "batch_size must be at least 1, not 0"),
        (["--on", "cldr", "--epochs", "1", "--width", "0"], "dim must be at least 1, not 0"),
        (["--on", "cldr", "--epochs", "1", "--warm_up", "2"], "warm_up in [0, 1]"),
        (["--on", "cldr", "--epochs", "1", "--lr", "-1"], "the optimizer cannot be made: Invalid learning rate: -1.0"),
        (["--on", "cldr", "--width", "0"], "width and steps must be at least 1, not 0 and 3"),
        (["--on", "cldr", "--compared", "0"], "vectors must be compared by at least 1 number, not 0"),
        (["--on", "cldr", "--name-width", "0"], "dim"),
        (["--on", "cldr", "--features", "{}"], "no features to compare entities by"),
        (["--on", "cldr", "--features", "{names: "], "--features: '{names: ' is no valid YAML"),
    ],
)
def test_mistakes_are_told(arguments, said, capsys):
    assert main(["align", *arguments]) == 2
    assert said in capsys.readouterr().err
