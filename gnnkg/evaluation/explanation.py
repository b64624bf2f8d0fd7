"""Why a model gives an answer: paths from the head to it, or known facts that are like it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from gnnkg.core import Candidates, Model
from gnnkg.data.dataset import Dataset
from gnnkg.evaluation.paths import Path, heaviest_paths
from gnnkg.evaluation.prediction import question
from gnnkg.evaluation.ranks import evaluating
from gnnkg.graph import KnowledgeGraph

Kind = Literal["path", "similar fact", "short path"]
MEANING: dict[Kind, str] = {
    "path": "how fast the score grows with the weight of an edge, on average over the path's edges",
    "similar fact": "mean cosine similarity of its two ends to those of the answer, in the model's vectors",
    "short path": "probability of that path for a random walk along the same relations; the model has no part in it",
}
"""what the weight of a reason says"""
SHORT = 3
"""how many edges a short path has at most"""


@dataclass(frozen=True, slots=True)
class Step:
    """A known fact, walked from head to tail; in labels."""

    head: str
    relation: str
    tail: str
    backwards: bool
    """the fact is stated from tail to head"""


@dataclass(frozen=True, slots=True)
class Reason:
    """What speaks for an answer."""

    kind: Kind
    weight: float
    """comparable among reasons of one kind; see MEANING"""
    steps: tuple[Step, ...]

    @property
    def words(self) -> str:
        """``Bern <-[capital]- Switzerland -[borders]-> France``"""
        arrows = (f"<-[{step.relation}]-" if step.backwards else f"-[{step.relation}]->" for step in self.steps)
        tails = (f" {arrow} {step.tail}" for arrow, step in zip(arrows, self.steps, strict=True))
        return self.steps[0].head + "".join(tails)


def explain(
    model: Model,
    dataset: Dataset,
    *,
    relation: str,
    answer: str,
    head: str | None = None,
    tail: str | None = None,
    paths: int = 3,
    beam: int = 10,
) -> list[Reason]:
    """Reasons for an answer to (head, relation, ?), or to (?, relation, tail): up to ``paths`` of each kind, best first.

    The fact in question is taken out of the training graph first where it is there: an answer is not its own reason. So what is
    explained may be another score than ``predict`` has given.

    A model that passes messages in T layers is explained as in NBFNet's paper (Zhu et al., "Neural Bellman-Ford Networks",
    NeurIPS 2021): every edge has a weight of 1 in every layer, the importance of an edge in a layer is the gradient
    of the answer's score by that weight, and a path's is the mean of its edges'. The paper has their sum, in which a long
    detour wins that shares but its last edges with the path that counts. Paths have at most T
    edges, in layers that follow one another or leave some out; see ``heaviest_paths``. A path whose weight is not positive
    speaks for nothing, and is left out.

    An encoder that does not start ``from_head`` encodes the head too, by the messages that come in there. A path between head and
    answer then has up to 2T edges: against the messages from the head to some entity that both are encoded from, the head's
    last layer first, and with them from there to the answer.

    Where no such path leads to the answer, or the model is shallow, the reasons are supporting facts instead, and their kind says
    so: known facts of the same relation whose ends the model places near those of the answer, and short paths, by the probability
    that a random walk from the head which follows the relations of the path takes it: the product over its steps of 1 / how many
    edges of the relation leave the entity.

    Raises UnknownName for a name that the data set has not, ValueError where not exactly one of head and tail is given.
    """
    if paths < 1 or beam < 1:
        raise ValueError(f"paths and beam are how many to give and to keep, at least 1, not {paths} and {beam}")
    asked, asked_relation = question(dataset, relation, head, tail)
    found = dataset.entity_id(answer)
    graph = dataset.graph.to(next(model.parameters(), dataset.graph.facts).device)
    graph = graph.without(*torch.tensor([[asked], [asked_relation], [found]], device=graph.device))
    reasons: dict[Kind, list[Path]] = {}
    if model.encoder.num_layers:
        reasons["path"] = _gradient_paths(model, graph, asked, asked_relation, found, paths, beam)
    if not reasons.get("path"):
        reasons["similar fact"] = _similar_facts(model, graph, asked, asked_relation, found, paths)
        reasons["short path"] = _short_paths(graph, asked, found, paths, beam)
    return [Reason(kind, path.weight, _in_labels(dataset, path)) for kind, some in reasons.items() for path in some]


def edge_importance(model: Model, graph: KnowledgeGraph, head: int, relation: int, answer: int) -> Float[Tensor, "T E"]:
    """The gradient of the answer's score by the weight of each edge in each layer, in the order of ``graph.messages.edges``.

    Raises ValueError where the encoder has layers, but does not read these weights.
    """
    edges, weight = graph.messages
    if not len(edges):
        return torch.empty(model.encoder.num_layers, 0, device=graph.device)
    ones = torch.ones(model.encoder.num_layers, len(edges), device=graph.device)
    leaf = (
        (ones if weight is None else ones * weight.detach()).to(next(model.parameters(), ones).dtype).requires_grad_()
    )
    ids = torch.tensor([head, relation, answer], device=graph.device)
    with evaluating(model), torch.enable_grad():
        score = model(graph.weighted(leaf), ids[:1], ids[1:2], Candidates(ids[2:].unsqueeze(0)))[0, 0]
        (gradient,) = torch.autograd.grad(score, leaf, allow_unused=True)
    if gradient is None:
        raise ValueError(
            f"{type(model.encoder).__name__} has {len(leaf)} layers, but its score does not depend on the weights of the "
            f"edges: it should pass graph.messages.weight to propagate"
        )
    return gradient


def _present(graph: KnowledgeGraph) -> Bool[Tensor, " E"] | None:
    weight = graph.messages.weight
    return None if weight is None else (torch.atleast_2d(weight) != 0).any(0)


def _gradient_paths(
    model: Model, graph: KnowledgeGraph, head: int, relation: int, answer: int, count: int, beam: int
) -> list[Path]:
    importance = edge_importance(model, graph, head, relation, answer)
    edges, present = graph.messages.edges, _present(graph)
    if not model.encoder.from_head:
        there, back = edges.place.chunk(2)  # of each fact
        against = torch.empty_like(edges.place)
        against[there], against[back] = back, there
        importance = torch.cat([importance.flip(0)[:, against], importance])
    found = heaviest_paths(edges, importance, head, answer, count, max(beam, count), mean=True, present=present)
    return [path for path in found if path.weight > 0]


def _similar_facts(
    model: Model, graph: KnowledgeGraph, head: int, relation: int, answer: int, count: int
) -> list[Path]:
    """Facts of the relation, each a path of one edge, by how near its ends lie to those of the answer."""
    query = torch.tensor([head, relation], device=graph.device)
    with evaluating(model):
        vectors = model.encoder(graph)(query[:1], query[1:]).tail[0]  # (N, D), as the model sees them for this query
    vectors = functional.normalize(vectors.float(), dim=1)
    facts = graph.facts[graph.facts[:, 1] == relation % graph.num_relations]
    source, target = (facts[:, 0], facts[:, 2]) if relation < graph.num_relations else (facts[:, 2], facts[:, 0])
    similarity = (vectors[source] @ vectors[head] + vectors[target] @ vectors[answer]) / 2
    order = torch.argsort(similarity, descending=True, stable=True)[:count]
    return [
        Path(weight, ((h, r, t),))
        for weight, (h, r, t) in zip(similarity[order].tolist(), facts[order].tolist(), strict=True)
    ]


def _short_paths(graph: KnowledgeGraph, head: int, answer: int, count: int, beam: int) -> list[Path]:
    """Paths of at most SHORT edges by their probability (the path-constrained random walk of Lao and Cohen, 2010)."""
    edges, present = graph.messages.edges, _present(graph)
    key = edges.source * edges.num_relations + edges.relation
    _, group = torch.unique(key, return_inverse=True)
    choices = torch.bincount(group, weights=None if present is None else present.double())
    log = -choices[group].double().log()  # of an edge that is gone: never read
    paths = heaviest_paths(edges, log.expand(SHORT, -1), head, answer, count, max(beam, count), present=present)
    return [Path(math.exp(path.weight), path.steps) for path in paths]


def _in_labels(dataset: Dataset, path: Path) -> tuple[Step, ...]:
    entities, relations, num_relations = dataset.entity_labels, dataset.relation_labels, len(dataset.relations)
    return tuple(
        Step(entities[head], relations[relation % num_relations], entities[tail], backwards=relation >= num_relations)
        for head, relation, tail in path.steps
    )
