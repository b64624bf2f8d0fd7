"""A knowledge graph: N entities, R relations and the facts that may be learned from, over a DGL heterograph.

Facts are (M, 3) int64 tensors with columns head, relation, tail, in the direction in which they were stated. Backwards,
a fact is (tail, relation + R, head). A graph holds *training* facts only; those held out live in the data set.
"""

from __future__ import annotations

import copy
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gnnkg import interchange
from gnnkg.annotations import Annotations
from gnnkg.ops.members import members, others, ranges
from gnnkg.ops.message import Adjacency

if TYPE_CHECKING:
    import dgl
    import torch_geometric.data

Facts = Int[Tensor, "M 3"]


class Vocabulary(NamedTuple):
    """What ids stand for."""

    entities: tuple[str, ...]
    relations: tuple[str, ...]


class Edges(NamedTuple):
    """Facts, or facts in both directions: the first M as stated, the last M backwards."""

    head: Int[Tensor, " E"]
    relation: Int[Tensor, " E"]
    tail: Int[Tensor, " E"]


class Messages(NamedTuple):
    """What message passing reads of a graph: its edges, sorted once, and how much each counts."""

    edges: Adjacency
    weight: Float[Tensor, " E"] | Float[Tensor, "T E"] | None
    """0 where an edge was taken away by ``without``, otherwise 1, or what ``weighted`` has given: of shape (E,) for every layer,
    of shape (T, E) one row a layer; None: all edges are there, with weight 1"""

    def of_layer(self, layer: int) -> Messages:
        """The edges with their weights in layer 0, 1 ..., of shape (E,)."""
        weight = self.weight
        return Messages(self.edges, weight if weight is None or weight.dim() == 1 else weight[layer])


class Degrees(NamedTuple):
    """How many edges of one direction leave each entity, and how many reach it."""

    leave: Int[Tensor, " N"]
    reach: Int[Tensor, " N"]

    def of(self, entities: Int[Tensor, " X"]) -> Degrees:
        return Degrees(self.leave[entities], self.reach[entities])


class Origin(NamedTuple):
    """Which entities of another graph a part of it has."""

    entities: Int[Tensor, " N"]
    graph: KnowledgeGraph
    """the other graph, whole"""

    @property
    def num_entities(self) -> int:
        """Of the other graph."""
        return self.graph.num_entities


class Known(NamedTuple):
    """Ragged known tails of a batch of queries: those of query b are ``tails[starts[b]:starts[b + 1]]``, ascending."""

    starts: Int[Tensor, " B+1"]
    tails: Int[Tensor, " T"]

    @property
    def queries(self) -> Int[Tensor, " T"]:
        """The query that each tail is known for."""
        return torch.repeat_interleave(torch.arange(len(self.starts) - 1, device=self.tails.device), self.starts.diff())


