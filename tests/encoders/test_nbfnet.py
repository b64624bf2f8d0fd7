from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from gnnkg.core import Candidates, Model, Objective
from gnnkg.data.queries import Queries
from gnnkg.encoders import NBFNet
from gnnkg.graph import KnowledgeGraph
from gnnkg.losses import SelfAdversarial
from gnnkg.ops.cones import Cones
from gnnkg.samplers import Uniform
from gnnkg.scorers import MLP, DistMult, RotatE
from gnnkg.terms import Ranking
from gnnkg.transforms import EMU
from tests.random_data import random_graph


def by_the_paper(encoder: NBFNet, graph: KnowledgeGraph, head: int, relation: int) -> torch.Tensor:
    """h^(T) of every entity for one query, edge by edge, with PNA's features in one vector of width 13 D."""
    query = encoder.query.weight[relation]
    boundary = torch.zeros(graph.num_entities, len(query), dtype=query.dtype)
    boundary[head] = query
    edges = list(zip(*(column.tolist() for column in graph.edges), strict=True))
    incoming = [[(u, r) for u, r, v in edges if v == n] for n in range(graph.num_entities)]
    log = torch.tensor([len(each) + 1.0 for each in incoming], dtype=query.dtype).log()
    scale = log / log.mean()
    state = boundary
    for layer in encoder.layers:
        relations = layer.relation(query).view(-1, len(query))
        rows = []
        for n, each in enumerate(incoming):
            sent = torch.stack([boundary[n]] + [state[u] * relations[r] for u, r in each])
            variance = sent.var(0, unbiased=False).clamp(min=1e-6)
            features = torch.cat([sent.mean(0), sent.max(0).values, sent.min(0).values, variance.sqrt()])
            joined = torch.cat([state[n], features, features * scale[n], features / scale[n].clamp(min=1e-2)])
            rows.append(state[n] + torch.relu(layer.norm(layer.linear(joined))))
        state = torch.stack(rows)
    return state


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("num_queries", [3, 4, 9])  # fewer than a vector has numbers, or as many, or more
def test_equals_the_paper(num_queries: int, sparse: bool) -> None:
    graph = random_graph(num_facts=20)
    encoder = NBFNet(graph, MLP(4, 5).space, num_layers=3, sparse=sparse).double()
    head, relation = torch.tensor([1, 5, 12, 0, 3, 9, 2, 11, 4])[:num_queries], torch.arange(num_queries) % 6
    vectors = encoder(graph)(head, relation)
    for i in range(len(head)):
        assert_close(vectors.tail[i], by_the_paper(encoder, graph, int(head[i]), int(relation[i])))
        assert_close(vectors.head[i], vectors.tail[i, head[i]])
    assert_close(vectors.relation, encoder.query(relation))


def test_number_of_parameters() -> None:
    """FB15k-237, as published: 6 layers of width 32, edges' relations made of the query, a scorer 64-64-1."""
    graph = KnowledgeGraph(torch.empty(0, 3, dtype=torch.int64), 14_541, 237)
    scorer = MLP(32, 64, reads_head=False)
    model = Model(NBFNet(graph, scorer.space), scorer)
    assert sum(parameter.numel() for parameter in model.parameters()) == 3_103_105


def test_entities_have_no_identity() -> None:
    """Entities in another order: the same vectors, in that order. So the last entity is treated like all others."""
    graph = random_graph()
    encoder = NBFNet(graph, MLP(4, 5).space, num_layers=2).double()
    new = torch.randperm(graph.num_entities)
    head, relation, tail = graph.facts.unbind(1)
    moved = KnowledgeGraph(torch.stack([new[head], relation, new[tail]], 1), graph.num_entities, graph.num_relations)
    asked = torch.arange(6)
    before, after = encoder(graph)(asked, asked), encoder(moved)(new[asked], asked)
    assert_close(after.tail[:, new], before.tail)


def test_recomputed_layers_give_the_same_gradients() -> None:
    graph, asked = random_graph(), torch.arange(6)
    gradients = []
    for recompute in (False, True):
        torch.manual_seed(4)
        encoder = NBFNet(graph, MLP(4, 5).space, num_layers=3, recompute=recompute)
        encoder(graph)(asked, asked).tail.square().sum().backward()
        gradients.append([parameter.grad for parameter in encoder.parameters()])
    assert_close(*gradients, rtol=0, atol=0)


