from __future__ import annotations

import pytest
import torch

from gnnkg.config import ConfigError
from gnnkg.data.hidden import hide_facts
from gnnkg.data.load import load
from gnnkg.experiment import load_dataset, read
from tests.random_data import random_dataset


def as_set(facts: torch.Tensor) -> set[tuple[int, ...]]:
    return {tuple(fact) for fact in facts.tolist()}


def test_hidden_facts_are_in_no_split_and_in_the_filter_of_tests_alone():
    whole = random_dataset(15, 3, 200)
    dataset = hide_facts(whole, 0.2)
    assert 0 < len(dataset.hidden) <= 0.2 * len(whole.graph.facts)
    assert as_set(dataset.hidden) | as_set(dataset.graph.facts) == as_set(whole.graph.facts)
    assert not as_set(dataset.hidden) & as_set(dataset.facts())
    head, relation, tail = dataset.hidden.unbind(1)
    assert not dataset.known().holds(head, relation, tail).any()
    assert whole.truths == ("train", "valid", "test")
    assert dataset.truths == ("train", "valid", "test", "hidden")
    assert dataset.known(*dataset.truths).holds(head, relation, tail).all()
    assert torch.equal(dataset.valid, whole.valid)
    assert torch.equal(dataset.test, whole.test)
    assert dataset.data_hash != whole.data_hash
    assert dataset.graph.seen.equal(whole.graph.seen)
    assert dataset.report.notes[-1].startswith(f"hidden: {len(dataset.hidden)} facts")


def test_the_choice_depends_on_the_seed_alone():
    one, again, other = (hide_facts(random_dataset(15, 3, 200), 0.2, seed).hidden for seed in (0, 0, 1))
    assert as_set(one) == as_set(again) != as_set(other)


@pytest.mark.parametrize("share", [1.0, -0.1])
def test_a_share_is_checked(share):
    with pytest.raises(ValueError, match="hide is a share of the training facts"):
        hide_facts(random_dataset(), share)


def test_any_data_set_can_be_loaded_with_facts_hidden():
    assert len(load("cldr").hidden) == 0
    assert len(load("cldr", hide=0.1).hidden) > 100


def test_an_experiment_says_it_in_its_options():
    file = "gnnkg/quickstart/plain.yaml"
    hidden = load_dataset(read(file, {"dataset_options.hide": 0.1})).hidden
    assert torch.equal(hidden, load("cldr", hide=0.1).hidden)
    with pytest.raises(ConfigError, match=r"dataset_options\.hide: expected float"):
        load_dataset(read(file, {"dataset_options.hide": "much"}))
    with pytest.raises(ConfigError, match=r"dataset_options\.hide_seed: it draws what"):
        load_dataset(read(file, {"dataset_options.hide_seed": 3}))


def test_hidden_facts_follow_relation_ids_and_devices():
    dataset = hide_facts(random_dataset(15, 3, 200), 0.2)
    assert torch.equal(dataset.to("cpu").hidden, dataset.hidden)
    assert torch.equal(dataset.for_model_of(dataset).hidden, dataset.hidden)
