"""Graphs of DGL as knowledge graphs, and back: masks, columns of relations, and numbers of nodes."""

from __future__ import annotations

import warnings

import pytest
import torch

from gnnkg import interchange
from gnnkg.annotations import Annotations, Feature
from gnnkg.graph import KnowledgeGraph
from gnnkg.interchange import DataLeftOut

FACTS = [[0, 0, 1], [1, 1, 2], [2, 0, 0]]


def graph(facts=FACTS, num_nodes=4, etype="etype", **edata):
    from gnnkg import dgl

    head, relation, tail = torch.tensor(facts).unbind(1)
    made = dgl.graph((head, tail), num_nodes=num_nodes)
    for name, column in {etype: relation, **edata}.items():
        if name:
            made.edata[name] = column
    return made


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float32])
def test_of_a_graph_with_masks_one_must_be_chosen(dtype):
    masks = {"train_mask": torch.tensor([1, 1, 0], dtype=dtype), "test_mask": torch.tensor([0, 0, 1], dtype=dtype)}
    there = graph(**masks)
    with pytest.raises(ValueError, match=r"masks train_mask, test_mask: .* edges='train_mask'.*gnnkg.data.from_dgl"):
        KnowledgeGraph.from_dgl(there)
    for edges in ("train_mask", masks["train_mask"], masks["train_mask"].bool().unsqueeze(1)):
        found, entities, relations = KnowledgeGraph.from_dgl(there, edges=edges)
        assert found.facts.tolist() == FACTS[:2]
        assert (entities, relations) == (["0", "1", "2", "3"], ["0", "1"])
    assert KnowledgeGraph.from_dgl(there, edges=torch.ones(3))[0].facts.tolist() == FACTS


def test_what_is_no_mask_is_refused():
    there = graph(train_mask=torch.tensor([True, True, False]), odd_mask=torch.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match="has no mask 'valid_mask' but train_mask, odd_mask"):
        KnowledgeGraph.from_dgl(there, edges="valid_mask")
    with pytest.raises(
        ValueError, match=r"edata\['odd_mask'\] must say of each edge .* not torch.int64 of shape \(3,\)"
    ):
        KnowledgeGraph.from_dgl(there, edges="odd_mask")
    with pytest.raises(ValueError, match=r"bool of shape \(3,\), not torch.bool of shape \(2,\)"):
        KnowledgeGraph.from_dgl(there, edges=torch.tensor([True, False]))


def test_each_edge_type_has_its_part_of_a_mask():
    there = graph_of_two_types()
    there.edges["likes"].data["train_mask"] = torch.tensor([True, False])
    with pytest.raises(ValueError, match="masks train_mask"):
        KnowledgeGraph.from_dgl(there)
    with pytest.raises(ValueError, match="edata of the edge type 'treats' has no mask 'train_mask'"):
        KnowledgeGraph.from_dgl(there, edges="train_mask")
    there.edges["treats"].data["train_mask"] = torch.tensor([True])
    found, entities, relations = KnowledgeGraph.from_dgl(there, edges="train_mask")
    stated = [(entities[h], relations[r], entities[t]) for h, r, t in found.facts.tolist()]
    assert stated == [("drug/0", "likes", "drug/1"), ("drug/1", "treats", "disease/0")]
    with pytest.raises(ValueError, match="a graph of 2 edge types needs the name of a mask"):
        KnowledgeGraph.from_dgl(there, edges=torch.tensor([True, True, True]))
    with pytest.raises(ValueError, match="etype='x' is for graphs of one edge type: of 2, each is a relation"):
        KnowledgeGraph.from_dgl(there, edges="train_mask", etype="x")


def graph_of_two_types():
    from gnnkg import dgl

    likes, treats = (torch.tensor([0, 1]), torch.tensor([1, 0])), (torch.tensor([1]), torch.tensor([0]))
    return dgl.heterograph({("drug", "likes", "drug"): likes, ("drug", "treats", "disease"): treats})


@pytest.mark.parametrize("name", ["rel_type", "e_type", "edge_type"])
def test_a_column_that_may_be_relations_is_not_passed_over(name):
    there = graph(etype=name)
    with pytest.raises(ValueError, match=f"whole numbers in {name}, which may be relations: say etype='{name}'"):
        KnowledgeGraph.from_dgl(there)
    found, _, relations = KnowledgeGraph.from_dgl(there, etype=name)
    assert (found.facts.tolist(), relations) == (FACTS, ["0", "1"])
    with pytest.raises(ValueError, match=f"edata has no column 'other' but {name}"):
        KnowledgeGraph.from_dgl(there, etype="other")
    there.edata.pop(name)
    assert KnowledgeGraph.from_dgl(there)[0].num_relations == 1


def test_the_shape_and_kind_of_relations():
    relation = torch.tensor(FACTS)[:, 1]
    for column in (relation.unsqueeze(1), relation.int()):
        there = graph(etype="")
        there.edata["etype"] = column
        assert KnowledgeGraph.from_dgl(there)[0].facts.tolist() == FACTS
    for column, told in ((relation.float(), r"torch.float32 of shape \(3,\)"), (relation.expand(2, 3).T, r"\(3, 2\)")):
        there = graph(etype="")
        there.edata["etype"] = column
        with pytest.raises(ValueError, match=rf"edata\['etype'\] must hold the relation of each edge, .*{told}"):
            KnowledgeGraph.from_dgl(there)


