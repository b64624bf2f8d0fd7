from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from gnnkg.core import EVERY_ENTITY, Candidates, Encoder, Model, Vectors
from gnnkg.data.load import load
from gnnkg.data.names import UnknownName
from gnnkg.encoders import RGCN, CompGCN, NBFNet, Table
from gnnkg.evaluation.explanation import edge_importance, explain
from gnnkg.graph import KnowledgeGraph
from gnnkg.ops.message import propagate
from gnnkg.scorers import MLP, DistMult
from tests.evaluation.planted import BellmanFord, family, trained


@pytest.fixture(scope="module")
def planted():
    """The data set, the fact that is asked for, and a network and a table that have learned the others."""
    torch.manual_seed(1)
    dataset, fact = family()
    return dataset, fact, trained(BellmanFord, DistMult(8), dataset), trained(Table, DistMult(8), dataset)


def questions(planted):
    """Both ways to ask for the fact, with the entities of the planted path in the order of the walk."""
    _, (head, parent, tail), *_ = planted
    yield {"head": f"person:{head}", "answer": f"person:{tail}"}, (head, parent, tail)
    yield {"tail": f"person:{tail}", "answer": f"person:{head}"}, (tail, parent, head)


@pytest.mark.parametrize("name", ["by hand", "NBFNet"])
def test_the_path_that_explains_a_fact_comes_first(planted, name):
    dataset, _, network, _ = planted
    if name == "NBFNet":
        network = trained(partial(NBFNet, num_layers=3), MLP(8, 16, reads_head=False), dataset)
    for question, walk in questions(planted):
        first, *others = explain(network, dataset, relation="grandparent", **question, paths=10)
        assert first.kind == "path"
        assert [step.relation for step in first.steps] == ["parent", "parent"]
        assert [first.steps[0].head, *(step.tail for step in first.steps)] == [f"Person {i}" for i in walk]
        assert all(step.backwards == ("tail" in question) for step in first.steps)
        assert others
        assert first.weight > 1.2 * others[0].weight


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("encoder", [RGCN, partial(CompGCN, dropout=0.0, hidden_dropout=0.0)], ids=["RGCN", "CompGCN"])
def test_a_path_by_what_leads_to_the_head_is_found(encoder, num_layers):
    """A layer brings the head and the answer news of the entity between them; a path from the one to the other has two edges."""
    dataset, (head, parent, tail) = family()
    others = torch.arange(5, 20)
    facts = [(head, 0, parent), (parent, 0, tail), *((i, 2, i + 1) for i in others.tolist())]
    dataset = replace(dataset, graph=KnowledgeGraph(torch.tensor(facts), len(dataset.entities), len(dataset.relations)))
    scorer = DistMult(8)
    torch.manual_seed(1)
    model = Model(encoder(dataset.graph, scorer.space, num_layers=num_layers), scorer)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    asked = torch.tensor([head]), torch.tensor([1])
    for _ in range(30):
        optimizer.zero_grad()
        functional.cross_entropy(model(dataset.graph, *asked), torch.tensor([tail])).backward()
        optimizer.step()
    importance = edge_importance(model, dataset.graph, head, 1, tail)
    edges = dataset.graph.messages.edges
    into, onward = (((edges.source == parent) & (edges.target == end)).nonzero().item() for end in (head, tail))
    reasons = explain(model, dataset, head=f"person:{head}", relation="grandparent", answer=f"person:{tail}")
    assert [(reason.kind, reason.words) for reason in reasons] == [
        ("path", f"Person {head} -[parent]-> Person {parent} -[parent]-> Person {tail}")
    ]
    if num_layers == 1:
        both = importance[0, into] + importance[0, onward]
        assert reasons[0].weight == pytest.approx(both.item() / 2, rel=1e-5)


def test_the_layers_at_the_head_are_walked_last_layer_first():
    """On a chain of four edges two layers reach the middle from either end, and every edge in a layer of its own."""
    dataset, _ = family()
    facts = torch.tensor([(0, 0, 1), (2, 1, 1), (2, 2, 3), (4, 3, 3)])
    dataset = replace(dataset, graph=KnowledgeGraph(facts, len(dataset.entities), len(dataset.relations)))
    scorer = DistMult(8)
    torch.manual_seed(5)
    model = Model(RGCN(dataset.graph, scorer.space), scorer)
    importance = edge_importance(model, dataset.graph, 0, 1, 4)
    edges = dataset.graph.messages.edges

    def of(layer: int, source: int, target: int) -> float:
        return importance[layer, (edges.source == source) & (edges.target == target)].item()

    weight = (of(1, 1, 0) + of(0, 2, 1) + of(0, 2, 3) + of(1, 3, 4)) / 4
    reasons = explain(model, dataset, head="person:0", relation="grandparent", answer="person:4")
    assert [reason.kind for reason in reasons] == ["path"]
    assert reasons[0].weight == pytest.approx(weight, rel=1e-5)


