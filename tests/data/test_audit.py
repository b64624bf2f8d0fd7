"""Relation categories, twins among relations, and the audit that is made of them."""

from __future__ import annotations

import io
import json
from collections import defaultdict

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from gnnkg.data.audit import audit
from gnnkg.data.categories import fan_out, relation_categories
from gnnkg.data.dataset import Dataset
from gnnkg.data.load import load
from gnnkg.data.split import split_facts
from gnnkg.data.twins import answered_by, duplicates, inverses
from gnnkg.graph import KnowledgeGraph, KnownTails

N, R = 6, 4
facts = st.lists(st.tuples(st.integers(0, N - 1), st.integers(0, R - 1), st.integers(0, N - 1)), max_size=40)


def tensor(rows: list[tuple[int, int, int]]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.int64).reshape(-1, 3)


def dataset_of(
    train: list, valid: list = (), test: list = (), num_entities: int = N, num_relations: int = R
) -> Dataset:
    return Dataset(
        name="toy",
        graph=KnowledgeGraph(tensor(list(train)), num_entities, num_relations),
        valid=tensor(list(valid)),
        test=tensor(list(test)),
        entities=tuple(f"e{i}" for i in range(num_entities)),
        relations=tuple(f"r{i}" for i in range(num_relations)),
    )


def test_categories_count_tails_a_head_and_heads_a_tail():
    one = [(0, 0, 1), (2, 0, 3)]
    fans = [(0, 1, 1), (0, 1, 2), (3, 1, 4)]
    gathers = [(h, 2, t) for h, _, t in [(1, 0, 0), (2, 0, 0), (4, 0, 3)]]
    many = [(0, 3, 1), (0, 3, 2), (1, 3, 2), (1, 3, 1)]
    every = tensor(one + fans + gathers + many)
    assert relation_categories(every, 5) == ["1-1", "1-N", "N-1", "N-N", "none"]
    assert relation_categories(tensor([]), 2) == ["none", "none"]


@given(facts)
def test_fan_out_is_that_of_distinct_facts(rows):
    tails_per_head, heads_per_tail = fan_out(tensor(rows), R)
    for relation in range(R):
        pairs = {(h, t) for h, r, t in rows if r == relation}
        heads, tails = {h for h, _ in pairs}, {t for _, t in pairs}
        assert tails_per_head[relation].item() == pytest.approx(len(pairs) / len(heads) if heads else 0)
        assert heads_per_tail[relation].item() == pytest.approx(len(pairs) / len(tails) if tails else 0)


@given(facts, st.sampled_from([0.3, 0.5, 0.8, 1.0]))
def test_twins_share_their_pairs(rows, threshold):
    joins = defaultdict(set)
    for h, r, t in rows:
        joins[r].add((h, t))
    doubled, mirrored = {}, {}
    for first in joins:
        for second in joins:
            most = max(len(joins[first]), len(joins[second]))
            if first < second and len(joins[first] & joins[second]) >= threshold * most:
                doubled[first, second] = len(joins[first] & joins[second]) / most
            backwards = {(t, h) for h, t in joins[second]}
            if first <= second and len(joins[first] & backwards) >= threshold * most:
                mirrored[first, second] = len(joins[first] & backwards) / most
    share = {(twins.first, twins.second): twins.share for twins in duplicates(tensor(rows), N, R, threshold)}
    assert share == pytest.approx({pair: value for pair, value in doubled.items() if value})
    share = {(twins.first, twins.second): twins.share for twins in inverses(tensor(rows), N, R, threshold)}
    assert share == pytest.approx({pair: value for pair, value in mirrored.items() if value})


@given(facts, facts)
def test_a_fact_is_answered_by_a_known_fact_of_a_twin(rows, asked):
    known = KnownTails(tensor(rows), N, R)
    every = tensor(rows + asked)
    for backwards, twins in ((False, duplicates(every, N, R, 0.3)), (True, inverses(every, N, R, 0.3))):
        partners = {(a, b) for twin in twins for a, b in ((twin.first, twin.second), (twin.second, twin.first))}
        expected = [
            any(
                (r, other) in partners and ((t, other, h) if backwards else (h, other, t)) in rows for other in range(R)
            )
            for h, r, t in asked
        ]
        assert answered_by(tensor(asked), known, twins, backwards).tolist() == expected


def test_shared_facts_are_a_leak():
    found = audit(dataset_of([(0, 0, 1), (1, 1, 2)], valid=[(0, 0, 1), (2, 0, 3)], test=[(2, 0, 3), (4, 1, 5)]))
    assert found.splits["valid"].shared == {"train": 1, "test": 1}
    assert found.splits["train"].shared == {"valid": 1, "test": 0}
    assert [found.splits[name].clean for name in ("train", "valid", "test")] == [1, 0, 1]
    assert found.leaks
    assert found.leak_reasons == (
        "1 of the 2 facts of valid stand in train too",
        "1 of the 2 facts of test stand in valid too",
    )


