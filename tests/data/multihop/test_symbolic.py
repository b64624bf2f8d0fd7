"""Answers by set algebra against the definition, and against what was worked out by hand."""

from __future__ import annotations

import pytest
import torch

from gnnkg.data.multihop.query import Anchor, Hop, Intersection, Query, Union
from gnnkg.data.multihop.structures import STRUCTURES
from gnnkg.data.multihop.symbolic import answers, without
from gnnkg.graph import KnownTails

# borders (0): 0-1, 0-2; speaks (1): 0 -> 3, 1 -> 3, 1 -> 4, 2 -> 4
FACTS = torch.tensor([[0, 0, 1], [0, 0, 2], [0, 1, 3], [1, 1, 3], [1, 1, 4], [2, 1, 4]])
SPEAKS, BORDERS, BACK = 1, 0, 2
BY_HAND: list[tuple[Query, list[int]]] = [
    (Anchor(2), [2]),
    (Hop(Anchor(0), BORDERS), [1, 2]),
    (Hop(Hop(Anchor(0), BORDERS), SPEAKS), [3, 4]),
    (Hop(Hop(Hop(Anchor(0), BORDERS), SPEAKS), SPEAKS + BACK), [0, 1, 2]),
    (Hop(Anchor(3), SPEAKS + BACK), [0, 1]),
    (Intersection((Hop(Anchor(3), SPEAKS + BACK), Hop(Anchor(4), SPEAKS + BACK))), [1]),
    (Union((Hop(Anchor(0), SPEAKS), Hop(Anchor(2), SPEAKS))), [3, 4]),
    (Hop(Anchor(4), SPEAKS), []),
    (Hop(Hop(Anchor(4), SPEAKS), BORDERS), []),
]


@pytest.mark.parametrize(("query", "expected"), BY_HAND)
def test_by_hand(query, expected):
    assert answers(query, KnownTails(FACTS, 5, 2)).tolist() == expected


def by_definition(query: Query, facts: set[tuple[int, int, int]], num_entities: int) -> set[int]:
    """Entity by entity."""
    if isinstance(query, Anchor):
        return {query.entity}
    if isinstance(query, Hop):
        below = by_definition(query.source, facts, num_entities)
        return {t for t in range(num_entities) if any((s, query.relation, t) in facts for s in below)}
    parts = [by_definition(part, facts, num_entities) for part in query.parts]
    return set.union(*parts) if isinstance(query, Union) else set.intersection(*parts)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_by_definition(structure, dataset):
    from gnnkg.data.multihop.query import mapped

    n, r = dataset.graph.num_entities, dataset.graph.num_relations
    facts = {(h, rel, t) for h, rel, t in dataset.facts().tolist()}
    facts |= {(t, rel + r, h) for h, rel, t in facts}
    draw = torch.Generator().manual_seed(5)
    for _ in range(20):
        query = mapped(
            STRUCTURES[structure],
            lambda _: int(torch.randint(n, (), generator=draw)),
            lambda _: int(torch.randint(2 * r, (), generator=draw)),
        )
        assert answers(query, dataset.known()).tolist() == sorted(by_definition(query, facts, n))


def test_without():
    assert without(torch.tensor([1, 3, 5]), torch.tensor([3, 4])).tolist() == [1, 5]
