from __future__ import annotations

import copy

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from gnnkg.core import EVERY_ENTITY, Candidates, Encoder, Hidden, Shift, Space, Vectors
from gnnkg.graph import KnowledgeGraph
from gnnkg.ops.backends import recomputed
from gnnkg.ops.message import Adjacency, Aggregate, Message, degree_scales, degrees, propagate
from gnnkg.ops.update import update


class NBFNet(Encoder):
    """Neural Bellman-Ford: the vector of an entity v is a learned sum over all paths from the query's head u to v.

        h^(0)_v = [v = u] q
        h^(t)_v = h^(t-1)_v + relu(norm(W [h^(t-1)_v ; AGG({h^(t-1)_x * w^(t)_q,r : (x, r, v)} and {h^(0)_v})]))

    Zhu et al., "Neural Bellman-Ford Networks: A General Graph Neural Network Framework for Link Prediction", NeurIPS 2021. q is
    the vector of the query's relation, 2R of them. There is no vector of an entity: what is learned holds on any graph with
    the same relations. Tail vectors are h^(T), a table of its own for each query; the head's vector is that of u itself. Under
    ``MLP(reads_head=False)`` it is the published model.

    ``dependent``: edges' relation vectors are a linear map of q, a different one a layer (published for FB15k-237); otherwise
    free vectors a layer (WN18RR). ``hides``: what an objective takes out of the graph, the batch's facts or every fact between
    their heads and tails (published for FB15k-237). ``recompute`` keeps a layer's input only and computes it again in the
    backward pass: about a third more time, for a fraction of the memory.
    """

    inductive = True

    def __init__(
        self,
        graph: KnowledgeGraph,
        space: Space,
        num_layers: int = 6,
        dim: int | None = None,
        message: Message = "mul",
        aggregate: Aggregate = "pna",
        dependent: bool = True,
        layer_norm: bool = True,
        shortcut: bool = True,
        hides: Hidden = "facts",
        recompute: bool = False,
    ) -> None:
        super().__init__(graph)
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1, not {num_layers}")
        dim = space.entity_dim if dim is None else dim
        self.num_relations = graph.num_relations
        self.num_layers = num_layers
        self.hides = hides
        self.recompute = recompute
        self.query = nn.Embedding(2 * graph.num_relations, dim)
        self.layers = nn.ModuleList(
            _Layer(dim, 2 * graph.num_relations, message, aggregate, dependent, layer_norm, shortcut)
            for _ in range(num_layers)
        )
        # vectors of the width that the scorer reads, where it is another
        self.to_entity = nn.Identity() if dim == space.entity_dim else nn.Linear(dim, space.entity_dim)
        self.to_relation = nn.Identity() if dim == space.relation_dim else nn.Linear(dim, space.relation_dim)

    def forward(self, graph: KnowledgeGraph) -> NBFNetLookup:
        if graph.num_relations != self.num_relations:
            raise ValueError(
                f"this NBFNet knows {self.num_relations:,} relations, and the graph has {graph.num_relations:,}: it "
                "works on other entities, but on no other relations"
            )
        return NBFNetLookup(self, graph)


