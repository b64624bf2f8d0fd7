from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gnnkg.annotations import Feature
from gnnkg.data.classes import with_classes
from gnnkg.data.load import load
from gnnkg.data.triples import DataError
from gnnkg.experiment import load_dataset, read
from tests.random_data import random_dataset

N, R = 40, 3
COLOURS = ("red", "green", "blue")


def coloured():
    """Entity i has the colour i modulo 3; every fifth is large too, entity 7 alone is unique, and the last has no class."""
    lists = [
        [COLOURS[i % 3], *(["large"] if i % 5 == 0 else []), *(["unique"] if i == 7 else [])] for i in range(N - 1)
    ]
    texts = {"kind": (*("; ".join(each) for each in lists), None), "name": tuple(f"entity {i}" for i in range(N))}
    feature = Feature(torch.ones(N, 2), torch.ones(N, 2, dtype=torch.bool), ("a", "b"))
    return replace(random_dataset(N, R, 300), texts=texts, features={"numbers": feature})


def test_classes_become_entities_and_some_entities_are_to_be_classified():
    plain = coloured()
    dataset = with_classes(plain, "kind", (0.2, 0.3))
    assert dataset.entities[N:] == dataset.entity_labels[N:] == ("blue", "green", "large", "red", "unique")
    assert dataset.relations[R:] == ("kind",)
    train, valid, test = (dataset.facts(split) for split in ("train", "valid", "test"))
    assert torch.equal(train[: len(plain.graph.facts)], plain.graph.facts)
    known = train[len(plain.graph.facts) :]
    told = {(head, dataset.entities[tail]) for head, _, tail in torch.cat([known, valid, test]).tolist()}
    assert told == {(i, name) for i, text in enumerate(plain.texts["kind"]) if text for name in text.split("; ")}
    assert all((part[:, 1] == R).all() for part in (known, valid, test))
    heads = [set(part[:, 0].tolist()) for part in (known, valid, test)]
    assert sum(map(len, heads)) == len(set().union(*heads)) == N - 1
    assert [len(part) for part in heads[1:]] == [round(0.2 * (N - 1)), round(0.3 * (N - 1))]
    assert set(known[:, 2].tolist()) == set(range(N, N + 5))  # the unique class too


def test_what_would_give_the_answer_away_is_gone():
    dataset = with_classes(coloured(), "kind")
    assert list(dataset.texts) == ["name"]
    assert dataset.texts["name"][N:] == (None,) * 5
    assert not dataset.features["numbers"].has[N:].any()
    assert dataset.features["numbers"].has[:N].all()


def test_the_split_depends_on_the_seed_alone():
    one, again, other = (with_classes(coloured(), "kind", seed=seed).data_hash for seed in (0, 0, 1))
    assert one == again != other


def test_a_class_with_the_name_of_an_entity_gets_another():
    plain = coloured()
    dataset = with_classes(replace(plain, entities=("red", *plain.entities[1:])), "kind")
    assert dataset.entities[N:] == ("blue", "green", "large", "kind: red", "unique")
    assert dataset.entity_labels[N:] == ("blue", "green", "large", "red", "unique")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"texts": {}}, "no text 'kind' that could list classes; its texts: none"),
        ({"texts": {"kind": (None,) * N}}, "lists nothing in its text 'kind'"),
        ({"relations": ("kind", "b", "c")}, "has a relation 'kind' already"),
    ],
)
def test_what_lists_no_classes_is_refused(changed, said):
    with pytest.raises(DataError, match=said):
        with_classes(replace(coloured(), **changed), "kind")


def test_shares_are_checked():
    with pytest.raises(ValueError, match="less than 1 together"):
        with_classes(coloured(), "kind", (0.5, 0.5))


def test_an_experiment_names_the_classes_in_its_options(tmp_path):
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "train.txt").write_text("a\tr\tb\nb\tr\tc\n")
    (tmp_path / "toy.yaml").write_text(
        f"dataset: {folder}\ndataset_options: {{classes: kind}}\nscorer: DistMult\nsampler: AllEntities\n"
        "terms: {loss: {class_path: Ranking, init_args: {loss: CrossEntropy}}}\noptimizer: Adam\nsteps: 1\n"
    )
    with pytest.raises(DataError, match="has no text 'kind'"):
        load_dataset(read(tmp_path / "toy.yaml"))
    with pytest.raises(DataError, match="its texts: none"):
        load(str(folder), classes="kind")
