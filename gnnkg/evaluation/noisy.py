"""Vectors that carry noise, the same for the same seed however queries are batched: those that are read, or earlier ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnnkg.core import EVERY_ENTITY, Candidates, Encoder, Lookup, Model, Vectors
from gnnkg.graph import KnowledgeGraph
from gnnkg.inputs import encode_from, from_boundary, input_table
from gnnkg.noise import Family, entity_vectors
from gnnkg.ops import hashing

Target = Literal["query", "all"]
"""``"query"``: noise of its own for each query on its head, candidates clean. ``"all"``: one noisy table of entities, read as
heads and as candidates"""
Part = Literal["vector", "boundary", "table"]
"""what carries the noise: the entities' vectors as the scorer reads them; the vector of the query from which NBFNet starts; the
table of free vectors that a graph encoder reads"""


def keyed_noise(
    keys: Int[Tensor, " X"], width: int, seed: int, family: Family = "gaussian"
) -> Float[Tensor, "X {width}"]:
    """Independent components of mean 0 and variance 1 that depend on the key, the seed and the place alone; float64.

    The inverse distribution at a hash of 32 bits, mixed as in ``gnnkg.ops.hashing``.
    """
    place = hashing.mix(torch.arange(1, width + 1, device=keys.device))
    word = hashing.stir(hashing.keys(keys.long().unsqueeze(1), seed) ^ place)
    uniform = (word.double() + 0.5) / (hashing.WORD + 1)  # in (0, 1)
    if family == "gaussian":
        return torch.special.ndtri(uniform)
    if family == "uniform":
        return (2 * uniform - 1) * math.sqrt(3)
    if family == "laplacian":
        centred = uniform - 0.5
        return -centred.sign() * torch.log1p(-2 * centred.abs()) / math.sqrt(2)
    raise ValueError(f"noise is gaussian, laplacian or uniform, not {family!r}")


class NoisyLookup:
    """Adds strength * u to what another lookup reads; ``strength`` is alpha * sigma, a number or one an entity (N,).

    Under ``"all"``, a table of candidates a query (NBFNet) gets each entity's noise in every row.
    """

    def __init__(
        self,
        lookup: Lookup,
        graph: KnowledgeGraph,
        strength: Float[Tensor, ""] | Float[Tensor, " N"],
        seed: int = 0,
        target: Target = "query",
        family: Family = "gaussian",
    ) -> None:
        self.lookup = lookup
        self.num_queries = 2 * graph.num_relations
        self.everyone = torch.arange(graph.num_entities, device=graph.device)
        self.strength = strength.expand(graph.num_entities).unsqueeze(1)
        self.seed = seed
        self.target = target
        self.family: Family = family
        self._table: Tensor | None = None

    def __call__(
        self, head: Int[Tensor, " B"], relation: Int[Tensor, " B"], candidates: Candidates = EVERY_ENTITY
    ) -> Vectors:
        vectors = self.lookup(head, relation, candidates)
        width = vectors.head.shape[1]
        if self.target == "query":
            noise = keyed_noise(head * self.num_queries + relation, width, self.seed, self.family)
            return vectors.replace(head=vectors.head + self.strength[head] * noise.to(vectors.head))
        if self._table is None:
            self._table = self.strength * keyed_noise(self.everyone, width, self.seed, self.family).to(vectors.head)
        table = self._table if candidates.table is None else self._table[candidates.table]
        own = vectors.own
        if own is not None:
            assert candidates.own is not None
            own = own + self._table[candidates.own]
        return vectors.replace(head=vectors.head + self._table[head], candidates=vectors.tail + table, own=own)


def noisy_part(
    model: Model, graph: KnowledgeGraph, part: Part, target: Target, family: Family
) -> tuple[Float[Tensor, "X D"], Callable[[Tensor, int], Lookup]]:
    """The vectors that sigma is the spread of, and how a lookup is made of the strength of noise on that part and a seed.

    Raises ValueError where the model does not have the part or noise there would change nothing, and where the target does not fit.
    """
    if part == "table":
        return _noisy_table(model.encoder, graph, target, family)
    if part == "vector":
        lookup = model.encoder(graph)
        if target == "query" and not model.scorer.reads_head:
            raise ValueError(
                f"{type(model.scorer).__name__} does not read the vector of the query's entity: noise on it changes nothing. Ask "
                "for noise on the boundary, the part that NBFNet starts from, or on all entities as candidates (target all)"
            )
        return entity_vectors(lookup, graph.device), lambda strength, seed: NoisyLookup(
            lookup, graph, strength, seed, target, family
        )
    start = from_boundary(model.encoder, graph)
    if target != "query":
        raise ValueError("a boundary is of one query: it goes with target query")

    def shifted(strength: Tensor, seed: int) -> Lookup:
        if strength.dim():
            raise ValueError(
                "no entity has a boundary of its own: noise on it has one sigma for all, not one an entity"
            )

        def shift(head: Int[Tensor, " B"], relation: Int[Tensor, " B"]) -> Float[Tensor, "B D"]:
            keys = head * 2 * graph.num_relations + relation
            return strength * keyed_noise(keys, start.boundaries.shape[1], seed, family).to(start.boundaries)

        return start.shifted(shift)

    return start.boundaries, shifted


def _noisy_table(
    encoder: Encoder, graph: KnowledgeGraph, target: Target, family: Family
) -> tuple[Float[Tensor, "N D"], Callable[[Tensor, int], Lookup]]:
    table = input_table(encoder)
    if target != "all":
        raise ValueError("noise on the input table reaches every entity by messages: it goes with target all")
    everyone = torch.arange(len(table), device=table.device)

    def encoded(strength: Tensor, seed: int) -> Lookup:
        noise = keyed_noise(everyone, table.shape[1], seed, family).to(table)
        moved = table + strength.expand(len(table)).unsqueeze(1) * noise
        return encode_from(encoder, graph, moved)

    return table, encoded


class Encoded(Encoder):
    """An encoder that has encoded already: it gives the same lookup for any graph."""

    def __init__(self, lookup: Lookup) -> None:
        super().__init__()
        self.lookup = lookup

    def forward(self, graph: KnowledgeGraph) -> Lookup:
        return self.lookup