def test_inverse_and_duplicate_relations_are_a_leak_and_symmetry_is_not():
    pairs = [(i, i + 1) for i in range(0, 18, 2)]
    base = [(h, 0, t) for h, t in pairs]
    held = (18, 19)
    inverse = audit(
        dataset_of([*base, *((t, 1, h) for h, t in pairs), (19, 1, 18)], test=[(18, 0, 19)], num_entities=20)
    )
    assert inverse.splits["test"].by_inverse == 1
    assert [(twin.first, twin.second, twin.share) for twin in inverse.inverse_relations] == [("r0", "r1", 1.0)]
    assert inverse.leak_reasons == ("1 facts of test (100.0%) are answered by an inverse relation in train",)
    copy = audit(dataset_of([*base, *((h, 1, t) for h, t in pairs), (18, 1, 19)], test=[(18, 0, 19)], num_entities=20))
    assert copy.splits["test"].by_duplicate == 1
    assert copy.leaks
    both = [(h, 0, t) for h, t in pairs] + [(t, 0, h) for h, t in pairs]
    symmetric = audit(dataset_of([*both, (held[1], 0, held[0])], test=[(held[0], 0, held[1])], num_entities=20))
    assert symmetric.splits["test"].by_symmetry == 1
    assert not symmetric.leaks


def test_unseen_entities_and_relations_are_counted_with_their_facts():
    found = audit(dataset_of([(0, 0, 1), (1, 1, 2)], test=[(0, 0, 5), (5, 1, 4), (0, 3, 1), (0, 0, 2)]))
    test = found.splits["test"]
    assert (test.unseen_entities, test.unseen_relations) == (2, 1)
    assert (test.unseen_entity_facts, test.unseen_facts) == (2, 3)
    assert found.categories["1-1"] == {"relations": 2, "train": 2, "valid": 0, "test": 3}
    assert found.categories["none"] == {"relations": 2, "train": 0, "valid": 0, "test": 1}


def test_degrees_are_those_of_train():
    found = audit(dataset_of([(0, 0, t) for t in range(1, 5)] + [(1, 1, 1)], test=[(5, 0, 0)]))
    assert found.degrees.histogram == {"0": 1, "1": 3, "2-3": 1, "4-7": 1}
    assert (found.degrees.minimum, found.degrees.maximum, found.degrees.mean) == (0, 4, 10 / 6)


def test_an_audit_speaks_json_and_tables():
    found = audit(dataset_of([(0, 0, 1), (1, 0, 0)], valid=[(0, 0, 1)]))
    told = json.loads(found.to_json())
    assert told["splits"]["valid"]["shared"] == {"train": 1}
    assert told["leaks"] is True
    assert told["num_entities"] == N
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(found.render())
    text = console.export_text()
    assert "leak: 1 of the 1 facts of valid stand in train too" in text
    assert "Symmetric relations (1)" in text
    console.print(audit(dataset_of([(0, 0, 1)])).render())
    assert "no leak found" in console.export_text()


def test_a_split_by_pairs_never_leaks():
    draw = torch.Generator().manual_seed(0)
    rows = torch.randint(0, 30, (400, 3), generator=draw)
    rows[:, 1] %= 2
    rows = torch.cat([rows, rows.flip(1)])
    rows = torch.unique(torch.cat([rows, rows + torch.tensor([0, 2, 0])]), dim=0)
    train, valid, test = split_facts(rows, 30, 4, (0.8, 0.1, 0.1), seed=0)
    found = audit(dataset_of(train.tolist(), valid.tolist(), test.tolist(), 30))
    assert found.duplicate_relations
    assert len(found.inverse_relations) == 2
    assert found.splits["valid"].facts > 50
    assert not found.leaks


@pytest.mark.datasets
def test_the_audit_finds_what_is_wrong_with_db15k():
    with pytest.warns(UserWarning, match="6,584 of valid, 824 of test"):
        found = audit(load("db15k", published_split=True))
    valid = found.splits["valid"]
    assert (valid.lines, valid.facts, valid.clean) == (9904, 7481, 73)
    assert valid.shared == {"train": 6584, "test": 824}
    assert found.splits["test"].shared["train"] == 0
    assert found.splits["test"].unseen_entity_facts == 77
    assert "6,584 of the 7,481 facts of valid stand in train too" in found.leak_reasons


@pytest.mark.datasets
@pytest.mark.parametrize(
    ("name", "isolated", "valid", "test"),
    [("wn18rr", 384, (198, 210), (209, 210)), ("fb15k-237", 36, (8, 9), (29, 28))],
)
def test_unseen_entities_of_published_data_sets(name, isolated, valid, test):
    found = audit(load(name))
    assert found.degrees.histogram["0"] == isolated
    for split, counts in (("valid", valid), ("test", test)):
        assert (found.splits[split].unseen_entities, found.splits[split].unseen_facts) == counts
    assert not found.leaks
