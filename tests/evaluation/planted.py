"""A graph on which one path explains a fact, and a small network that learns it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Int
from torch import Tensor, nn

from gnnkg.core import EVERY_ENTITY, Batch, Candidates, Encoder, Lookup, Model, Objective, Scorer, Space, Vectors
from gnnkg.data.dataset import Dataset
from gnnkg.graph import KnowledgeGraph
from gnnkg.losses import CrossEntropy
from gnnkg.ops.message import propagate
from gnnkg.samplers import AllEntities
from gnnkg.terms import Ranking

RELATIONS = ("parent", "grandparent", "knows", "likes")
NUM_LINES, GENERATIONS = 5, 5


class BellmanFord(Encoder):
    """The states of all entities as seen from a head, by T layers of message passing; the head's boundary enters each."""

    hides = "facts"
    from_head = True

    def __init__(self, graph: KnowledgeGraph, space: Space, num_layers: int = 3) -> None:
        super().__init__()
        self.num_layers = num_layers
        self.query = nn.Embedding(2 * graph.num_relations, space.entity_dim)
        self.read = nn.Embedding(2 * graph.num_relations, space.relation_dim)
        self.relation = nn.ParameterList(
            torch.randn(2 * graph.num_relations, space.entity_dim) for _ in range(num_layers)
        )
        self.mix = nn.ModuleList(nn.Linear(space.entity_dim, space.entity_dim) for _ in range(num_layers))

    def forward(self, graph: KnowledgeGraph) -> Lookup:
        edges, weight = graph.messages

        def lookup(
            head: Int[Tensor, " B"], relation: Int[Tensor, " B"], candidates: Candidates = EVERY_ENTITY
        ) -> Vectors:
            query = self.query(relation)  # (B, D)
            batch = torch.arange(len(head))
            x = boundary = query.new_zeros(graph.num_entities, *query.shape).index_put((head, batch), query)
            for t, mix in enumerate(self.mix):
                layer = weight if weight is None or weight.dim() == 1 else weight[t]
                x = torch.tanh(mix(propagate(x, self.relation[t], edges, layer, boundary)))
            states = x.transpose(0, 1)  # (B, N, D)
            tables = candidates.table
            if tables is not None:
                tables = tables.repeat_interleave(len(head) // len(tables), 0)
                states = states.gather(1, tables.unsqueeze(-1).expand(-1, -1, x.shape[-1]))
            own = None if candidates.own is None else x[candidates.own, batch]
            return Vectors(torch.ones_like(query), self.read(relation), states, own)

        return lookup


def family() -> tuple[Dataset, tuple[int, int, int]]:
    """Lines of a parent each, whose grandparents are known but for one; everybody knows and likes people of other lines.

    Gives the data set and (head, parent, tail) of the fact (head, grandparent, tail) that is left out: it stands in test. Of all
    paths from that head to that tail only parent, parent says why; the head also knows and likes friends who know the tail.
    """
    draw = torch.Generator().manual_seed(3)
    people = NUM_LINES * GENERATIONS
    line = torch.arange(people) // GENERATIONS
    facts = [(i, 0, i + 1) for i in range(people - 1) if line[i] == line[i + 1]]
    facts += [(i, 1, i + 2) for i in range(people - 2) if line[i] == line[i + 2]]
    for relation in (2, 3):
        others = torch.randint(people, (2 * people,), generator=draw).tolist()
        facts += [(i // 2, relation, other) for i, other in enumerate(others) if line[i // 2] != line[other]]
    head, parent, tail = 1, 2, 3
    one, another = people - 1, people - GENERATIONS - 1  # friends of other lines
    facts += [(head, 2, one), (one, 2, tail), (head, 3, another), (another, 2, tail)]
    facts.remove((head, 1, tail))
    graph = KnowledgeGraph(torch.tensor(sorted(set(facts))), people, len(RELATIONS))
    test = torch.tensor([[head, 1, tail]])
    dataset = Dataset(
        name="family",
        graph=graph,
        valid=test[:0],
        test=test,
        entities=tuple(f"person:{i}" for i in range(people)),
        relations=RELATIONS,
        entity_labels=tuple(f"Person {i}" for i in range(people)),
    )
    return dataset, (head, parent, tail)


@contextmanager
def one_thread() -> Iterator[None]:
    """Tensors of this size are not worth a second one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trained(
    encoder: Callable[[KnowledgeGraph, Space], Encoder], scorer: Scorer, dataset: Dataset, steps: int = 40
) -> Model:
    """A model that has learned who the grandparents and grandchildren are."""
    model = Model(encoder(dataset.graph, scorer.space), scorer)
    objective = Objective(AllEntities(), {"plain": Ranking(CrossEntropy())})
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    head, relation, tail = dataset.graph.facts[dataset.graph.facts[:, 1] == 1].unbind(1)
    asked = torch.cat([head, tail]), torch.cat([relation, relation + len(RELATIONS)]), torch.cat([tail, head])
    batch = Batch(dataset.graph, *asked, torch.ones(len(asked[0])))
    with one_thread():
        for _ in range(steps):
            optimizer.zero_grad()
            objective(model, batch)["plain"].backward()
            optimizer.step()
    return model
