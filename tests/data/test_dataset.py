from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gnnkg.data.dataset import Dataset, Feature
from gnnkg.graph import KnowledgeGraph

TRAIN = torch.tensor([[0, 0, 1], [1, 1, 2]])
VALID = torch.tensor([[2, 0, 3]])
TEST = torch.tensor([[0, 1, 3], [3, 1, 0], [1, 0, 0]])


def toy(train: torch.Tensor = TRAIN, valid: torch.Tensor = VALID, test: torch.Tensor = TEST, **changes) -> Dataset:
    given = {"name": "toy", "entities": ("a", "b", "c", "d"), "relations": ("r", "s")} | changes
    return Dataset(graph=KnowledgeGraph(train, 4, 2), valid=valid, test=test, **given)


def test_the_graph_holds_training_facts_only():
    dataset = toy()
    assert dataset.graph.facts.tolist() == TRAIN.tolist()
    assert dataset.facts("train").tolist() == TRAIN.tolist()
    assert dataset.facts("test", "valid").tolist() == TEST.tolist() + VALID.tolist()
    assert len(dataset.facts()) == 6
    with pytest.raises(ValueError, match="a split is one of train, valid, test, not 'dev'"):
        dataset.facts("dev")


def test_a_graph_shows_further_splits_where_they_are_asked_for():
    dataset = toy()
    assert dataset.graph_with() is dataset.graph
    assert dataset.graph_with("train") is dataset.graph
    assert dataset.graph_with("valid").facts.tolist() == TRAIN.tolist() + VALID.tolist()
    assert len(dataset.graph_with("train", "valid", "test").facts) == 6


def test_known_tails_are_those_of_the_splits_and_cached():
    dataset = toy()
    head, relation, tail = VALID.unbind(1)
    assert dataset.known("train", "valid").holds(head, relation, tail).all()
    assert not dataset.known("train").holds(head, relation, tail).any()
    assert dataset.known("train", "valid") is dataset.known("valid", "train")
    assert dataset.known() is dataset.known("train", "valid", "test")
    with pytest.raises(ValueError, match="'dev'"):
        dataset.known("train", "dev")


def test_the_hash_knows_vocabulary_and_splits_but_not_the_order_of_facts():
    own = toy().data_hash
    assert toy(train=TRAIN.flip(0), test=TEST[[1, 2, 0]]).data_hash == own
    assert toy(name="other", entity_labels=("A", "B", "C", "D"), source="elsewhere").data_hash == own
    assert toy(entities=("a", "b", "c", "e")).data_hash != own
    assert toy(relations=("r", "q")).data_hash != own
    assert toy(train=TRAIN.flip(1)).data_hash != own
    assert toy(valid=TEST, test=VALID).data_hash != own
    assert toy(entities=("ab", "", "c", "d")).data_hash != own


def test_labels_are_the_identifiers_where_none_are_given():
    assert toy().entity_labels == ("a", "b", "c", "d")
    assert toy().relation_labels == ("r", "s")
    labelled = toy(entity_labels=("Anna", "Ben", "Cleo", "Dan"), relation_labels=("knows", "sees"))
    assert labelled.in_words(VALID) == [("Cleo", "knows", "Dan")]
    assert labelled.in_words(torch.tensor([[3, 2, 2]])) == [("Dan", "(inverse of) knows", "Cleo")]
    assert labelled.entity_id("ben") == labelled.entity_id("b") == 1
    assert labelled.relation_id("sees") == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"entities": ("a", "b")}, "entities must have 4 rows, one an id, not 2"),
        ({"relation_labels": ("r",)}, "relation_labels must have 2 rows"),
        ({"texts": {"gloss": ("x",)}}, r"texts\['gloss'\] must have 4 rows"),
        (
            {"features": {"n": Feature(torch.zeros(3, 1), torch.zeros(3, 1) > 0, ("x",))}},
            r"features\['n'\] must have 4",
        ),
        ({"test": torch.tensor([[0, 0, 4]])}, "tail ids must lie in"),
        ({"valid": torch.tensor([[0, 2, 1]])}, "relation ids must lie in"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        toy(**changes)


def test_a_feature_names_each_of_its_columns():
    with pytest.raises(ValueError, match="2 columns needs as many names, not 1"):
        Feature(torch.zeros(3, 2), torch.zeros(3, 2) > 0, ("height",))


@pytest.mark.gpu
def test_a_data_set_moves_as_a_whole():
    feature = Feature(torch.ones(4, 1), torch.ones(4, 1) > 0, ("x",))
    moved = replace(toy(), features={"n": feature}).to("cuda")
    tensors = (moved.graph.facts, moved.valid, moved.test, moved.features["n"].values, moved.features["n"].present)
    assert {tensor.device.type for tensor in tensors} == {"cuda"}
