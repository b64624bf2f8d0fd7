"""Labels spread by dense matrices, and CLDR aligned without training."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize
from torch.testing import assert_close

from gnnkg.alignment.aligner import side_by_side, spelling
from gnnkg.alignment.label_propagation import LabelPropagation, narrowed, propagate_labels
from gnnkg.data.alignment import cldr_in_two_languages
from gnnkg.evaluation.alignment import csls, evaluate_alignment
from tests.random_data import random_graph


def test_spreading_by_dense_matrices():
    graph = random_graph(num_facts=25)
    edges = list(zip(*(column.tolist() for column in graph.edges), strict=True))
    count = [sum(r == relation for _, r, _ in edges) for relation in range(2 * graph.num_relations)]
    by_entity = torch.zeros(graph.num_entities, graph.num_entities)
    of_relation = torch.zeros(2 * graph.num_relations, graph.num_entities)
    for head, relation, tail in edges:
        by_entity[tail, head] += math.log(len(edges) / count[relation])
        of_relation[relation, tail] += 1
    values = torch.randn(graph.num_entities, 3)
    entity, relations = normalize(values, dim=1), torch.zeros(2 * graph.num_relations, 3)
    expected = [entity]
    for _ in range(2):
        told = by_entity @ entity + of_relation.T @ relations
        relations, entity = normalize(of_relation @ entity, dim=1), normalize(told, dim=1)
        expected.append(entity)
    assert_close(LabelPropagation(graph, 3, steps=2).spread(values), torch.cat(expected, 1))


def test_both_of_a_pair_are_the_same_direction():
    graph = random_graph(num_facts=25)
    propagation = LabelPropagation(graph, 16)
    vectors = propagation(torch.tensor([[0, 3], [1, 4]]))[:, :16]
    assert_close(vectors[0], vectors[3])
    assert_close(vectors.norm(dim=1)[[0, 1, 3, 4]], torch.ones(4))
    assert vectors[2].tolist() == [0.0] * 16
    assert abs(vectors[0] @ vectors[1]) < 0.8


def test_an_entity_in_two_pairs_is_like_both_partners():
    vectors = LabelPropagation(random_graph(num_facts=25), 64)(torch.tensor([[0, 3], [0, 4]]))[:, :64]
    assert vectors[0] @ vectors[3] > 0.5
    assert vectors[0] @ vectors[4] > 0.5


def hits(data, found, correct=csls) -> float:
    return evaluate_alignment(found.left, found.right, data.test, correct).metrics("both")["hits@1"]


def test_cldr_by_facts_and_by_names():
    data = cldr_in_two_languages(languages=20)
    once = propagate_labels(data, width=128)
    more = propagate_labels(data, width=128, rounds=4)
    names = side_by_side(data, [spelling("labels", 256)])
    named = propagate_labels(data, width=128, rounds=2, names=names)
    assert hits(data, more) > hits(data, once) > 0.2
    assert hits(data, named) > hits(data, more)
    assert hits(data, named) > 0.7
    alone = evaluate_alignment(names[data.is_left], names[~data.is_left], data.test, csls).metrics("both")["hits@1"]
    assert hits(data, named) > alone, "neighbours tell more than names do alone"
    taken = set(data.train[:, 0].tolist())
    assert len(more.believed)
    assert not taken & set(more.believed[:, 0].tolist())


def test_names_alone_are_seeds():
    data = cldr_in_two_languages(languages=20)
    names = side_by_side(data, [spelling("labels", 256)])
    unsupervised = replace(data, train=data.train[:0])
    assert hits(data, propagate_labels(unsupervised, width=64, rounds=2, names=names)) > 0.6
    with pytest.raises(ValueError, match="seeds or names"):
        propagate_labels(unsupervised)


def test_narrow_vectors_keep_their_cosines():
    wide = torch.randn(40, 3000)
    narrow = narrowed(wide + wide[:1], 800)
    before, after = (normalize(each, dim=1) @ normalize(each, dim=1).T for each in (wide + wide[:1], narrow))
    assert narrow.shape == (40, 800)
    assert (before - after).abs().max() < 0.15
    assert narrowed(wide, 3000) is wide


def test_believed_pairs_were_there_twice():
    data = cldr_in_two_languages(languages=20)
    counts: list[int] = []
    found = propagate_labels(data, width=64, rounds=3, report=lambda number, believed: counts.append(believed))
    assert len(counts) == 2
    assert len(found.believed) == counts[1]
    assert found.believed[:, 0].unique().numel() == len(found.believed)