@pytest.mark.parametrize("hides", ["facts", "pairs", "nothing"])
def test_a_batch_does_not_see_its_own_facts(hides: str) -> None:
    """A model that reads an answer off the graph would: what a batch is encoded on is the graph without its facts."""
    graph = random_graph()
    scorer = MLP(4, 5, reads_head=False)
    torch.manual_seed(2)
    model = Model(NBFNet(graph, scorer.space, num_layers=2, hides=hides), scorer)
    batch = Queries(9).of(graph, seed=0)[0]
    objective = Objective(Uniform(5), {"loss": Ranking(SelfAdversarial())})
    torch.manual_seed(3)
    loss = objective(model, batch)["loss"]
    gone = {"facts": (batch.head, batch.relation, batch.tail), "pairs": (batch.head, None, batch.tail)}.get(hides)
    left = graph if gone is None else KnowledgeGraph(graph.without(*gone).facts, 13, 3)
    torch.manual_seed(3)
    candidates, labels = objective.sampler(batch)
    by_hand = Ranking(SelfAdversarial())(scorer, model.encoder(left)(batch.head, batch.relation, candidates), labels)
    assert torch.equal(loss, by_hand)


@pytest.mark.parametrize("scorer", [DistMult(8), RotatE(4), MLP(6, 5)], ids=lambda scorer: type(scorer).__name__)
@pytest.mark.parametrize("masks", ["query", "negative", "pair"])
def test_emu_under_any_scorer(scorer, masks: str) -> None:
    graph = random_graph()
    model = Model(NBFNet(graph, scorer.space, num_layers=2, dim=6), scorer)
    term = Ranking(SelfAdversarial(), transform=EMU(keep=0.5, masks=masks))
    loss = Objective(Uniform(5), {"mutated": term})(model, Queries(8).of(graph, seed=0)[0])["mutated"]
    loss.backward()
    gradients = [parameter.grad for parameter in model.encoder.layers.parameters()]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert sum(gradient.abs().sum() for gradient in gradients) > 0


