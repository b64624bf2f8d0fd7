"""Bags, names and spreading against values worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from gnnkg.alignment.features import Modality, attribute_bag, name_vectors, relation_bag
from gnnkg.alignment.propagation import hops, propagated
from gnnkg.graph import KnowledgeGraph

PATH = KnowledgeGraph(torch.tensor([[0, 0, 1], [1, 1, 2], [2, 1, 3]]), 5, 2)
"""0 - 1 - 2 - 3, and 4 alone"""


def test_a_relation_bag_counts_heads_and_tails_of_the_most_frequent():
    values, present = relation_bag(PATH, width=2)
    assert values.tolist() == [[0, 1], [1, 1], [2, 0], [1, 0], [0, 0]]  # relation 1 is the more frequent
    assert present.tolist() == [True] * 4 + [False]
    assert relation_bag(PATH, width=1).values.tolist() == [[0], [1], [2], [1], [0]]
    assert relation_bag(PATH, width=4).values.shape == (5, 4)


def test_an_attribute_bag_has_ones():
    values, present = attribute_bag(["a\tb\ta", None, "b", "c"], width=2)
    assert values.tolist() == [[1, 1], [0, 0], [1, 0], [0, 0]]  # b, then a, though c is as frequent
    assert present.tolist() == [True, False, True, True]


def test_names_that_are_spelled_alike_are_near():
    values, present = name_vectors(["Abdullah Gül", "Abdullah Gul", "Swiss Franc", None], width=256)
    assert present.tolist() == [True, True, True, False]
    assert not values[3].any()
    assert values.shape[1] <= 256
    cosine = values @ values.T
    assert_close(cosine.diagonal()[:3], torch.ones(3))
    assert cosine[0, 1] > 0.4
    assert abs(cosine[0, 2]) < 0.25
    again = name_vectors(["Abdullah Gül", "Abdullah Gul", "Swiss Franc", None], width=256)
    assert torch.equal(values, again.values)
    with pytest.raises(ValueError, match="no entity has a name"):
        name_vectors([None, " "])


def test_those_without_take_from_their_neighbours_and_the_others_keep_theirs():
    modality = Modality(torch.tensor([[1.0], [0.0], [0.0], [0.0], [0.0]]), torch.tensor([True] + [False] * 4))
    values, present = propagated(PATH, modality, steps=1)
    # 0 has 2 neighbours with itself, 1 and 2 have 3: 1 takes 1 / sqrt(2 * 3)
    assert_close(values.squeeze(1), torch.tensor([1.0, 6**-0.5, 0.0, 0.0, 0.0]))
    assert present.tolist() == [True, True, False, False, False]
    far = propagated(PATH, modality, steps=3)
    assert far.present.tolist() == [True] * 4 + [False]
    assert far.values[0].item() == 1.0
    everyone = propagated(PATH, modality, steps=1, keep=0.25, only_missing=False).values
    assert_close(everyone[0, 0], torch.tensor(0.25 + 0.75 / 2))
    assert torch.equal(propagated(PATH, modality, steps=0).values, modality.values)
    with pytest.raises(ValueError, match="in \\[0, 1\\]"):
        propagated(PATH, modality, keep=2.0)


def test_hops_stand_side_by_side():
    values = torch.eye(5)
    near = torch.eye(5)
    for head, _, tail in PATH.facts.tolist():
        near[head, tail] = near[tail, head] = 1
    root = near.sum(1).rsqrt().diag()
    expected = torch.nn.functional.normalize(root @ near @ root, dim=1)
    assert_close(hops(PATH, values, steps=1), torch.cat([values, expected], 1))