class KnownTails:
    """Which tails are known for a query (head, relation), relation in [0, 2R); from any set of facts.

    One sorted array of keys, in which a head's follow each other; a batch is looked up in O(B log M) without a Python loop.
    """

    def __init__(self, facts: Facts, num_entities: int, num_relations: int) -> None:
        self.num_entities = num_entities
        self.num_relations = num_relations
        head, relation, tail = both_directions(facts, num_relations)
        keys = torch.unique((head * (2 * num_relations) + relation) * num_entities + tail)
        self._keys = keys
        self._tails = keys % num_entities
        heads = torch.arange(num_entities + 1, device=keys.device)
        self._starts = torch.searchsorted(keys, self._key(heads, torch.zeros_like(heads)))  # of each head's keys

    def _key(self, head: Tensor, relation: Tensor) -> Tensor:
        """The key of the triple with tail 0, by which those of a query begin."""
        return (head.long() * (2 * self.num_relations) + relation) * self.num_entities

    def _rows(self, head: Tensor, relation: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
        """The keys, and where the known tails of these queries are sought among them (``gnnkg.ops.members``)."""
        return self._keys, self._starts, head.long(), self._key(head, relation), self.num_entities

    def _ranges(self, head: Tensor, relation: Tensor) -> tuple[Tensor, Tensor]:
        return ranges(*self._rows(head, relation))

    def to(self, device: torch.device | str) -> KnownTails:
        """The same index on another device."""
        moved = object.__new__(KnownTails)
        moved.num_entities, moved.num_relations = self.num_entities, self.num_relations
        moved._keys, moved._starts = self._keys.to(device), self._starts.to(device)
        moved._tails = self._tails.to(device)
        return moved

    def of(self, head: Int[Tensor, " B"], relation: Int[Tensor, " B"]) -> Known:
        """The known tails of each query."""
        first, end = self._ranges(head, relation)
        count = end - first
        starts = torch.zeros(len(head) + 1, dtype=torch.int64, device=head.device)
        torch.cumsum(count, 0, out=starts[1:])
        offset = torch.repeat_interleave(first - starts[:-1], count, output_size=int(starts[-1]))
        return Known(starts, self._tails[torch.arange(int(starts[-1]), device=head.device) + offset])

    def count(self, head: Int[Tensor, " B"], relation: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
        """How many tails are known for each query."""
        first, end = self._ranges(head, relation)
        return end - first

    def among(
        self, head: Int[Tensor, " B"], relation: Int[Tensor, " B"], tails: Int[Tensor, "S K"]
    ) -> Bool[Tensor, "B K"]:
        """Which of some tails are known for each query; B / S consecutive ones share a row of them."""
        return members(*self._rows(head, relation), tails.long())

    def others(
        self,
        head: Int[Tensor, " B"],
        relation: Int[Tensor, " B"],
        tail: Int[Tensor, " B"],
        uniform: Float[Tensor, "B P"],
    ) -> tuple[Int[Tensor, "B P"], Bool[Tensor, "B P"]]:
        """Known tails of each query besides ``tail``, and which of the P places they fill: all if there are no more than P, else
        one from each of P equal parts, drawn by numbers that are ``uniform`` in [0, 1). What is not filled holds ``tail``.
        """
        return others(*self._rows(head, relation), tail.long(), uniform)

    def holds(
        self, head: Int[Tensor, " *#X"], relation: Int[Tensor, " *#X"], tail: Int[Tensor, " *#X"]
    ) -> Bool[Tensor, " *X"]:
        """Whether each triple is known. The three broadcast."""
        key = self._key(head, relation) + tail
        if not len(self._keys):
            return torch.zeros_like(key, dtype=torch.bool)
        place = torch.searchsorted(self._keys, key).clamp_(max=len(self._keys) - 1)
        return self._keys[place] == key


def both_directions(facts: Facts, num_relations: int) -> Edges:
    head, relation, tail = facts.unbind(1)
    return Edges(torch.cat([head, tail]), torch.cat([relation, relation + num_relations]), torch.cat([tail, head]))


def _degrees(messages: Messages) -> Degrees:
    edges, weight = messages
    here = slice(None) if weight is None else weight != 0
    leave, reach = (torch.bincount(ends[here], minlength=edges.num_nodes) for ends in (edges.source, edges.target))
    return Degrees(leave, reach)


def _places(keys: Int[Tensor, " M"], wanted: Int[Tensor, " X"]) -> Int[Tensor, " Y"]:
    """Where the wanted keys stand in sorted ones, every copy of each."""
    first = torch.searchsorted(keys, wanted)
    count = torch.searchsorted(keys, wanted, right=True) - first
    ends = count.cumsum(0)
    total = int(ends[-1]) if len(ends) else 0
    return torch.arange(total, device=keys.device) + torch.repeat_interleave(
        first - ends + count, count, output_size=total
    )


class KnowledgeGraph:
    """N entities, R relations, and M facts to learn from.

    Raises ValueError where a fact names an entity or a relation outside [0, N) or [0, R), or 2 R N^2 does not
    fit into 63 bits. Facts are kept in their order; duplicates are kept too (the readers of ``gnnkg.data`` drop them).

    A graph that ``without`` has made shares the sorted edges of the one it came from, and masks those that are gone. So does
    one that ``weighted`` has made. Weights are for message passing: ``facts``, ``subgraph`` and other formats know nothing of them.
    """

    vocabulary: Vocabulary | None
    """the names behind the ids, by which graphs of other entities or relations are told apart; None: they are not known"""
    annotations: Annotations | None = None
    """labels, texts and numbers of the entities, which the data set gives (as DGL's ``ndata``); None: there are none"""
    part_of: Origin | None = None
    """where this is a ``part`` of another graph, whose names and annotations it has"""

    def __init__(
        self, facts: Facts, num_entities: int, num_relations: int, vocabulary: Vocabulary | None = None
    ) -> None:
        if facts.dim() != 2 or facts.shape[1] != 3:
            raise ValueError(f"facts must be a tensor of shape (M, 3), not {tuple(facts.shape)}")
        if 2 * num_relations * num_entities**2 >= 2**63:
            sizes = f"{num_entities:,} entities and {num_relations:,} relations"
            raise ValueError(f"{sizes} make more possible facts than 64-bit keys can number")
        facts = facts.long()
        if len(facts):
            low, high = facts.min(0).values.tolist(), facts.max(0).values.tolist()
            for column, name, limit in (
                (0, "head", num_entities),
                (1, "relation", num_relations),
                (2, "tail", num_entities),
            ):
                if low[column] < 0 or high[column] >= limit:
                    worst = low[column] if low[column] < 0 else high[column]
                    raise ValueError(f"{name} ids must lie in [0, {limit}), but there is {worst}")
        self._facts: Facts | None = facts
        self._whole, self._kept, self._weight = self, None, None
        self.num_entities = num_entities
        self.num_relations = num_relations
        self.vocabulary = vocabulary

    def named(self, vocabulary: Vocabulary | None) -> KnowledgeGraph:
        """This graph, with the names that its ids stand for."""
        graph = copy.copy(self)
        graph.vocabulary = vocabulary
        if self._whole is self:
            graph._whole = graph
        return graph

    def annotated(self, annotations: Annotations | None) -> KnowledgeGraph:
        """This graph, with what else is known about its entities."""
        graph = self.named(self.vocabulary)
        graph.annotations = annotations
        return graph

    def _less(self, gone: Int[Tensor, " X"]) -> KnowledgeGraph:
        """This graph less some facts of ``_whole``, by their rows there."""
        whole = self._whole
        kept = torch.ones(len(whole.facts), dtype=torch.bool, device=gone.device) if self._kept is None else self._kept
        return self._sharing(None, kept.index_fill(0, gone, False), self._weight)

    def _sharing(self, facts: Facts | None, kept: Tensor | None, weight: Tensor | None) -> KnowledgeGraph:
        """A graph on the sorted edges of this one; facts are found when they are asked for, where they are None."""
        graph = object.__new__(KnowledgeGraph)
        graph.num_entities, graph.num_relations = self.num_entities, self.num_relations
        graph.vocabulary, graph.annotations, graph.part_of = self.vocabulary, self.annotations, self.part_of
        graph._facts, graph._whole, graph._kept, graph._weight = facts, self._whole, kept, weight
        return graph

    @property
    def facts(self) -> Facts:
        if self._facts is None:
            self._facts = self._whole.facts[self._kept]
        return self._facts

    def __repr__(self) -> str:
        sizes = f"{self.num_entities:,} entities, {self.num_relations:,} relations, {len(self.facts):,} facts"
        return f"KnowledgeGraph({sizes})"

    @property
    def device(self) -> torch.device:
        return self._whole.facts.device

    def to(self, device: torch.device | str) -> KnowledgeGraph:
        facts = self.facts.to(device)  # the tensor itself where it is there already, also for "cuda" and "cuda:0"
        if facts is self.facts:
            return self
        moved = KnowledgeGraph(facts, self.num_entities, self.num_relations, self.vocabulary)
        if self._weight is not None:
            moved._weight = self._weight[..., self._kept_edges].to(device)
        moved.annotations = None if self.annotations is None else self.annotations.to(device)
        if self.part_of is not None:
            moved.part_of = Origin(self.part_of.entities.to(device), self.part_of.graph.to(device))
        return moved

    @cached_property
    def edges(self) -> Edges:
        """The facts in both directions."""
        return both_directions(self.facts, self.num_relations)

    @property
    def _stated(self) -> Edges:
        """The facts in their own direction alone."""
        return Edges(*self.facts.unbind(1))

    @cached_property
    def known(self) -> KnownTails:
        """The known tails of this graph's own facts."""
        return KnownTails(self.facts, self.num_entities, self.num_relations)

    @cached_property
    def seen(self) -> Bool[Tensor, " N"]:
        """Which entities occur in a fact."""
        seen = torch.zeros(self.num_entities, dtype=torch.bool, device=self.device)
        seen[self.facts[:, 0]] = True
        seen[self.facts[:, 2]] = True
        return seen

    def holds_unseen(self, facts: Facts) -> Bool[Tensor, " M"]:
        """Which of some facts hold an entity that occurs in no fact of this graph; where ``facts`` are."""
        seen = self.seen.to(facts.device)
        return ~(seen[facts[:, 0]] & seen[facts[:, 2]])

    def without(
        self, head: Int[Tensor, " X"], relation: Int[Tensor, " X"] | None, tail: Int[Tensor, " X"]
    ) -> KnowledgeGraph:
        """This graph less the given facts, in whichever direction they are given (relation in [0, 2R)).

        ``relation=None`` removes every fact between each pair of head and tail, in both directions. O(X log M).
        """
        if relation is None:
            keys, rows = self._whole._rows_by_pair
            gone = torch.cat([head * self.num_entities + tail, tail * self.num_entities + head])
        else:
            keys, rows = self._whole._rows_by_fact
            back = relation >= self.num_relations
            base = torch.where(back, relation - self.num_relations, relation)
            source, target = torch.where(back, tail, head), torch.where(back, head, tail)
            gone = (source * self.num_relations + base) * self.num_entities + target
        return self._less(rows[_places(keys, torch.unique(gone))])

    def weighted(self, weight: Float[Tensor, " E"] | Float[Tensor, "T E"]) -> KnowledgeGraph:
        """This graph with a weight of each edge in every layer, (E,), or of each layer's own, (T, E), in place of earlier ones.

        Weights are in the order of ``messages.edges``, and ``messages.weight`` is that very tensor. Edges that ``without`` takes
        away, before or after, keep their places and get weight 0. Raises ValueError where there is not one weight an edge.
        """
        num_edges = 2 * len(self._whole.facts)
        if weight.dim() not in (1, 2) or weight.shape[-1] != num_edges:
            shapes = f"({num_edges},), or a row of these for each layer"
            raise ValueError(f"expected a weight of each edge, of shape {shapes}, not {tuple(weight.shape)}")
        if weight.device != self.device:
            raise ValueError(f"the weights are on {weight.device} and the graph on {self.device}: move them with .to()")
        return self._sharing(self._facts, self._kept, weight)

    @cached_property
    def _rows_by_fact(self) -> tuple[Tensor, Tensor]:
        """Keys of the facts, sorted, and the row of each."""
        head, relation, tail = self.facts.unbind(1)
        return torch.sort((head * self.num_relations + relation) * self.num_entities + tail)

    @cached_property
    def _rows_by_pair(self) -> tuple[Tensor, Tensor]:
        """Keys of the facts' heads and tails, sorted, and the row of each."""
        return torch.sort(self.facts[:, 0] * self.num_entities + self.facts[:, 2])

    @property
    def _kept_edges(self) -> Bool[Tensor, " E"]:
        """Which of the edges that are shared are there."""
        order = self._whole.messages.edges.order
        if self._kept is None:
            return torch.ones_like(order, dtype=torch.bool)
        return self._kept[order % len(self._kept)]

    @cached_property
    def messages(self) -> Messages:
        """The facts as edges that carry messages, in both directions: head to tail by r, tail to head by r + R."""
        if self._whole is not self:
            edges = self._whole.messages.edges
            if self._kept is None:
                return Messages(edges, self._weight)
            kept = self._kept_edges.float()
            return Messages(edges, kept if self._weight is None else self._weight * kept)
        return Messages(self._adjacency(self.edges, 2 * self.num_relations), self._weight)

    def _adjacency(self, edges: Edges, num_relations: int) -> Adjacency:
        once = self.part_of is not None  # a part is drawn for a batch
        return Adjacency.of(edges.head, edges.relation, edges.tail, self.num_entities, num_relations, once=once)

    @cached_property
    def messages_by_direction(self) -> tuple[Messages, Messages]:
        """The edges of ``messages`` apart: those as stated and those backwards, each with relations in [0, R)."""
        whole = self._whole
        if whole is not self:
            forwards, backwards = (way.edges for way in whole.messages_by_direction)
        else:
            head, relation, tail = self.facts.unbind(1)
            both = Edges(head, relation, tail), Edges(tail, relation, head)
            forwards, backwards = (self._adjacency(way, self.num_relations) for way in both)
        if self._weight is not None:
            edges, weight = self.messages
            assert weight is not None
            there, back = edges.place.chunk(2)  # of each fact
            there, back = there[forwards.order], back[backwards.order]
            return Messages(forwards, weight[..., there]), Messages(backwards, weight[..., back])
        if self._kept is None:
            return Messages(forwards, None), Messages(backwards, None)
        kept = self._kept.float()
        return Messages(forwards, kept[forwards.order]), Messages(backwards, kept[backwards.order])

    def degrees_by_direction(self, layer: int = 0) -> tuple[Degrees, Degrees]:
        """How many edges of ``messages_by_direction`` each entity has whose weight in a layer is not 0."""
        layer = layer if self.messages.weight is not None and self.messages.weight.dim() == 2 else 0
        if layer not in self._counted:
            forwards, backwards = (way.of_layer(layer) for way in self.messages_by_direction)
            self._counted[layer] = _degrees(forwards), _degrees(backwards)
        return self._counted[layer]

    @cached_property
    def _counted(self) -> dict[int, tuple[Degrees, Degrees]]:
        """What ``degrees_by_direction`` has counted, by layer."""
        return {}

    def subgraph(self, entities: Int[Tensor, " X"]) -> tuple[KnowledgeGraph, Int[Tensor, " X"]]:
        """The graph induced by some entities, renumbered 0, 1, ... in ascending order of their old ids, and those ids.

        Relations keep their ids.
        """
        kept = torch.unique(entities)
        new = torch.full((self.num_entities,), -1, dtype=torch.int64, device=self.device)
        new[kept] = torch.arange(len(kept), device=self.device)
        head, relation, tail = new[self.facts[:, 0]], self.facts[:, 1], new[self.facts[:, 2]]
        inside = (head >= 0) & (tail >= 0)
        facts = torch.stack([head, relation, tail], 1)[inside]
        names = self.vocabulary
        if names is not None:
            names = Vocabulary(tuple(names.entities[i] for i in kept.tolist()), names.relations)
        graph = KnowledgeGraph(facts, len(kept), self.num_relations, names)
        if self.annotations is not None:
            graph.annotations = self.annotations.of(kept)
        return graph, kept

    def neighbourhood(
        self, entities: Int[Tensor, " X"], num_hops: int, fanout: int
    ) -> tuple[Int[Tensor, " n"], Int[Tensor, " e"]]:
        """Entities from which messages reach the given ones along sampled edges, ascending, and these edges of ``messages``.

        In each of ``num_hops`` rounds, at most ``fanout`` of the edges that come in at each entity found so far are drawn,
        uniformly and without replacement, by DGL; seeded by torch's generator. On the CPU, whatever the graph's device.
        """
        from gnnkg._dgl import dgl

        edges, weight = self._whole.messages.edges, self.messages.of_layer(0).weight
        around = self._whole._homogeneous
        here = None if weight is None else (weight.detach() != 0).float().cpu()
        dgl.seed(int(torch.randint(2**31, ())))
        found, drawn = torch.unique(entities.cpu()), []
        for _ in range(num_hops):
            with around.local_scope():
                if here is not None:
                    around.edata["here"] = here
                sample = dgl.sampling.sample_neighbors(around, found, fanout, prob=None if here is None else "here")
            drawn.append(sample.edata[dgl.EID])
            found = torch.unique(torch.cat([found, edges.source.cpu()[drawn[-1]]]))
        return found.to(self.device), torch.unique(torch.cat(drawn)).to(self.device)

    @cached_property
    def _homogeneous(self) -> dgl.DGLGraph:
        """The edges of ``messages``, in their order, as DGL samples from them."""
        from gnnkg._dgl import dgl

        edges = self.messages.edges
        return dgl.graph((edges.source.cpu(), edges.target.cpu()), num_nodes=self.num_entities)

    def part(self, entities: Int[Tensor, " n"], edges: Int[Tensor, " e"]) -> KnowledgeGraph:
        """Some entities, renumbered in their order, and some edges of ``messages`` between them, with their weights.

        ``part_of`` holds the entities' ids in this graph, by which an encoder finds vectors for them and their degrees. An edge
        may be there in one direction only: messages are weighted, and ``facts`` are those of which either direction is there.
        """
        whole, num_facts = self._whole, len(self._whole.facts)
        order = whole.messages.edges.order
        rows, row_of = torch.unique(order[edges] % num_facts, return_inverse=True)
        new = torch.full((self.num_entities,), -1, dtype=torch.int64, device=self.device)
        new[entities] = torch.arange(len(entities), device=self.device)
        head, relation, tail = whole.facts[rows].unbind(1)
        facts = torch.stack([new[head], relation, new[tail]], 1)
        graph = KnowledgeGraph(facts, len(entities), self.num_relations, self.vocabulary)
        graph.annotations = self.annotations
        graph.part_of = (
            Origin(entities, self)
            if self.part_of is None
            else Origin(self.part_of.entities[entities], self.part_of.graph)
        )
        weight = self.messages.weight
        given = torch.zeros(*([] if weight is None else weight.shape[:-1]), 2 * len(rows), device=self.device)
        given[..., row_of + len(rows) * (order[edges] >= num_facts)] = 1.0 if weight is None else weight[..., edges]
        return graph.weighted(given[..., graph.messages.edges.order])

    @cached_property
    def heterograph(self) -> dgl.DGLGraph:
        """This graph as DGL sees it: node type ``entity``, one canonical edge type a relation, facts as stated."""
        return self.to_dgl()

    def to_dgl(self, inverse: bool = False) -> dgl.DGLGraph:
        """A DGL heterograph: node type ``entity``; relation r is edge type number r, and with ``inverse`` r + R too.

        A type's name is its number, with zeros before it up to a common width: DGL numbers types by the order of their names,
        and so ``graph.etypes[r]`` is relation r, and ``dgl.to_homogeneous(graph).edata[dgl.ETYPE]`` holds relations. Every one of
        the R (or 2R) edge types exists, also those without an edge. Training facts only: a data set gives its other splits by
        ``Dataset.graph_with``. Features of the entities are ``ndata[name]``, (N, F); bools in ``ndata[name + "_present"]``
        say which numbers are there. Raises ValueError where there is no relation at all.
        """
        if not self.num_relations:
            raise ValueError("a DGL heterograph needs an edge type, but this graph has no relation")
        edges, num_types = (self.edges, 2 * self.num_relations) if inverse else (self._stated, self.num_relations)
        graph = interchange.heterograph(edges.head, edges.relation, edges.tail, self.num_entities, num_types)
        rows = None if self.part_of is None else self.part_of.entities
        return interchange.with_features(graph, self.annotations, rows)

    @staticmethod
    def from_dgl(
        graph: dgl.DGLGraph, edges: interchange.Chosen | None = None, etype: str | None = None
    ) -> tuple[KnowledgeGraph, list[str], list[str]]:
        """A knowledge graph from any DGL graph, with the names that its ids stand for.

        A heterograph: each canonical edge type becomes a relation (its name, or ``source:name:target`` where several
        share it) and nodes of several types are numbered one type after the other (``type/id``). The order of types is
        kept where they are named 0, 1, 2 ... as by ``to_dgl``. A homogeneous graph: ``edata['etype']`` gives the
        relations if it is there, or what ``dgl.to_homogeneous`` leaves, ``edata[dgl.ETYPE]``, or the column that ``etype`` names;
        otherwise there is one. ``edges``: which edges to take, a mask or the name of one in ``edata``; it must be said where
        ``edata`` has masks. Columns of ``ndata`` become features (``interchange.features_of``).
        """
        found, features = interchange.facts_of(graph, edges, etype), interchange.features_of(graph, etype)
        made = KnowledgeGraph(found.facts, len(found.entities), len(found.relations))
        if features:
            made = made.annotated(Annotations(tuple(found.entities), {}, features))
        return made, found.entities, found.relations

    def to_pyg(self, inverse: bool = False) -> torch_geometric.data.Data:
        """A PyTorch Geometric ``Data`` with edge_index (2, M), edge_type (M,) and num_nodes.

        Raises ImportError, with the command that mends it, where torch_geometric is not installed.
        """
        edges = self.edges if inverse else self._stated
        return interchange.pyg_data(edges.head, edges.relation, edges.tail, self.num_entities)
