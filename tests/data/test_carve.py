from __future__ import annotations

from dataclasses import replace

import torch

from gnnkg.data.carve import carve_validation
from gnnkg.graph import KnowledgeGraph
from tests.random_data import random_dataset


def test_validation_comes_out_of_train_and_replaces_the_one_there_was():
    before = random_dataset(num_entities=40, num_facts=400)
    after = carve_validation(before, 0.1, seed=3, reason="the old one is broken")
    assert 0 < len(after.valid) <= 0.1 * len(before.graph.facts) + 1
    together = sorted(map(tuple, after.facts("train", "valid").tolist()))
    assert together == sorted(map(tuple, before.graph.facts.tolist()))
    assert torch.equal(after.test, before.test)
    assert after.graph.seen[after.valid[:, [0, 2]]].all()
    assert after.report.notes[-1].endswith("facts carved out of train (share 0.1, seed 3); the old one is broken")


def test_it_depends_on_the_facts_and_the_seed_alone():
    dataset = random_dataset(num_entities=40, num_facts=400)
    graph = KnowledgeGraph(dataset.graph.facts.flip(0), 40, 3)
    again = carve_validation(replace(dataset, graph=graph), 0.1, seed=3)
    assert again.data_hash == carve_validation(dataset, 0.1, seed=3).data_hash
    assert again.data_hash != carve_validation(dataset, 0.1, seed=4).data_hash