def test_the_path_that_explains_a_fact_comes_first_for_a_table_too(planted):
    dataset, _, _, table = planted
    for question, walk in questions(planted):
        reasons = explain(table, dataset, relation="grandparent", **question)
        assert [reason.kind for reason in reasons] == 3 * ["similar fact"] + 3 * ["short path"]
        first = reasons[3]
        assert [step.relation for step in first.steps] == ["parent", "parent"]
        assert [first.steps[0].head, *(step.tail for step in first.steps)] == [f"Person {i}" for i in walk]
        assert first.weight == pytest.approx(1)


def test_the_only_path_is_found(planted):
    """Without any other fact between the two."""
    dataset, (head, parent, tail), network, table = planted
    facts = torch.tensor([(head, 0, parent), (parent, 0, tail), (0, 1, 5)])
    lonely = replace(dataset, graph=KnowledgeGraph(facts, len(dataset.entities), len(dataset.relations)))
    for model, kinds in ((network, ["path"]), (table, ["similar fact", "short path"])):
        reasons = explain(model, lonely, head=f"person:{head}", relation="grandparent", answer=f"person:{tail}")
        assert [reason.kind for reason in reasons] == kinds
        assert reasons[-1].words == f"Person {head} -[parent]-> Person {parent} -[parent]-> Person {tail}"


def test_a_fact_is_not_its_own_reason(planted):
    dataset, _, *models = planted
    for model in models:
        for h, r, t in dataset.graph.facts[::9].tolist():
            relation = dataset.relations[r]
            reasons = explain(model, dataset, head=f"person:{h}", relation=relation, answer=f"person:{t}", paths=20)
            reasons += explain(model, dataset, tail=f"person:{t}", relation=relation, answer=f"person:{h}", paths=20)
            for step in (step for reason in reasons for step in reason.steps):
                stated = (step.tail, step.head) if step.backwards else (step.head, step.tail)
                assert (*stated, step.relation) != (f"Person {h}", f"Person {t}", relation)


def test_every_step_is_a_known_fact_and_steps_follow_one_another(planted):
    dataset, _, *models = planted
    scorer = DistMult(8)
    models += [Model(encoder(dataset.graph, scorer.space, num_layers=2), scorer) for encoder in (RGCN, CompGCN)]
    known = set(dataset.in_words(dataset.graph.facts))
    for model in models:
        for reason in explain(model, dataset, head="person:4", relation="knows", answer="person:17", paths=10):
            for step in reason.steps:
                head, tail = (step.tail, step.head) if step.backwards else (step.head, step.tail)
                assert (head, step.relation, tail) in known
            if reason.kind != "similar fact":
                ends = [reason.steps[0].head, *(step.tail for step in reason.steps)]
                assert (ends[0], ends[-1]) == ("Person 4", "Person 17")
                assert [step.head for step in reason.steps[1:]] == ends[1:-1]


@pytest.mark.parametrize(
    "encoder",
    [BellmanFord, partial(NBFNet, num_layers=3), partial(RGCN, num_layers=3), partial(CompGCN, num_layers=3)],
    ids=["by hand", "NBFNet", "RGCN", "CompGCN"],
)
@pytest.mark.parametrize("masked", [False, True])
def test_importance_equals_finite_differences(planted, masked, encoder):
    """Of a path: the score's slope, where the weights of its edges grow together, each in its own layer."""
    dataset, (head, _, tail), *_ = planted
    scorer = DistMult(4)
    model = Model(encoder(dataset.graph, scorer.space), scorer).double().eval()
    graph = dataset.graph
    if masked:
        graph = graph.without(*graph.facts[5:8].unbind(1))
    edges = graph.messages.edges
    importance = edge_importance(model, graph, head, 1, tail)
    assert importance.shape == (3, len(edges))
    asked = torch.tensor([head]), torch.tensor([1]), Candidates(torch.tensor([[tail]]))
    for _ in range(5):
        layer, edge = torch.arange(3), torch.randint(len(edges), (3,))

        def score(change: float, layer=layer, edge=edge) -> float:
            weight = torch.ones(3, len(edges), dtype=torch.float64)
            weight[layer, edge] += change
            return model(graph.weighted(weight), *asked).item()

        slope = (score(1e-5) - score(-1e-5)) / 2e-5
        assert importance[layer, edge].sum().item() == pytest.approx(slope, abs=1e-7)
    assert (importance != 0).any(1).all()