def test_tables_shared_by_queries() -> None:
    """Two tables for four queries: each query has its own vectors of its table's candidates."""
    graph = random_graph()
    lookup = NBFNet(graph, MLP(4, 5).space, num_layers=2)(graph)
    asked, table = torch.arange(4), torch.randint(13, (2, 5))
    everyone, chosen = lookup(asked, asked).tail, lookup(asked, asked, Candidates(table)).tail
    assert chosen.shape == (4, 5, 4)
    for query in range(4):
        assert torch.equal(chosen[query], everyone[query, table[query // 2]])


MADE = [
    {"dependent": True},
    {"dependent": False, "layer_norm": False},
    {"aggregate": "sum", "shortcut": False},
    {"message": "rotate", "aggregate": "max", "recompute": True},
    {"message": "add", "aggregate": "mean"},
]


def both_ways(
    graph: KnowledgeGraph, made: dict, head: Tensor, relation: Tensor, candidates: Candidates, dtype: torch.dtype
):
    """Vectors and the gradients of all that they depend on, of needed states alone and of every state."""
    for sparse in (True, False):
        torch.manual_seed(1)
        encoder = NBFNet(graph, MLP(4, 5).space, **{"num_layers": 4, "dim": 6, "sparse": sparse} | made).to(dtype)
        noise = torch.linspace(-1, 1, 6 * len(head), dtype=dtype).view(-1, 6).requires_grad_()
        lookup = encoder(graph).shifted(lambda head, relation, noise=noise: noise)
        answer = lookup(head, relation, candidates)
        vectors = [each for each in (answer.head, answer.relation, answer.tail, answer.own) if each is not None]
        loss = sum((vector * torch.linspace(-1, 2, vector.numel()).view_as(vector)).sum() for vector in vectors)
        weight = graph.messages.weight
        leaves = [noise, *encoder.parameters()]
        leaves += [weight] if weight is not None and weight.requires_grad else []
        yield vectors, torch.autograd.grad(loss, leaves, allow_unused=True)


@pytest.mark.parametrize("form", ["all", "tables", "own", "all and own"])
@pytest.mark.parametrize("made", MADE, ids=str)
@pytest.mark.parametrize("weights", [None, "hidden", "a layer's own"])
def test_only_what_answers_depend_on(made: dict, form: str, weights: str | None) -> None:
    """By the definitions in double precision, and by the kernels."""
    graph = random_graph(num_entities=40, num_facts=45)
    head, relation = torch.tensor([3, 17, 3, 30, 8, 9]), torch.tensor([0, 4, 2, 0, 0, 5])
    table = None if form.startswith("all") else torch.randint(40, (2, 5))
    candidates = Candidates(table, torch.tensor([1, 17, 25, 3, 0, 39]) if "own" in form else None)
    if weights == "hidden":
        graph = graph.without(graph.facts[:7, 0], graph.facts[:7, 1], graph.facts[:7, 2])
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-4)):
        if weights == "a layer's own":
            graph = graph.weighted(torch.rand(4, len(graph.messages.edges), dtype=dtype).requires_grad_())
        assert_close(*both_ways(graph, made, head, relation, candidates, dtype), rtol=tolerance, atol=tolerance)


def test_only_what_answers_depend_on_where_there_is_little() -> None:
    one = torch.zeros(1, dtype=torch.int64)
    nothing = KnowledgeGraph(torch.empty(0, 3, dtype=torch.int64), 4, 2)
    part = random_graph(num_entities=40, num_facts=45).part(torch.arange(30), torch.arange(0))
    for graph in (nothing, random_graph(num_facts=3), part):
        for table in (None, torch.empty(1, 0, dtype=torch.int64), one.view(1, 1)):
            assert_close(*both_ways(graph, {}, one, one, Candidates(table), torch.float32))


def test_only_what_answers_depend_on_through_many_layers() -> None:
    """More than fit into a byte: a ring of 300, each next to the other."""
    ring = torch.stack([torch.arange(300), torch.zeros(300, dtype=torch.int64), torch.arange(1, 301) % 300], 1)
    graph, made = KnowledgeGraph(ring, 300, 1), {"num_layers": 130, "aggregate": "sum", "layer_norm": False}
    asked = torch.tensor([0, 200]), torch.tensor([0, 1]), Candidates(torch.tensor([[130, 131, 71, 69], [1, 2, 3, 4]]))
    assert_close(*both_ways(graph, made, *asked, torch.float64))


def test_where_less_is_needed_less_is_computed_unasked() -> None:
    """And everything where that takes less time: on a dense graph, and where a few states get nearly all messages."""
    asked = torch.arange(6)
    everyone = torch.cartesian_prod(
        torch.arange(10), torch.arange(3), torch.arange(10)
    )  # and 30 entities without a fact
    clique = KnowledgeGraph(everyone, 40, 3)
    for graph, table, sparse in (
        (random_graph(num_entities=40, num_facts=20), None, True),
        (random_graph(num_entities=40, num_facts=300), None, False),
        (clique, asked.unsqueeze(1), False),
    ):
        lookup = NBFNet(graph, MLP(4, 5).space, num_layers=4, dependent=False)(graph)
        assert (lookup._cones(asked, torch.zeros_like(asked), table) is not None) == sparse
    cones = Cones(clique.messages.edges, asked, torch.zeros_like(asked), 1, asked.unsqueeze(1), 4)
    assert cones.num_states < 0.3 * 4 * 6 * 40


def test_a_plan_larger_than_all_states_is_not_made_unasked() -> None:
    """Wide vectors are dear to keep for every entity; of narrow ones, of which a layer keeps but one, the plan is larger."""
    graph = random_graph(num_entities=40, num_facts=40)
    asked = torch.arange(6)
    for dim, recompute, sparse in ((64, True, True), (1, False, True), (1, True, False)):
        encoder = NBFNet(graph, MLP(4, 5).space, num_layers=4, dim=dim, dependent=False, recompute=recompute)
        lookup = encoder(graph)
        assert (lookup._cones(asked, torch.zeros_like(asked), asked.unsqueeze(1)) is not None) == sparse


def test_more_messages_than_32_bits_count_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, asked = random_graph(num_entities=40, num_facts=20), torch.arange(6)
    monkeypatch.setattr(Cones, "num_messages", 2**31)
    with pytest.raises(ValueError, match=r"a batch of 6 queries has 2,147,483,648: give it fewer queries"):
        NBFNet(graph, MLP(4, 5).space, sparse=True)(graph)(asked, torch.zeros_like(asked))
    lookup = NBFNet(graph, MLP(4, 5).space)(graph)
    assert lookup._cones(asked, torch.zeros_like(asked), None) is None


def test_vectors_of_odd_width_are_not_rotated() -> None:
    with pytest.raises(ValueError, match="dim must be even, not 5"):
        NBFNet(random_graph(), MLP(4, 5).space, dim=5, message="rotate")
    NBFNet(random_graph(), MLP(4, 5).space, dim=5)


def test_another_number_of_relations_is_refused() -> None:
    encoder = NBFNet(random_graph(), MLP(4, 5).space)
    with pytest.raises(ValueError, match="knows 3 relations, and the graph has 4"):
        encoder(random_graph(num_relations=4))
    with pytest.raises(ValueError, match="num_layers"):
        NBFNet(random_graph(), MLP(4, 5).space, num_layers=0)
