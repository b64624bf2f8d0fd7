"""Data sets out of DGL graphs, those that DGL itself builds among them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gnnkg.data import DataError, SharedFacts, from_dgl, load
from gnnkg.interchange import DataLeftOut

TRAIN = [[0, 0, 1], [1, 2, 2], [2, 1, 0], [3, 0, 1]]
VALID = [[0, 1, 3]]
TEST = [[3, 2, 0], [1, 0, 4]]


COLUMNS = (
    "etype",
    "ntype",
    "train_edge_mask",
    "valid_edge_mask",
    "test_edge_mask",
    "train_mask",
    "val_mask",
    "test_mask",
)


def dgl_dataset(reverse: bool):
    """A graph as DGL's KnowledgeGraphDataset builds it, by DGL's own function, without a download."""
    from gnnkg import dgl

    splits = (np.asarray(each) for each in (TRAIN, VALID, TEST))
    graph, data = dgl.data.knowledge_graph.build_knowledge_graph(5, 3, *splits, reverse=reverse)
    for name, column in zip(COLUMNS, data, strict=True):
        (graph.ndata if name == "ntype" else graph.edata)[name] = column
    return graph


MASKS = ("train_mask", "val_mask", "test_mask")
ONE_WAY = ("train_edge_mask", "valid_edge_mask", "test_edge_mask")


@pytest.mark.parametrize("masks", [MASKS, ONE_WAY])
@pytest.mark.parametrize("reverse", [True, False])
def test_the_layout_of_dgls_own_knowledge_graphs(reverse, masks):
    graph = dgl_dataset(reverse)
    assert graph.num_edges() == 7 * (1 + reverse)
    dataset = from_dgl(graph, *masks)
    for split, facts in (("train", TRAIN), ("valid", VALID), ("test", TEST)):
        assert sorted(dataset.facts(split).tolist()) == sorted(facts)
        assert dataset.report.splits[split].duplicates == 0
    assert (dataset.entities, dataset.relations) == (tuple("01234"), tuple("012"))
    notes = [
        f"{split}: {n} edges are others backwards, by relations from 3 on, and are left out"
        for split, n in (("train", 4), ("valid", 1), ("test", 2))
    ]
    assert list(dataset.report.notes) == (notes if reverse and masks == MASKS else [])
    given = from_dgl(graph, *(graph.edata[name] for name in masks), relations="xyz", entities="abcde", name="mine")
    assert (given.name, given.relations, given.entities) == ("mine", tuple("xyz"), tuple("abcde"))
    assert torch.equal(given.facts(), dataset.facts())
    for split in MASKS:
        graph.edata.pop(split)
    with pytest.raises(ValueError, match="train_edge_mask, valid_edge_mask, test_edge_mask"):
        from_dgl(graph)


def test_edges_that_a_mask_has_backwards_alone_are_turned():
    graph = dgl_dataset(True)
    dataset = from_dgl(graph, graph.edata["etype"] >= 3)
    assert sorted(dataset.facts("train").tolist()) == sorted(TRAIN + VALID + TEST)
    assert len(dataset.relations) == 3


def test_a_graph_without_masks_is_for_training():
    graph = dgl_dataset(False)
    with pytest.raises(ValueError, match="masks train_edge_mask"):
        from_dgl(graph)
    test = graph.edata["test_mask"]
    for name in (*MASKS, *ONE_WAY):
        graph.edata.pop(name, None)
    assert len(from_dgl(graph).facts("train")) == 7
    with pytest.raises(ValueError, match=r"without train=... all edges are training facts"):
        from_dgl(graph, test=test)
    with pytest.warns(SharedFacts, match="2 of test"):
        from_dgl(graph, torch.ones(7, dtype=torch.bool), test=test)
    graph.edata["kind"] = graph.edata.pop("etype")
    with pytest.raises(ValueError, match="say etype='kind'"):
        from_dgl(graph, torch.ones(7, dtype=torch.bool))
    assert len(from_dgl(graph, etype="kind").relations) == 3


def test_there_is_a_name_for_each_id():
    graph = dgl_dataset(True)
    with pytest.raises(DataError, match="relations must be 3 different names, one an id of the graph, not 6 in 6"):
        from_dgl(graph, *MASKS, relations="abcdef")
    with pytest.raises(DataError, match=r"entities must be 5 different names, .* not 4 in 5"):
        from_dgl(graph, *MASKS, entities="abcda")
    with pytest.raises(DataError, match="mine has no training facts"):
        from_dgl(graph, torch.zeros(14), name="mine")


@pytest.mark.parametrize("inverse", [False, True])
def test_a_data_set_goes_to_dgl_and_back(inverse):
    dataset = load("cldr")
    there = dataset.graph.to_dgl(inverse)
    back = from_dgl(there, entities=dataset.entities, relations=dataset.relations)
    assert back.facts("train").tolist() == sorted(dataset.facts("train").tolist(), key=lambda fact: fact[1])
    assert back.entities == dataset.entities
    for part in ("values", "present"):
        assert torch.equal(*(getattr(each.features["numeric"], part) for each in (back, dataset)))
    assert back.graph.annotations.features["numeric"] is back.features["numeric"]


def test_columns_that_are_no_feature_are_told():
    graph = dgl_dataset(True)
    graph.ndata["x"], graph.ndata["kind"] = torch.rand(5, 2), torch.arange(5)
    with pytest.warns(DataLeftOut, match=r"ndata\['kind'\]"):
        dataset = from_dgl(graph, *MASKS)
    assert torch.equal(dataset.features["x"].values, graph.ndata["x"])


def test_it_can_be_trained():
    from functools import partial

    import gnnkg
    from gnnkg import encoders, losses, samplers, scorers, terms

    dataset = from_dgl(dgl_dataset(True), *MASKS)
    scorer = scorers.DistMult(dim=4)
    model = gnnkg.Model(encoders.Table(dataset.graph, scorer.space), scorer)
    objective = gnnkg.Objective(samplers.Uniform(2), {"plain": terms.Ranking(losses.CrossEntropy())})
    gnnkg.fit(model, objective, dataset, optimizer=partial(torch.optim.Adagrad, lr=0.1), epochs=2)
    assert 0 < gnnkg.evaluate(model, dataset).metrics["mrr"] <= 1
