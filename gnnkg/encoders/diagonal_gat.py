from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gnnkg.core import Encoder, Hidden, Space
from gnnkg.encoders.neighbours import Neighbours, neighbours
from gnnkg.encoders.table import Table, TableLookup
from gnnkg.graph import KnowledgeGraph
from gnnkg.ops.message import propagate


class DiagonalGAT(Encoder):
    """Graph attention with diagonal weights over free entity vectors, blind to relations, as aligners of entities use it.

        h'_v = mean over heads of sum_u alpha_vu (w * h_u),    alpha_vu ~ exp(-LeakyReLU(a [w * h_v || w * h_u])), of sum 1 over u

    Velickovic et al., "Graph attention networks", ICLR 2018, with the sign and the diagonal of KECG (Li et al., EMNLP 2019), EVA,
    MEAformer and SNAG (arXiv 2403.06832). Neighbours count once, whichever way and however often they are related, and every
    entity is its own neighbour. ELU between layers, none after the last. Weights start at 1, a at U(-b, b) with b = 1 / sqrt(2 D).

    Entity and relation vectors start as the scorer's convention says, or as ``init`` does; ``inverse`` as for ``Table``.
    Raises ValueError without a layer or a head.
    """

    def __init__(
        self,
        graph: KnowledgeGraph,
        space: Space,
        num_layers: int = 2,
        num_heads: int = 2,
        slope: float = 0.2,
        entity_dropout: float = 0.0,
        relation_dropout: float = 0.0,
        inverse: Literal["tied", "learned"] = "learned",
        hides: Hidden = "nothing",
        init: Callable[[Tensor, Tensor], None] | None = None,
    ) -> None:
        super().__init__(graph)
        if num_layers < 1 or num_heads < 1:
            raise ValueError(f"num_layers and num_heads must be at least 1, not {num_layers} and {num_heads}")
        self.num_layers = num_layers
        self.hides = hides
        self.table = Table(graph, space, inverse, entity_dropout, relation_dropout, init)
        self.heads = nn.ModuleList(
            nn.ModuleList(_Head(space.entity_dim, slope) for _ in range(num_heads)) for _ in range(num_layers)
        )

    def forward(self, graph: KnowledgeGraph) -> TableLookup:
        entity = self.table.rows(graph)
        for number, heads in enumerate(self.heads):
            around = neighbours(graph.messages.of_layer(number))
            entity = torch.stack([head(entity, around) for head in heads]).mean(0)  # type: ignore[union-attr]  # a ModuleList
            if number + 1 < self.num_layers:
                entity = functional.elu(entity)
        return TableLookup(self.table, entity)


class _Head(nn.Module):
    def __init__(self, dim: int, slope: float) -> None:
        super().__init__()
        self.slope = slope
        self.weight = nn.Parameter(torch.ones(dim))
        self.attention = nn.Parameter(torch.empty(2, dim))  # of the target, of the source
        nn.init.uniform_(self.attention, -((2 * dim) ** -0.5), (2 * dim) ** -0.5)

    def forward(self, entity: Float[Tensor, "N D"], around: Neighbours) -> Float[Tensor, "N D"]:
        edges = around.edges
        of_target, of_source = (entity @ (self.weight * self.attention).T).unbind(1)
        logit = of_target[edges.target] + of_source[edges.source]
        share = softmax_over_sources(-functional.leaky_relu(logit, self.slope), around)
        return propagate(entity.unsqueeze(1), self.weight.unsqueeze(0), edges, share).squeeze(1)


def softmax_over_sources(logit: Float[Tensor, " P"], around: Neighbours) -> Float[Tensor, " P"]:
    """The softmax over each target's sources, times a weight that is 0 where a pair is absent."""
    edges, weight = around
    seen = logit if weight is None else logit.masked_fill(weight == 0, -torch.inf)
    highest = torch.full((edges.num_nodes,), -torch.inf, dtype=logit.dtype, device=logit.device)
    highest = highest.scatter_reduce(0, edges.target, seen.detach(), "amax")  # finite: each has itself
    share = (seen - highest[edges.target]).exp()
    if weight is not None:
        share = share * weight
    total = torch.zeros_like(highest).index_add(0, edges.target, share)
    return share / total[edges.target]
