from __future__ import annotations

from collections.abc import Callable
from typing import Literal
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gnnkg.core import Encoder, Hidden, Space
from gnnkg.encoders.table import Table, TableLookup
from gnnkg.graph import KnowledgeGraph, Messages
from gnnkg.ops.message import Adjacency, propagate


class RGCN(Encoder):
    """Relational graph convolution over free entity vectors, under any scorer.

        h'_v = relu( sum_r sum_{(u, r, v)} W_r h_u / c_{v,r} + W_0 h_v ),    c_{v,r}: how many edges r come in at v

    Schlichtkrull et al., "Modeling Relational Data with Graph Convolutional Networks", ESWC 2018. Edges run both ways, 2R
    relations; no relu after the last layer. ``decomposition="basis"``: W_r is a sum of ``num_bases`` matrices with a weight each a
    relation; ``"block"``: W_r consists of blocks of ``block_size``, which must divide the entity width. Dropout, in training only:
    of edges, of the self-loop, and of the vectors that are read.

    Entity and relation vectors start as the scorer's convention says, or as ``init`` does; ``inverse`` as for ``Table``.
    """

    def __init__(
        self,
        graph: KnowledgeGraph,
        space: Space,
        num_layers: int = 2,
        decomposition: Literal["basis", "block"] = "basis",
        num_bases: int = 2,
        block_size: int = 5,
        edge_dropout: float = 0.0,
        self_loop_dropout: float = 0.0,
        entity_dropout: float = 0.0,
        relation_dropout: float = 0.0,
        inverse: Literal["tied", "learned"] = "learned",
        hides: Hidden = "nothing",
        init: Callable[[Tensor, Tensor], None] | None = None,
    ) -> None:
        super().__init__(graph)
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1, not {num_layers}")
        self.num_layers = num_layers
        self.hides = hides
        self.edge_dropout = edge_dropout
        self.table = Table(graph, space, inverse, entity_dropout, relation_dropout, init)
        num_parts = num_bases if decomposition == "basis" else block_size
        make = _Basis if decomposition == "basis" else _Block
        self.layers = nn.ModuleList(
            make(space.entity_dim, 2 * graph.num_relations, num_parts, self_loop_dropout) for _ in range(num_layers)
        )

    def forward(self, graph: KnowledgeGraph) -> TableLookup:
        entity = self.table.rows(graph)
        for number, layer in enumerate(self.layers):
            edges, weight = graph.messages.of_layer(number)
            if self.edge_dropout and self.training:
                weight = torch.ones(len(edges), device=graph.device) if weight is None else weight
                weight = weight * (torch.rand_like(weight) >= self.edge_dropout)
            entity = layer(entity, edges, _normalised(Messages(edges, weight)))
            if number + 1 < len(self.layers):
                entity = torch.relu(entity)
        return TableLookup(self.table, entity)


_GROUPS: WeakKeyDictionary[Adjacency, Tensor] = WeakKeyDictionary()
"""of edges that have been asked for: which share target and relation, so that training sorts them once"""


def _normalised(messages: Messages) -> Float[Tensor, " E"]:
    """Each edge's weight over the number of edges of its relation that come in at its target."""
    edges, weight = messages
    if edges not in _GROUPS:
        key = edges.target * edges.num_relations + edges.relation
        _GROUPS[edges] = torch.unique(key, return_inverse=True)[1]
    group = _GROUPS[edges]
    here = torch.ones(len(edges), device=edges.device) if weight is None else weight
    count = torch.zeros(len(edges), device=edges.device).index_add_(0, group, (here.detach() != 0).float())
    return here / count[group].clamp(min=1)


class _Basis(nn.Module):
    """W_r = sum_b a_rb V_b"""

    def __init__(self, dim: int, num_relations: int, num_bases: int, self_loop_dropout: float) -> None:
        super().__init__()
        if num_bases < 1:
            raise ValueError(f"num_bases must be at least 1, not {num_bases}")
        self.basis = nn.Parameter(torch.empty(num_bases, dim, dim))
        self.share = nn.Parameter(torch.empty(num_relations, num_bases))
        self.loop = nn.Linear(dim, dim)
        self.loop_dropout = nn.Dropout(self_loop_dropout)
        nn.init.xavier_uniform_(self.basis)
        nn.init.xavier_uniform_(self.share)

    def forward(
        self, entity: Float[Tensor, "N D"], edges: Adjacency, weight: Float[Tensor, " E"]
    ) -> Float[Tensor, "N D"]:
        sent = torch.einsum("nd,bde->nbe", entity, self.basis)
        share = self.share.unsqueeze(2).expand(-1, -1, sent.shape[2])
        return propagate(sent, share, edges, weight).sum(1) + self.loop_dropout(self.loop(entity))


class _Block(nn.Module):
    """W_r is block-diagonal. One state for each diagonal of the blocks: state s of a block holds it turned by s places."""

    def __init__(self, dim: int, num_relations: int, block_size: int, self_loop_dropout: float) -> None:
        super().__init__()
        if block_size < 1 or dim % block_size:
            raise ValueError(f"block_size must divide the entity width {dim}, and {block_size} does not")
        self.block_size = block_size
        self.diagonal = nn.Parameter(torch.empty(num_relations, block_size, dim))
        self.loop = nn.Linear(dim, dim)
        self.loop_dropout = nn.Dropout(self_loop_dropout)
        nn.init.normal_(self.diagonal, std=block_size**-0.5)

    def forward(
        self, entity: Float[Tensor, "N D"], edges: Adjacency, weight: Float[Tensor, " E"]
    ) -> Float[Tensor, "N D"]:
        blocks = entity.unflatten(1, (-1, self.block_size))
        turned = torch.stack([blocks.roll(-s, dims=2).flatten(1) for s in range(self.block_size)], 1)
        return propagate(turned, self.diagonal, edges, weight).sum(1) + self.loop_dropout(self.loop(entity))