def test_relations_that_are_others_backwards_go_with_their_last_edge():
    facts = [*FACTS, *([t, r + 2, h] for h, r, t in FACTS)]
    stated = torch.tensor([True] * 3 + [False] * 3)
    there = graph(facts, train_edge_mask=stated, train_mask=torch.ones(6, dtype=torch.bool))
    assert KnowledgeGraph.from_dgl(there, edges="train_edge_mask")[0].num_relations == 2
    assert KnowledgeGraph.from_dgl(there, edges="train_mask")[0].num_relations == 4
    facts[-1] = [0, 3, 1]  # a fact of its own
    assert KnowledgeGraph.from_dgl(graph(facts), edges=stated)[0].num_relations == 4


def test_where_reverses_begin():
    back = [[t, r + 3, h] for h, r, t in FACTS]
    assert interchange.reverses_from(torch.tensor(FACTS + back)) == 3  # relation 2 has no edge
    assert interchange.reverses_from(torch.tensor(FACTS + FACTS + back)) == 3
    assert interchange.reverses_from(torch.tensor(FACTS)) is None
    assert interchange.reverses_from(torch.tensor(FACTS + back[:2])) is None
    assert interchange.reverses_from(torch.empty(0, 3, dtype=torch.int64)) is None


def annotated() -> KnowledgeGraph:
    present = torch.tensor([[True, False], [True, True], [False, False], [True, True]])
    values = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0], [3.0, 4.0]])
    features = {"numeric": Feature(values, present, ("area", "born"))}
    return KnowledgeGraph(torch.tensor(FACTS), 4, 2).annotated(Annotations(("a", "b", "c", "d"), {}, features))


@pytest.mark.parametrize("inverse", [False, True])
def test_features_go_there_and_back(inverse):
    whole = annotated()
    there = whole.to_dgl(inverse)
    feature = whole.annotations.features["numeric"]
    assert torch.equal(there.ndata["numeric"], feature.values)
    assert torch.equal(there.ndata["numeric_present"], feature.present)
    back, _, _ = KnowledgeGraph.from_dgl(there)
    again = back.annotations.features["numeric"]
    assert torch.equal(again.values, feature.values)
    assert torch.equal(again.present, feature.present)
    assert again.names == ("numeric 0", "numeric 1")
    assert KnowledgeGraph(torch.tensor(FACTS), 4, 2).to_dgl().ndata == {}
    assert KnowledgeGraph.from_dgl(back.to_dgl())[0].facts.tolist() == back.facts.tolist()


def test_a_part_has_the_features_of_its_entities():
    whole = annotated()
    part = whole.part(torch.tensor([3, 0, 1]), torch.tensor([], dtype=torch.int64))
    assert part.to_dgl().ndata["numeric"].tolist() == [[3.0, 4.0], [1.0, 0.0], [0.0, 2.0]]


def test_two_features_may_not_have_one_name_there():
    whole = annotated()
    taken = {**whole.annotations.features, "numeric_present": whole.annotations.features["numeric"]}
    with pytest.raises(ValueError, match="'numeric_present' has the name of the mask of 'numeric'"):
        whole.annotated(Annotations(whole.annotations.labels, {}, taken)).to_dgl()


def test_numbers_of_nodes_are_features_and_what_is_left_out_is_told():
    there = graph(weight=torch.rand(3), _ID=torch.arange(3))
    there.ndata["x"], there.ndata["half"] = torch.rand(4, 3), torch.rand(4).half()
    there.ndata["ntype"], there.ndata["year"] = torch.zeros(4, dtype=torch.int64), torch.arange(4)
    with pytest.warns(DataLeftOut, match=r"no place for ndata\['year'\], edata\['weight'\]: left out"):
        found, _, _ = KnowledgeGraph.from_dgl(there)
    assert torch.equal(found.annotations.features["x"].values, there.ndata["x"])
    assert found.annotations.features["x"].present.all()
    assert found.annotations.features["half"].values.shape == (4, 1)


def test_features_of_several_node_types_are_apart():
    there = graph_of_two_types()
    there.nodes["drug"].data["x"], there.nodes["disease"].data["x"] = torch.ones(2, 2), torch.full((1, 1), 5.0)
    features = interchange.features_of(there)
    assert features["disease/x"].values.tolist() == [[5.0], [0.0], [0.0]]
    assert features["disease/x"].has.tolist() == [True, False, False]
    assert features["drug/x"].present.tolist() == [[False] * 2, [True] * 2, [True] * 2]


def test_numbers_that_are_there_are_finite():
    there = graph()
    there.ndata["x"] = torch.tensor([[1.0], [float("nan")], [2.0], [3.0]])
    with pytest.raises(ValueError, match=r"ndata\['x'\] holds numbers that are not finite: .* ndata\['x_present'\]"):
        KnowledgeGraph.from_dgl(there)
    there.ndata["x_present"] = torch.tensor([True, False, True, True])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, _, _ = KnowledgeGraph.from_dgl(there)
    assert found.annotations.features["x"].values.flatten().tolist() == [1.0, 0.0, 2.0, 3.0]
    there.ndata["x_present"] = torch.ones(4, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"ndata\['x_present'\] must be of shape \(4, 1\)"):
        KnowledgeGraph.from_dgl(there)
