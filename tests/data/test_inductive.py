"""Two data sets of one relation vocabulary: a model of the first is asked about the second."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gnnkg.data.dataset import Dataset
from gnnkg.data.load import load
from gnnkg.data.manifest import manifest, manifest_names
from gnnkg.graph import KnowledgeGraph, Vocabulary

PAIRS = [name for name in manifest_names() if f"{name}_ind" in manifest_names()]


def toy(name: str, relations: tuple[str, ...], facts: list[tuple[int, str, int]], **changes) -> Dataset:
    """Four entities; the last two facts are held out."""
    rows = torch.tensor([(h, relations.index(r), t) for h, r, t in facts])
    graph = KnowledgeGraph(rows[:-2], 4, len(relations))
    entities = tuple(f"{name} {i}" for i in range(4))
    return Dataset(name, graph, rows[-2:-1], rows[-1:], entities, relations, **changes)


TRAINED = toy(
    "one", ("p", "q", "r"), [(0, "p", 1), (1, "q", 2), (2, "r", 3), (0, "q", 3)], relation_labels=("P", "Q", "R")
)
OTHER = toy("two", ("r", "p"), [(0, "p", 1), (3, "r", 0), (1, "p", 2), (2, "r", 1)])


def named(dataset: Dataset) -> list[tuple[str, str, str]]:
    entities, relations = dataset.entities, dataset.relations
    return [(entities[h], relations[r], entities[t]) for h, r, t in dataset.facts().tolist()]


def test_relations_get_the_ids_of_the_model_and_facts_stay_what_they_say():
    asked = OTHER.for_model_of(TRAINED)
    assert asked.relations == TRAINED.relations
    assert asked.relation_labels == ("P", "Q", "R")
    assert asked.relation_id("r") == TRAINED.relation_id("r") == 2
    assert named(asked) == named(OTHER)
    assert asked.graph.num_relations == 3
    assert asked.entities == OTHER.entities
    assert [len(asked.facts(split)) for split in ("train", "valid", "test")] == [2, 1, 1]
    assert OTHER.relations == ("r", "p")  # the data set itself is as it was


def test_a_relation_that_the_model_never_saw_is_refused():
    with pytest.raises(ValueError, match=r"one has relations that two has not.*: q \(1 in all\)"):
        TRAINED.for_model_of(OTHER)


def test_the_hash_covers_both():
    asked = OTHER.for_model_of(TRAINED)
    assert asked.data_hash not in (OTHER.data_hash, TRAINED.data_hash)
    assert asked.data_hash == OTHER.for_model_of(replace(TRAINED, name="renamed")).data_hash
    assert asked.data_hash != OTHER.for_model_of(replace(TRAINED, valid=TRAINED.test)).data_hash
    assert asked.data_hash != replace(OTHER, test=OTHER.valid).for_model_of(TRAINED).data_hash
    assert asked.to("cpu").data_hash == asked.data_hash


def test_a_graph_knows_what_its_ids_stand_for():
    own = Vocabulary(TRAINED.entities, TRAINED.relations)
    graph = TRAINED.graph
    for same in (
        graph,
        graph.without(*graph.facts[:1].unbind(1)),
        TRAINED.graph_with("valid"),
        TRAINED.to("cpu").graph,
    ):
        assert same.vocabulary == own
    assert graph.subgraph(torch.tensor([3, 1]))[0].vocabulary == Vocabulary(("one 1", "one 3"), own.relations)
    assert replace(TRAINED, entities=tuple("abcd")).graph.vocabulary == Vocabulary(tuple("abcd"), own.relations)
    assert graph.vocabulary == own  # naming a graph anew leaves the first as it was
    plain = KnowledgeGraph(graph.facts, 4, 3)
    assert plain.vocabulary is None
    assert plain.named(own).without(*graph.facts[:1].unbind(1)).facts.tolist() == graph.facts[1:].tolist()


@pytest.mark.datasets
@pytest.mark.parametrize("name", PAIRS)
def test_the_pairs_of_grail_have_one_relation_vocabulary(name):
    """Each second graph has relations of the first only; 8 entities are shared by the two of WN18RR v3, none by others."""
    assert len(PAIRS) == 8
    known = manifest(name)
    assert known is not None
    assert known.pairs_with == known.new_entities == f"{name}_ind"
    trained, other = load(name), load(known.pairs_with)
    asked = other.for_model_of(trained)
    assert asked.relations == trained.relations
    for relation in other.relations:
        assert (
            asked.relations[asked.relation_id(relation)] == relation == trained.relations[asked.relation_id(relation)]
        )
    assert named(asked) == named(other)
    assert torch.isin(asked.facts()[:, 1], trained.graph.facts[:, 1]).all()
    shared = set(trained.entities) & set(asked.entities)
    assert len(shared) == (8 if name == "grail/WN18RR_v3" else 0)
