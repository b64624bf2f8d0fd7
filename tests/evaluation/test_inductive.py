"""A model is asked about a graph of entities that it never saw."""

from __future__ import annotations

import pytest
import torch

from gnnkg.core import Encoder, Model, Space
from gnnkg.data.dataset import Dataset
from gnnkg.data.files import from_files
from gnnkg.encoders import Table
from gnnkg.evaluation import evaluate, predict
from gnnkg.evaluation.export import export
from gnnkg.evaluation.metrics import hits_of_sample
from gnnkg.evaluation.ranks import rank_facts
from gnnkg.graph import KnowledgeGraph
from gnnkg.scorers import DistMult
from tests.inductive import ByRelations, ring


@pytest.fixture
def pair(tmp_path) -> tuple[Dataset, Dataset]:
    """Two rings of as many people and relations."""
    datasets = []
    for name in ("left", "right"):
        lines = ring(name, 12, ("next", "after"))
        for split, part in (("train", lines[:16]), ("valid", lines[16:20]), ("test", lines[20:])):
            (tmp_path / f"{name}-{split}.txt").write_text("".join(part))
        paths = [tmp_path / f"{name}-{split}.txt" for split in ("train", "valid", "test")]
        datasets.append(from_files(*paths, name=name))
    return datasets[0], datasets[1]


def model_of(encoder: type[Encoder], dataset: Dataset) -> Model:
    scorer = DistMult(dim=6)
    return Model(encoder(dataset.graph, scorer.space), scorer)  # type: ignore[call-arg]


def test_all_entities_of_the_other_graph_are_ranked_on_its_own_facts(pair):
    trained, other = pair
    model, asked = model_of(ByRelations, trained), other.for_model_of(trained)
    found = evaluate(model, asked)
    ranks = rank_facts(model, asked.graph, asked.test, asked.known())
    assert (found.dataset, found.split, found.num_facts) == ("right", "test", 4)
    assert found.data_hash == asked.data_hash
    assert found.metrics["mrr"] == pytest.approx((1 / ranks.ranks()).mean().item())
    expected = hits_of_sample(ranks.ranks(), ranks.candidates).mean().item()
    assert found.metrics["hits@10_50"] == pytest.approx(expected)
    assert set(found.intervals) == set(found.metrics)
    assert "50 candidates drawn" in found.protocol.sampled
    assert "Hits@10 of 50: 50 candidates drawn uniformly with replacement" in str(found.protocol)


def test_sampled_hits_are_measured_where_they_are_asked_for(pair):
    trained, other = pair
    model = model_of(ByRelations, trained)
    assert "hits@10_50" not in evaluate(model, trained).metrics
    assert "hits@10_50" in evaluate(model, trained, sampled=True).metrics
    assert "hits@10_50" not in evaluate(model, other.for_model_of(trained), sampled=False).metrics


def test_new_entities_are_asked_about_by_name(pair):
    trained, other = pair
    asked = other.for_model_of(trained)
    answers = predict(model_of(ByRelations, trained), asked, head="right 0", relation="next", top=12)
    assert {answer.label for answer in answers} == set(asked.entities)
    assert {answer.label: answer.known for answer in answers}["right 1"] == "train"


def test_free_vectors_are_never_taken_for_those_of_other_entities(pair, tmp_path):
    """Both graphs have as many entities and relations."""
    trained, other = pair
    model, asked = model_of(Table, trained), other.for_model_of(trained)
    message = r"Table has a vector of its own .*12 entities \(left 0, left 1, .*right 0.*inductive encoder.*NBFNet"
    for use in (
        lambda: evaluate(model, asked),
        lambda: predict(model, asked, head="right 0", relation="next"),
        lambda: export(model, asked, tmp_path),
        lambda: model(asked.graph, torch.tensor([0]), torch.tensor([0])),
    ):
        with pytest.raises(ValueError, match=message):
            use()
    assert evaluate(model, trained).num_facts == 4


def test_relation_ids_of_another_data_set_are_refused(pair):
    trained, other = pair
    swapped = Dataset(
        "swapped", KnowledgeGraph(other.graph.facts, 12, 2), other.valid, other.test, other.entities, ("next", "after")
    )
    model = model_of(ByRelations, trained)
    with pytest.raises(ValueError, match=r"ByRelations was made for 2 relations \(after, next\).*for_model_of"):
        evaluate(model, swapped)
    assert evaluate(model, swapped.for_model_of(trained)).num_facts == 4


def test_an_encoder_that_was_made_for_no_graph_reads_any(pair):
    class OfTheRelations(ByRelations):
        def __init__(self, graph: KnowledgeGraph, space: Space) -> None:
            super().__init__(graph, space)
            self.vocabulary = None

    trained, other = pair
    assert evaluate(model_of(OfTheRelations, trained), other).num_facts == 4
