"""An encoded graph whose vectors carry noise, the same for the same seed however queries are batched."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnnkg.core import EVERY_ENTITY, Candidates, Encoder, Lookup, Vectors
from gnnkg.graph import KnowledgeGraph
from gnnkg.noise import Family
from gnnkg.ops.matching.drawn import WORD, mix, stir

Target = Literal["query", "all"]
"""``"query"``: noise of its own for each query on its head, candidates clean. ``"all"``: one noisy table of entities, read as
heads and as candidates"""


def keyed_noise(
    keys: Int[Tensor, " X"], width: int, seed: int, family: Family = "gaussian"
) -> Float[Tensor, "X {width}"]:
    """Independent components of mean 0 and variance 1 that depend on the key, the seed and the place alone; float64.

    The inverse distribution at a hash of 32 bits, mixed as in ``gnnkg.ops.matching.drawn``.
    """
    start = mix(seed & WORD)
    salt = mix((seed >> 32 ^ start) & WORD)
    key = mix(mix(keys.long().unsqueeze(1) + start) ^ salt)
    word = stir(key ^ mix(torch.arange(1, width + 1, device=keys.device)))
    uniform = (word.double() + 0.5) / (WORD + 1)  # in (0, 1)
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
        return vectors.replace(head=vectors.head + self._table[head], tail=vectors.tail + table, own=own)


class Encoded(Encoder):
    """An encoder that has encoded already: it gives the same lookup for any graph."""

    def __init__(self, lookup: Lookup) -> None:
        super().__init__()
        self.lookup = lookup

    def forward(self, graph: KnowledgeGraph) -> Lookup:
        return self.lookup