def test_a_paths_weight_is_the_mean_importance_of_its_edges(planted):
    dataset, (head, parent, tail), network, _ = planted
    graph = dataset.graph
    edges, importance = graph.messages.edges, edge_importance(network, graph, head, 1, tail)
    (first,) = explain(
        network, dataset, head=f"person:{head}", relation="grandparent", answer=f"person:{tail}", paths=1
    )
    places = [
        ((edges.source == source) & (edges.relation == 0) & (edges.target == target)).nonzero().item()
        for source, target in ((head, parent), (parent, tail))
    ]
    pairs = [importance[s, places[0]] + importance[t, places[1]] for s, t in ((0, 1), (0, 2), (1, 2))]
    assert first.weight == pytest.approx(max(pairs).item() / 2, rel=1e-5)


def test_explaining_leaves_the_model_as_it_was(planted):
    dataset, _, network, _ = planted
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    network.zero_grad()
    explain(network, dataset, head="person:4", relation="knows", answer="person:17")
    assert network.training
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_where_no_path_leads_supporting_facts_are_named_as_such(planted):
    dataset, _, network, _ = planted
    alone = KnowledgeGraph(dataset.graph.facts[dataset.graph.facts[:, 1] == 1], 25, 4)  # lines do not meet
    apart = replace(dataset, graph=alone)
    reasons = explain(network, apart, head="person:0", relation="grandparent", answer="person:9")
    assert [reason.kind for reason in reasons] == 3 * ["similar fact"]
    itself = explain(network, dataset, head="person:1", relation="parent", answer="person:1")
    assert {reason.kind for reason in itself} == {"similar fact"}
    assert explain(network, apart, head="person:0", relation="likes", answer="person:9") == []
    empty = replace(dataset, graph=KnowledgeGraph(alone.facts[:0], 25, 4))
    assert explain(network, empty, head="person:0", relation="likes", answer="person:9") == []


class Walks(Encoder):
    """An answer's score is the number of ways from the head to it in three layers, times a factor."""

    num_layers = 3
    from_head = True

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor([factor]))

    def forward(self, graph: KnowledgeGraph):
        def lookup(head, relation, candidates=EVERY_ENTITY):
            states = torch.zeros(graph.num_entities, 1, 1).index_fill(0, head, 1)
            for layer in range(self.num_layers):
                edges, weight = graph.messages.of_layer(layer)
                states = states + propagate(states, torch.ones(edges.num_relations, 1), edges, weight)
            tail = states.transpose(0, 1)
            return Vectors(
                torch.ones(1, 1),
                self.factor.unsqueeze(0),
                tail if candidates.table is None else tail[:, candidates.table[0]],
            )

        return lookup


@pytest.mark.parametrize("factor", [1.0, 0.0, -1.0])
def test_only_what_speaks_for_an_answer_is_a_reason(factor):
    dataset, (head, _, tail) = family()
    model = Model(Walks(factor), DistMult(1))
    reasons = explain(model, dataset, head=f"person:{head}", relation="grandparent", answer=f"person:{tail}")
    kinds = {reason.kind for reason in reasons}
    assert kinds == ({"path"} if factor > 0 else {"similar fact", "short path"})
    assert all(reason.weight > 0 for reason in reasons if reason.kind == "path")


