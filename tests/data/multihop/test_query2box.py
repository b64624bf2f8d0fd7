"""The published queries, against the facts and against the published answers."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import pytest
import torch

from gnnkg.data import DataError, load
from gnnkg.data.cache import DatasetNotFound, search_path
from gnnkg.data.dataset import Dataset
from gnnkg.data.manifest import QuerySet, Source, manifest
from gnnkg.data.multihop import STRUCTURES, load_queries, query2box
from gnnkg.data.multihop.query import anchors, relations
from gnnkg.data.multihop.symbolic import answers, without
from gnnkg.data.plain_pickle import read_plain


@pytest.fixture(scope="module")
def fb() -> Dataset:
    return load("fb15k-237")


@pytest.mark.datasets
@pytest.mark.parametrize("split", ["valid", "test"])
def test_recomputing_answers_reproduces_the_published_hard_sets(split, fb):
    found = load_queries(fb, "q2b_fb15k-237", split, count=40, seed=1)
    assert list(found) == list(STRUCTURES)
    seen = fb.graph.seen.cpu()
    before = ("train",) if split == "valid" else ("train", "valid")
    facts = fb.facts(*before)
    easier = fb.tails_of(facts[seen[facts[:, 0]] & seen[facts[:, 2]]])  # the set has no entity that training never saw
    for structure, asked in found.items():
        assert len(asked) == 40
        for row in range(len(asked)):
            hard = without(asked.answers[row], answers(asked.queries[row], easier))
            assert torch.equal(hard, asked.hard[row]), (structure, row)


@pytest.mark.datasets
def test_all_answers_are_the_published_ones_where_there_are_any(fb):
    folder = next(path / "q2b_fb15k-237" for path in search_path() if (path / "q2b_fb15k-237").is_dir())
    names = read_plain(folder / "ind2ent.pkl")
    place = {name: i for i, name in names.items()}
    published = read_plain(next(folder.glob("test_ans_2u.pkl*")))
    asked = load_queries(fb, structures=["2u"], count=40)["2u"]
    own = {
        frozenset(place[fb.entities[anchor]] for anchor in anchors(query)): every.tolist()
        for query, every in zip(asked.queries, asked.answers, strict=True)
    }
    found = [query for query in published if frozenset(anchor for anchor, _ in query) in own]
    right = [
        {names[i] for i in published[query]} == {fb.entities[i] for i in own[frozenset(anchor for anchor, _ in query)]}
        for query in found
    ]
    assert sum(right) >= 40  # other queries may have the same two anchors


@pytest.mark.datasets
def test_an_odd_relation_is_backwards(fb):
    """Of a published 1p query, every easy answer is a training fact that is read the right way round."""
    asked = load_queries(fb, split="valid", structures=["1p"], count=200)["1p"]
    r = fb.graph.num_relations
    backwards = [row for row in range(len(asked)) if relations(asked.queries[row])[0] >= r]
    assert 0.3 < len(backwards) / len(asked) < 0.7
    (head,), (relation,) = anchors(asked.queries[backwards[0]]), relations(asked.queries[backwards[0]])
    facts = {tuple(fact) for fact in fb.facts("train", "valid").tolist()}
    assert all((tail, relation - r, head) in facts for tail in asked.hard[backwards[0]].tolist())


def test_a_small_set_in_the_published_form(dataset, tmp_path, monkeypatch):
    """Written by hand: entity 2k is "e" + str(2k) there too; relation 1 is relation 0 backwards."""
    import hashlib

    ids = {i: dataset.entities[-1 - i] for i in range(len(dataset.entities))}
    files: dict[str, Any] = {
        "entities": ids,
        "relations": {0: dataset.relations[1], 1: dataset.relations[1] + "_reverse"},
    }
    head, _, tail = next(fact for fact in dataset.test.tolist() if fact[1] == 1)
    of = {name: i for i, name in ids.items()}
    files["test/1p"] = {((of[dataset.entities[tail]], (1,)),): {of[dataset.entities[head]]}}
    sources = {}
    for role, value in files.items():
        path = tmp_path / f"{role.replace('/', '_')}.pkl"
        path.write_bytes(pickle.dumps(value))
        sources[role] = Source(path.name, hashlib.sha256(path.read_bytes()).hexdigest())
    known = QuerySet("small", "Small", "nowhere", sources)
    about = replace(manifest("nations"), queries=(known,))  # type: ignore[type-var]  # nations has a manifest
    monkeypatch.setattr(query2box, "manifest", lambda name: about)
    asked = load_queries(dataset, "small", structures=["1p"], root=tmp_path)["1p"]
    assert (anchors(asked.queries[0]), relations(asked.queries[0])) == ([tail], [1 + dataset.graph.num_relations])
    assert asked.hard[0].tolist() == [head]
    assert head in asked.answers[0].tolist()
    with pytest.raises(DataError, match=r"no query set 'other' is known for .*: there are small"):
        load_queries(dataset, "other")
    with pytest.raises(ValueError, match="published for valid and test, not for 'train'"):
        load_queries(dataset, "small", "train")
    with pytest.raises(DatasetNotFound, match="query set small was not found"):
        load_queries(dataset, "small", root=tmp_path / "elsewhere")
    other = replace(dataset, entities=tuple(f"other {name}" for name in dataset.entities))
    with pytest.raises(DataError, match=r"entities of the query set are not in the data set, e\.g\."):
        load_queries(other, "small", structures=["1p"], root=tmp_path)


def test_a_data_set_without_published_queries_says_so(dataset):
    with pytest.raises(
        DataError, match=r"no query set is known for .*: there is none\. gnnkg.data.multihop.sample_queries"
    ):
        load_queries(dataset)
