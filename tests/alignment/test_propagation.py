"""Spreading against values worked out by hand."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch.testing import assert_close

from gnnkg.alignment.propagation import Propagated
from gnnkg.annotations import Feature
from gnnkg.core import MakeFeature, ReadFeature
from gnnkg.encoders.gcn import spread
from gnnkg.encoders.neighbours import neighbours
from gnnkg.graph import KnowledgeGraph
from gnnkg.parts import PLACES, expand

PATH = KnowledgeGraph(torch.tensor([[0, 0, 1], [1, 1, 2], [2, 1, 3]]), 5, 2)
"""0 - 1 - 2 - 3, and 4 alone"""


@dataclass(frozen=True)
class OfTheFirst:
    """1 of entity 0, and nothing of the others, whatever stands in their rows."""

    rest: float = 0.0

    def __call__(self, graph: KnowledgeGraph) -> ReadFeature:
        values, present = torch.full((5, 1), self.rest), torch.zeros(5, 1, dtype=torch.bool)
        values[0], present[0] = 1.0, True
        return lambda graph: Feature(values, present, ("one",))


def found(rest: float = 0.0, **settings) -> Feature:
    return Propagated(OfTheFirst(rest), **settings)(PATH)(PATH)


def test_those_without_take_from_their_neighbours_and_the_others_keep_theirs():
    once = found(steps=1)
    # 0 has 2 neighbours with itself, 1 and 2 have 3: 1 takes 1 / sqrt(2 * 3)
    assert_close(once.values.squeeze(1), torch.tensor([1.0, 6**-0.5, 0.0, 0.0, 0.0]))
    assert once.has.tolist() == [True, True, False, False, False]
    far = found(steps=3)
    assert far.has.tolist() == [True] * 4 + [False]
    assert far.values[0].item() == 1.0
    assert torch.equal(found(rest=torch.nan, steps=3).values, far.values)
    everyone = found(steps=1, keep=0.25, only_missing=False).values
    assert_close(everyone[0, 0], torch.tensor(0.25 + 0.75 / 2))
    assert found(steps=0).values.squeeze(1).tolist() == [1, 0, 0, 0, 0]
    with pytest.raises(ValueError, match="in \\[0, 1\\]"):
        found(keep=2.0)


@dataclass(frozen=True)
class OfBothEnds:
    """1 of entity 0 and -1 of entity 2, between which they cancel out."""

    def __call__(self, graph: KnowledgeGraph) -> ReadFeature:
        values = torch.tensor([[1.0], [0.0], [-1.0]])
        return lambda graph: Feature(values, values != 0, ("one",))


def test_what_cancels_out_is_there():
    path = KnowledgeGraph(torch.tensor([[0, 0, 1], [1, 0, 2]]), 3, 1)
    between = Propagated(OfBothEnds(), steps=1)(path)(path)
    assert between.values[1].item() == 0
    assert between.has.tolist() == [True, True, True]


def test_parts_know_it_by_its_name():
    assert PLACES[MakeFeature].classes()["Propagated"] is Propagated
    part = {"class_path": "Propagated", "init_args": {"feature": "RelationBag"}}
    assert expand(part, MakeFeature, "feature")["class_path"] == "gnnkg.alignment.propagation.Propagated"


def test_a_step_is_the_normalised_adjacency_with_loops():
    near = torch.eye(5)
    for head, _, tail in PATH.facts.tolist():
        near[head, tail] = near[tail, head] = 1
    root = near.sum(1).rsqrt().diag()
    assert_close(spread(torch.eye(5), neighbours(PATH.messages.of_layer(0))), root @ near @ root)
