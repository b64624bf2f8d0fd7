from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gnnkg.core import Encoder, Hidden, Space
from gnnkg.encoders.table import Table, TableLookup
from gnnkg.graph import KnowledgeGraph, Messages
from gnnkg.ops.message import Adjacency, propagate

Composition = Literal["sub", "mult", "corr"]


class CompGCN(Encoder):
    """Graph convolution that composes entities with relations, under any scorer; relations are encoded too.

        h'_v = tanh(norm( (1/3) sum over in, out, loop of W_dir sum_{(u, r, v)} phi(h_u, z_r) / sqrt(d_u d_v) )),  z'_r = W_rel z_r

    phi: h - z ("sub"), h * z ("mult"), circular correlation ("corr"). Vashishth et al., "Composition-based Multi-Relational Graph
    Convolutional Networks", ICLR 2020. "in" edges are the facts as stated, "out" their inverses, each with a matrix of its own; d_u
    counts the edges of that direction that leave u, d_v those that reach v. In a part of a graph, as ``Sampled`` encodes it, they
    are those of the whole, and the sum over the edges that are there is scaled up to all that reach v.

    ``dropout`` acts on in and out, ``hidden_dropout`` on the result; in training only. Entities and relations start at width
    ``dim`` (None: the scorer's entity width) from Xavier's normal values or as ``init`` says, 2R relations.
    """

    def __init__(
        self,
        graph: KnowledgeGraph,
        space: Space,
        num_layers: int = 1,
        composition: Composition = "corr",
        dim: int | None = None,
        dropout: float = 0.1,
        hidden_dropout: float = 0.3,
        hides: Hidden = "nothing",
        init: Callable[[Tensor, Tensor], None] | None = None,
    ) -> None:
        super().__init__(graph)
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1, not {num_layers}")
        self.num_layers = num_layers
        self.hides = hides
        dim = space.entity_dim if dim is None else dim
        self.table = Table(graph, Space(dim, dim, init=_xavier), init=init)
        widths = [dim] + [space.entity_dim] * num_layers
        self.layers = nn.ModuleList(_Layer(before, after, composition, dropout) for before, after in pairwise(widths))
        self.relations = nn.ModuleList(
            nn.Linear(before, after, bias=False) for before, after in pairwise([*widths[:-1], space.relation_dim])
        )
        self.hidden_dropout = nn.Dropout(hidden_dropout)

    def forward(self, graph: KnowledgeGraph) -> TableLookup:
        entity, relation = self.table.rows(graph), self.table.relation
        for number, (layer, turn) in enumerate(zip(self.layers, self.relations, strict=True)):
            ways = _ways(graph, number)
            entity = self.hidden_dropout(layer(entity, relation, ways))
            relation = turn(relation)
        return TableLookup(self.table, entity, relation)


class _Layer(nn.Module):
    def __init__(self, before: int, after: int, composition: Composition, dropout: float) -> None:
        super().__init__()
        self.composition: Composition = composition
        self.ways = nn.ModuleList(nn.Linear(before, after, bias=False) for _ in range(2))
        self.loop = nn.Linear(before, after, bias=False)
        self.loop_relation = nn.Parameter(torch.empty(1, before))
        self.norm = nn.BatchNorm1d(after)
        self.dropout = nn.Dropout(dropout)
        nn.init.xavier_normal_(self.loop_relation)

    def forward(
        self, entity: Float[Tensor, "N D"], relation: Float[Tensor, "R D"], ways: list[Messages]
    ) -> Float[Tensor, "N O"]:
        """``ways``: the edges of both directions, with their weights / sqrt(d_u d_v)."""
        total = self.loop(compose(self.composition, entity, self.loop_relation))
        for linear, messages, vectors in zip(self.ways, ways, relation.chunk(2), strict=True):
            total = total + self.dropout(linear(_received(self.composition, entity, vectors, *messages)))
        return torch.tanh(self.norm(total / 3))


def compose(
    composition: Composition, entity: Float[Tensor, "N D"], relation: Float[Tensor, "X D"]
) -> Float[Tensor, "N D"]:
    """phi(h, z) of each row; X is N, or 1. corr_k = sum_i h_i z_(i + k), indices modulo D."""
    if composition == "sub":
        return entity - relation
    if composition == "mult":
        return entity * relation
    product = torch.fft.rfft(entity).conj() * torch.fft.rfft(relation)
    return torch.fft.irfft(product, n=entity.shape[1])


def _received(
    composition: Composition,
    entity: Float[Tensor, "N D"],
    relation: Float[Tensor, "R D"],
    edges: Adjacency,
    weight: Float[Tensor, " E"] | None,
) -> Float[Tensor, "N D"]:
    """The weighted sum of phi(h_u, z_r) over the edges that come in at each entity."""
    if composition == "sub":
        return propagate(entity.unsqueeze(1), -relation, edges, weight, message="add").squeeze(1)
    if composition == "mult":
        return propagate(entity.unsqueeze(1), relation, edges, weight).squeeze(1)
    # a correlation is a product of Fourier coefficients, and the sum over edges may be taken of those
    sent, turn = torch.fft.rfft(entity).conj(), torch.fft.rfft(relation)
    sent, turn = (torch.cat([z.real, z.imag], 1) for z in (sent, turn))
    re, im = propagate(sent.unsqueeze(1), turn, edges, weight, message="rotate").squeeze(1).chunk(2, dim=1)
    return torch.fft.irfft(torch.complex(re, im), n=entity.shape[1])


def _ways(graph: KnowledgeGraph, layer: int) -> list[Messages]:
    """The edges of both directions, each with its weight / sqrt(d_u d_v), and in a part scaled up."""
    ways, seen, part = graph.messages_by_direction, graph.degrees_by_direction(layer), graph.part_of
    of_whole = seen if part is None else [each.of(part.entities) for each in part.graph.degrees_by_direction(layer)]
    normalised = [_normalised(way.of_layer(layer), *each) for way, each in zip(ways, of_whole, strict=True)]
    if part is None:
        return [Messages(*way) for way in normalised]
    some, every = (one.reach + other.reach for one, other in (seen, of_whole))
    up = every / some.clamp(min=1)
    return [Messages(edges, weight * up[edges.target]) for edges, weight in normalised]


def _normalised(messages: Messages, leave: Int[Tensor, " N"], reach: Int[Tensor, " N"]) -> tuple[Adjacency, Tensor]:
    edges, weight = messages
    root = (leave[edges.source] * reach[edges.target]).clamp(min=1).float().rsqrt()
    return edges, root if weight is None else weight * root


def _xavier(entity: Tensor, relation: Tensor) -> None:
    nn.init.xavier_normal_(entity)
    nn.init.xavier_normal_(relation)
