from __future__ import annotations

import copy
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from gnnkg.core import EVERY_ENTITY, Candidates, Encoder, Hidden, Shift, Space, Vectors
from gnnkg.graph import KnowledgeGraph
from gnnkg.ops.backends import recomputed
from gnnkg.ops.cones import Cones, Iteration
from gnnkg.ops.message import Adjacency, Aggregate, Message, degree_scales, degrees, propagate
from gnnkg.ops.rows import rows
from gnnkg.ops.update import update

SPARSE = 0.4
"""the part of all states and messages below which it takes less time to compute those alone; they are not, where their plan, of
PLANNED bytes a message in all layers together, takes more memory than what all layers keep of all entities"""
PLANNED = 56
"""bytes that a plan holds for each message: its source, relation, target, edge and place by source, and the first two in 32 bits"""
KEPT = 7
"""vectors that a layer keeps of each state for the backward pass: the state, what it receives by PNA (four), and two sums"""


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

    ``sparse``: compute only the states that the asked scores depend on (``gnnkg.ops.cones``), to the same result but for
    rounding; None: where that takes less time, and no more memory. On CPU.
    """

    inductive = True
    from_head = True

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
        sparse: bool | None = None,
    ) -> None:
        super().__init__(graph)
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1, not {num_layers}")
        dim = space.entity_dim if dim is None else dim
        if message == "rotate" and dim % 2:
            raise ValueError(f"message='rotate' turns pairs of numbers: dim must be even, not {dim}")
        self.num_relations = graph.num_relations
        self.num_layers = num_layers
        self.hides = hides
        self.recompute = recompute
        self.dependent = dependent
        self.sparse = sparse
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
        part = graph.part_of
        whole = self.messages if part is None else part.graph.messages
        self.degree = degrees(*whole.of_layer(0))
        self.scales = degree_scales(self.degree, encoder.query.weight.dtype)
        if part is not None:
            self.degree, self.scales = self.degree[part.entities], self.scales[part.entities]
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
            state = self._run(layer, state, query, boundary, *self.messages.of_layer(number), self.scales)
        return state

    def _run(self, layer: nn.Module, *arguments: object) -> Tensor:
        if not self.encoder.recompute or not torch.is_grad_enabled():
            return layer(*arguments)
        again = {"use_reentrant": False, "preserve_rng_state": False, "context_fn": recomputed}
        return cast(Tensor, checkpoint(layer, *arguments, **again))

    def _cones(
        self, head: Int[Tensor, " B"], relation: Int[Tensor, " B"], candidates: Int[Tensor, "B K"] | None
    ) -> tuple[Cones, Int[Tensor, " C"]] | None:
        """The states to compute, and the relation of each kind of query; or None for all states."""
        sparse, layers = self.encoder.sparse, self.encoder.layers
        if head.device.type != "cpu":
            if sparse:
                raise NotImplementedError(
                    f"NBFNet(sparse=True) runs on the CPU, not on {head.device}: leave sparse out"
                )
            return None
        if sparse is False or not len(head):
            return None
        # queries of a kind share the vectors of the edges' relations
        kinds, kind = relation[:1], torch.zeros_like(relation)
        if self.encoder.dependent:
            kinds, kind = torch.unique(relation, return_inverse=True)
        cones = Cones(self.messages.edges, head, kind, len(kinds), candidates, len(layers))
        if cones.num_messages >= 2**31:
            if sparse:
                raise ValueError(
                    f"NBFNet(sparse=True) counts messages in 32 bits, and a batch of {len(head):,} queries has "
                    f"{cones.num_messages:,}: give it fewer queries, or leave sparse out"
                )
            return None
        every = len(layers) * len(head) * (self.num_entities + len(self.messages.edges))
        vector = self.boundaries.shape[1] * self.boundaries.element_size()
        kept = len(layers) * len(head) * self.num_entities * vector * (1 if self.encoder.recompute else KEPT)
        small = PLANNED * cones.num_messages <= kept
        less = small and cones.num_states + cones.num_messages < SPARSE * every
        return (cones, kinds) if sparse or less else None

    def _states_of(
        self, cones: Cones, kinds: Int[Tensor, " C"], source: Float[Tensor, "B D"]
    ) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B K D"]]:
        """h^(T) of the heads and of the candidates; ``kinds`` are the relations of each kind of query."""
        encoder, plan = self.encoder, cones.plan(self.degree)
        query = encoder.query(kinds) if encoder.dependent else None
        state = source.new_zeros(plan.num_first, source.shape[1]).index_put((plan.first,), source)
        for number, (layer, step) in enumerate(zip(encoder.layers, plan.iterations, strict=True)):
            weight = self.messages.of_layer(number).weight
            weight = None if weight is None else weight[step.edges.order]
            boundary = source.new_zeros(len(step.node), source.shape[1]).index_put((step.head,), source)
            scales = self.scales[step.node]
            given = query, boundary.unsqueeze(1), step.edges, weight, scales, step
            state = self._run(layer, state.unsqueeze(1), *given).squeeze(1)
        return rows(plan.iterations[-1].head, state), rows(plan.found, state)

    def __call__(
        self, head: Int[Tensor, " B"], relation: Int[Tensor, " B"], candidates: Candidates = EVERY_ENTITY
    ) -> Vectors:
        encoder, table, own = self.encoder, candidates.table, candidates.own
        query = encoder.query(relation)
        source = query if self.shift is None else query + self.shift(head, relation)
        each = torch.arange(len(head), device=head.device)
        wanted = None if table is None else table.repeat_interleave(len(head) // len(table), 0)  # (B, K)
        if wanted is not None and own is not None:
            wanted = torch.cat([wanted, own.unsqueeze(1)], 1)
        needed = self._cones(head, relation, wanted)
        if needed is not None:
            of_head, tail = self._states_of(*needed, source)
        else:
            states = self.states(head, query, source)
            of_head = states[head, each]
            tail = states.transpose(0, 1) if wanted is None else states[wanted, each.unsqueeze(1)]
        of_head, tail = encoder.to_entity(of_head), encoder.to_entity(tail)
        if own is None:
            return Vectors(of_head, encoder.to_relation(query), tail)
        positive = tail[each, own] if table is None else tail[:, -1]
        return Vectors(of_head, encoder.to_relation(query), tail if table is None else tail[:, :-1], positive)


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
        sent: Float[Tensor, "M B D"],
        query: Float[Tensor, "Q D"] | None,
        boundary: Float[Tensor, "N B D"],
        edges: Adjacency,
        weight: Float[Tensor, " E"] | None,
        scales: Float[Tensor, "N 3"],
        step: Iteration | None = None,
    ) -> Float[Tensor, "N B D"]:
        """States after the iteration, of those before it, ``sent``.

        ``step``: of some states only. They are then those of one query (B = 1), whoever's they are.
        """
        relations = self.relations(query)
        if step is not None and relations.dim() == 3:
            relations = relations.flatten(0, 1)  # of relation r and kind k at r Q + k
        received = propagate(sent, relations, edges, weight, boundary, self.message, self.aggregate)
        state = sent if step is None else rows(step.before, sent.squeeze(1)).unsqueeze(1)
        # W [state; received], or with PNA W [state; received * each scaler], without the joined vector
        scales = scales if self.aggregate == "pna" else scales[:, :1]
        sizes = [boundary.shape[2]] + scales.shape[1] * [received.shape[-1]]
        of_state, *of_received = self.linear.weight.split(sizes, dim=1)
        own = functional.linear(state, of_state, self.linear.bias)
        norm = None if self.norm is None else (self.norm.weight, self.norm.bias)
        shortcut = state if self.shortcut else None
        if self.aggregate != "pna" or (step is None and boundary.shape[1] < sizes[0]):
            parts = functional.linear(received, torch.cat(of_received)).unflatten(-1, (-1, sizes[0]))
            return update(own, parts, scales, norm, shortcut)
        # one matrix a node in place of one a scaler, a third of the work; states sorted by degree share it
        if step is not None:
            scales = scales[torch.tensor([0, *step.runs]).cumsum(0)[:-1]]
        matrices = torch.tensordot(scales, torch.stack(of_received), 1).mT  # (N, 4 D, D)
        if step is None:
            return update(torch.baddbmm(own, received, matrices), norm=norm, shortcut=shortcut)
        each = zip(received.split(step.runs), matrices.unbind(), strict=True)
        return update(own + torch.cat([x @ matrix for x, matrix in each]), norm=norm, shortcut=shortcut)

    def relations(self, query: Float[Tensor, "Q D"] | None) -> Float[Tensor, "R D"] | Float[Tensor, "R Q D"]:
        """The vectors of the edges' relations: free ones, or a linear map of each query."""
        if isinstance(self.relation, nn.Embedding) or query is None:
            return self.relation.weight
        matrices = self.relation.weight.unflatten(0, (-1, query.shape[1]))  # (R, D, D)
        return query @ matrices.transpose(1, 2) + self.relation.bias.view(-1, 1, query.shape[1])