def test_similar_facts_by_hand():
    dataset, _ = family()
    facts = torch.tensor([(0, 2, 1), (2, 2, 3), (4, 2, 3), (2, 3, 3), (5, 2, 6)])
    dataset = replace(dataset, graph=KnowledgeGraph(facts, 25, 4))
    scorer = DistMult(2)
    table = Table(dataset.graph, scorer.space)
    model = Model(table, scorer)
    with torch.no_grad():
        table.entity[:] = torch.tensor([0.0, -1.0])
        table.entity[[0, 2]] = torch.tensor([3.0, 0.0])  # the same direction
        table.entity[[1, 3]] = torch.tensor([0.0, 2.0])
        table.entity[4] = torch.tensor([1.0, 1.0])
    reasons = explain(model, dataset, head="person:0", relation="knows", answer="person:1", paths=9)
    assert [(reason.kind, reason.words) for reason in reasons] == [
        ("similar fact", "Person 2 -[knows]-> Person 3"),
        ("similar fact", "Person 4 -[knows]-> Person 3"),
        ("similar fact", "Person 5 -[knows]-> Person 6"),
    ]
    assert [reason.weight for reason in reasons] == pytest.approx([1, (0.5**0.5 + 1) / 2, (0 - 1) / 2], abs=1e-6)
    backwards = explain(model, dataset, tail="person:1", relation="knows", answer="person:0", paths=9)
    assert [reason.words for reason in backwards] == [reason.words for reason in reasons]


def test_short_paths_weigh_the_probability_of_a_random_walk():
    dataset, _ = family()
    facts = torch.tensor([(0, 2, 1), (0, 2, 3), (0, 3, 1), (1, 0, 4), (5, 0, 4), (3, 1, 4), (3, 1, 6), (3, 1, 7)])
    dataset = replace(dataset, graph=KnowledgeGraph(facts, 25, 4))
    scorer = DistMult(2)
    model = Model(Table(dataset.graph, scorer.space), scorer)
    reasons = explain(model, dataset, head="person:0", relation="likes", answer="person:4", paths=9)
    assert {reason.words: reason.weight for reason in reasons if reason.kind == "short path"} == pytest.approx(
        {
            "Person 0 -[likes]-> Person 1 -[parent]-> Person 4": 1,
            "Person 0 -[knows]-> Person 1 -[parent]-> Person 4": 1 / 2,
            "Person 0 -[knows]-> Person 3 -[grandparent]-> Person 4": 1 / 2 / 3,
        }
    )
    # the fact that is asked for is no choice of the walk: person 1 is the only other whom person 0 knows
    reasons = explain(model, dataset, head="person:0", relation="knows", answer="person:3", paths=9)
    weights = {reason.words: reason.weight for reason in reasons if reason.kind == "short path"}
    assert weights["Person 0 -[knows]-> Person 1 -[parent]-> Person 4 <-[grandparent]- Person 3"] == pytest.approx(1)
    reasons = explain(model, dataset, head="person:4", relation="parent", answer="person:0", paths=9)
    weights = {reason.words: reason.weight for reason in reasons if reason.kind == "short path"}
    assert weights["Person 4 <-[parent]- Person 1 <-[likes]- Person 0"] == pytest.approx(1 / 2)


@pytest.mark.parametrize("encoder", [BellmanFord, Table])
def test_a_real_graph_is_explained(encoder):
    dataset = load("cldr")
    scorer = DistMult(4)
    model = Model(encoder(dataset.graph, scorer.space), scorer)
    reasons = explain(model, dataset, head="Portugal", relation="uses currency", answer="Euro")
    assert [reason.kind for reason in reasons] == (
        3 * ["path"] if encoder is BellmanFord else 3 * ["similar fact"] + 3 * ["short path"]
    )
    assert all("Portugal -[uses currency]-> Euro" not in reason.words for reason in reasons)


class Deaf(BellmanFord):
    """Has layers, and does not read the weights of the graph that it is given."""

    def forward(self, graph: KnowledgeGraph):
        return super().forward(KnowledgeGraph(graph.facts, graph.num_entities, graph.num_relations))


def test_mistakes_are_refused(planted):
    dataset, _, network, _ = planted
    question = {"head": "person:4", "relation": "knows", "answer": "person:17"}
    with pytest.raises(UnknownName, match="no entity is called 'person:99'"):
        explain(network, dataset, **question | {"answer": "person:99"})
    with pytest.raises(UnknownName, match="no relation is called 'know'; closest: knows"):
        explain(network, dataset, **question | {"relation": "know"})
    with pytest.raises(ValueError, match="one of the two"):
        explain(network, dataset, **question, tail="person:5")
    with pytest.raises(ValueError, match="at least 1, not 0 and 10"):
        explain(network, dataset, **question, paths=0)
    scorer = DistMult(4)
    with pytest.raises(ValueError, match=r"Deaf has 3 layers, but .* pass graph\.messages\.weight to propagate"):
        explain(Model(Deaf(dataset.graph, scorer.space), scorer), dataset, **question)
