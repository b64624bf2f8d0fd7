from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gnnkg.core import Encoder, Hidden, Space
from gnnkg.encoders.neighbours import Neighbours, neighbours
from gnnkg.encoders.table import Table, TableLookup
from gnnkg.graph import KnowledgeGraph
from gnnkg.ops.message import propagate


class GCN(Encoder):
    """Graph convolution over free entity vectors, blind to relations.

        H' = relu(A H W),    A = D^(-1/2) (neighbours and itself) D^(-1/2),    D: how many neighbours, itself included

    Kipf and Welling, "Semi-supervised classification with graph convolutional networks", ICLR 2017; for alignment Wang et al.
    (GCN-Align), EMNLP 2018. Neighbours count once, whichever way and however often they are related. No relu after the last layer.
    ``diagonal`` keeps W to a diagonal, which starts at 1.

    Entity and relation vectors start as the scorer's convention says, or as ``init`` does; ``inverse`` as for ``Table``.
    Raises ValueError without a layer.
    """

    def __init__(
        self,
        graph: KnowledgeGraph,
        space: Space,
        num_layers: int = 2,
        diagonal: bool = False,
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
        self.table = Table(graph, space, inverse, entity_dropout, relation_dropout, init)
        shape = (space.entity_dim,) if diagonal else (space.entity_dim, space.entity_dim)
        self.weights = nn.ParameterList(torch.ones(shape) for _ in range(num_layers))
        if not diagonal:
            for weight in self.weights:
                nn.init.xavier_uniform_(weight)

    def forward(self, graph: KnowledgeGraph) -> TableLookup:
        entity = self.table.rows(graph)
        for number, weight in enumerate(self.weights):
            entity = spread(entity, neighbours(graph.messages.of_layer(number)))
            entity = entity * weight if weight.dim() == 1 else entity @ weight
            if number + 1 < self.num_layers:
                entity = torch.relu(entity)
        return TableLookup(self.table, entity)


def spread(entity: Float[Tensor, "N D"], around: Neighbours) -> Float[Tensor, "N D"]:
    """A H: what each entity's neighbours and itself hold, each divided by the roots of both degrees."""
    edges, weight = around
    weight = entity.new_ones(len(edges)) if weight is None else weight.to(entity.dtype)
    degree = entity.new_zeros(edges.num_nodes).index_add(0, edges.target, weight)  # at least 1: itself
    root = degree.rsqrt()
    share = weight * root[edges.target] * root[edges.source]
    same = entity.new_ones(1, entity.shape[1])
    return propagate(entity.unsqueeze(1), same, edges, share).squeeze(1)