class NBFNetLookup:
    """Runs Bellman-Ford for the queries that are asked."""

    def __init__(self, encoder: NBFNet, graph: KnowledgeGraph) -> None:
        self.encoder = encoder
        self.num_entities = graph.num_entities
        self.messages = graph.messages
        self.scales = degree_scales(degrees(*self.messages.of_layer(0)), encoder.query.weight.dtype)
        self.shift: Shift | None = None

    @property
    def boundaries(self) -> Float[Tensor, "R D"]:
        """q of every relation."""
        return self.encoder.query.weight

    def shifted(self, shift: Shift) -> NBFNetLookup:
        """From h^(0)_u = q + shift; the relations of the edges and of the scorer are those of q."""
        moved = copy.copy(self)
        moved.shift = shift
        return moved

    def states(
        self, head: Int[Tensor, " B"], query: Float[Tensor, "B D"], source: Float[Tensor, "B D"]
    ) -> Float[Tensor, "N B D"]:
        """h^(T) of every entity, for each query; h^(0) of its head is ``source``."""
        encoder = self.encoder
        boundary = query.new_zeros(self.num_entities, len(head), query.shape[1])
        boundary = boundary.index_put((head, torch.arange(len(head), device=head.device)), source)
        state = boundary
        for number, layer in enumerate(encoder.layers):
            arguments = (state, query, boundary, *self.messages.of_layer(number), self.scales)
            if encoder.recompute and torch.is_grad_enabled():
                again = {"use_reentrant": False, "preserve_rng_state": False, "context_fn": recomputed}
                state = checkpoint(layer, *arguments, **again)
            else:
                state = layer(*arguments)
        return state

    def __call__(
        self, head: Int[Tensor, " B"], relation: Int[Tensor, " B"], candidates: Candidates = EVERY_ENTITY
    ) -> Vectors:
        encoder = self.encoder
        query = encoder.query(relation)
        source = query if self.shift is None else query + self.shift(head, relation)
        states = self.states(head, query, source)
        each = torch.arange(len(head), device=head.device)
        if candidates.table is None:
            tail = states.transpose(0, 1)
        else:
            table = candidates.table.repeat_interleave(len(head) // len(candidates.table), 0)  # (B, K)
            tail = states[table, each.unsqueeze(1)]
        own = None if candidates.own is None else encoder.to_entity(states[candidates.own, each])
        return Vectors(encoder.to_entity(states[head, each]), encoder.to_relation(query), encoder.to_entity(tail), own)


class _Layer(nn.Module):
    """One Bellman-Ford iteration."""

    def __init__(
        self,
        dim: int,
        num_relations: int,
        message: Message,
        aggregate: Aggregate,
        dependent: bool,
        layer_norm: bool,
        shortcut: bool,
    ) -> None:
        super().__init__()
        self.message: Message = message
        self.aggregate: Aggregate = aggregate
        self.shortcut = shortcut
        self.relation = nn.Linear(dim, num_relations * dim) if dependent else nn.Embedding(num_relations, dim)
        # PNA's four statistics, times three scalers of the degree
        self.linear = nn.Linear(13 * dim if aggregate == "pna" else 2 * dim, dim)
        self.norm = nn.LayerNorm(dim) if layer_norm else None

    def forward(
        self,
        state: Float[Tensor, "N B D"],
        query: Float[Tensor, "B D"],
        boundary: Float[Tensor, "N B D"],
        edges: Adjacency,
        weight: Float[Tensor, " E"] | None,
        scales: Float[Tensor, "N 3"],
    ) -> Float[Tensor, "N B D"]:
        received = propagate(state, self.relations(query), edges, weight, boundary, self.message, self.aggregate)
        dim = query.shape[1]
        # W [state; received], or with PNA W [state; received * each scaler], without the joined vector
        scales = scales if self.aggregate == "pna" else scales[:, :1]
        of_state, *of_received = self.linear.weight.split([dim] + scales.shape[1] * [received.shape[-1]], dim=1)
        own = functional.linear(state, of_state, self.linear.bias)
        parts = functional.linear(received, torch.cat(of_received)).unflatten(-1, (-1, dim))
        norm = None if self.norm is None else (self.norm.weight, self.norm.bias)
        return update(own, parts, scales, norm, state if self.shortcut else None)

    def relations(self, query: Float[Tensor, "B D"]) -> Float[Tensor, "R D"] | Float[Tensor, "R B D"]:
        """The vectors of the edges' relations: free ones, or a linear map of each query."""
        if isinstance(self.relation, nn.Embedding):
            return self.relation.weight
        matrices = self.relation.weight.unflatten(0, (-1, query.shape[1]))  # (R, D, D)
        return query @ matrices.transpose(1, 2) + self.relation.bias.view(-1, 1, query.shape[1])
