from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from gnnkg.core import Batch, Candidates, Labels
from gnnkg.graph import KnowledgeGraph
from gnnkg.ops.cpu import kernel, run
from gnnkg.samplers.tables import OfGraph, behind_own, draw_below, known
from gnnkg.stored import computed_once, digest

VERSION = 1
"""of the walks: to be raised where the same arguments give other ones"""
REDRAWS = 4


class Visited(NamedTuple):
    """The entities that walks from each entity have visited: those of e are ``entities[starts[e]:starts[e + 1]]``."""

    starts: Int[Tensor, " N+1"]
    entities: Int[Tensor, " V"]
    """int32, with one more at the end, so that there is something at every start"""

    def draw(self, head: Int[Tensor, " X"], num: int) -> Int[Tensor, "X {num}"]:
        """Uniform from the visited; from all entities where there are none."""
        first, count = self.starts[head], self.starts[head + 1] - self.starts[head]
        drawn = draw_below(torch.where(count > 0, count, len(self.starts) - 1), num)
        count, first = count[:, None], first[:, None]
        return torch.where(count > 0, self.entities[first + torch.where(count > 0, drawn, 0)].long(), drawn)


class StructureAware:
    """Negatives drawn uniformly, with replacement, from the entities near the head: those visited by ``walks`` random walks of
    ``hops`` steps over edges in both directions, however often. Each query has a table of its own, behind its own tail.

    RW-SANS (Ahrabian et al., EMNLP 2020), whose arguments are the defaults. A step takes one of an entity's edges, uniformly; the
    head itself counts where a walk comes back to it. As published, a head without edges has all entities for neighbours, and with
    ``filtered`` known training tails are rejected: drawn anew a few times, then masked; a query for which nothing but known
    tails was drawn gets draws from all entities instead.

    The walks are done once for a graph, seeded by ``seed`` and the entity, so that they do not depend on the number of threads, and
    ``on_disk`` keeps them in the user's cache. At most ``limit`` of the visited are kept, a uniform sample (the paper keeps all):
    4 * limit bytes an entity or less, 300 MB for 75,000 entities, and twice that while it is built.
    """

    def __init__(
        self,
        num_negatives: int = 256,
        hops: int = 3,
        walks: int = 1000,
        limit: int = 1000,
        filtered: bool = True,
        seed: int = 0,
        on_disk: bool = True,
    ) -> None:
        if min(num_negatives, hops, walks, limit) < 1:
            told = f"{num_negatives}, {hops}, {walks} and {limit}"
            raise ValueError(f"num_negatives, hops, walks and limit must be at least 1, not {told}")
        self.num_negatives = num_negatives
        self.hops = hops
        self.walks = walks
        self.limit = limit
        self.filtered = filtered
        self.seed = seed
        self.on_disk = on_disk
        self._visited = OfGraph(self._walked)

    def __call__(self, batch: Batch) -> tuple[Candidates, Labels]:
        visited = self._visited.of(batch.graph)
        table = visited.draw(batch.head, self.num_negatives)
        if not self.filtered:
            return behind_own(batch, table, None)
        rejected = known(batch, table)
        for _ in range(REDRAWS):
            row, column = rejected.nonzero(as_tuple=True)
            if not len(row):
                break
            head, relation = batch.head[row], batch.relation[row]
            again = visited.draw(head, 1)[:, 0]
            table[row, column] = again
            rejected[row, column] = batch.graph.known.holds(head, relation, again)
        alone = rejected.all(1).nonzero()[:, 0]
        if len(alone):
            table[alone] = torch.randint(
                batch.graph.num_entities, (len(alone), self.num_negatives), device=table.device
            )
            rejected = known(batch, table)
        return behind_own(batch, table, ~rejected)

    def _walked(self, graph: KnowledgeGraph) -> Visited:
        starts, neighbours = _neighbours(graph)

        def walk() -> dict[str, Tensor]:
            return walked(starts, neighbours, self.hops, self.walks, self.limit, self.seed)._asdict()

        if not self.on_disk:
            found = walk()
        else:
            about = {name: getattr(self, name) for name in ("hops", "walks", "limit", "seed")}
            facts = digest({"starts": starts, "neighbours": neighbours})
            found = computed_once("walks", about | {"facts": facts, "version": VERSION}, walk)
        return Visited(found["starts"].to(graph.device), found["entities"].to(graph.device))


def _neighbours(graph: KnowledgeGraph) -> tuple[Int[Tensor, " bounds"], Int[Tensor, " E"]]:
    """The far ends of each entity's edges, ascending, an edge more than once where several facts make it; on the CPU."""
    key = torch.sort(graph.edges.head * graph.num_entities + graph.edges.tail).values.cpu()
    starts = torch.zeros(graph.num_entities + 1, dtype=torch.int64)
    starts[1:] = torch.bincount(key // graph.num_entities, minlength=graph.num_entities).cumsum(0)
    return starts, (key % graph.num_entities).int()


def walked(
    starts: Int[Tensor, " bounds"], neighbours: Int[Tensor, " E"], hops: int, walks: int, limit: int, seed: int
) -> Visited:
    """What random walks from every entity visit. The kernel's work."""
    num_entities = len(starts) - 1
    width = min(limit, hops * walks, num_entities)
    visited = np.empty((num_entities, width), dtype=np.int32)
    sizes = np.zeros(num_entities, dtype=np.int64)
    arguments = starts, neighbours, hops, walks, np.uint64(seed % 2**64), visited, sizes
    run(_walk, num_entities, 20 * num_entities * hops * walks, *arguments)
    kept = visited[np.arange(width) < sizes[:, None]]
    ends = torch.zeros(num_entities + 1, dtype=torch.int64)
    ends[1:] = torch.from_numpy(sizes).cumsum(0)
    return Visited(ends, torch.from_numpy(np.append(kept, np.int32(0))))


STEP, FIRST, SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@kernel
def _mixed(z):  # type: ignore[no-untyped-def]
    """The output function of splitmix64."""
    z = (z ^ (z >> np.uint64(30))) * FIRST
    z = (z ^ (z >> np.uint64(27))) * SECOND
    return z ^ (z >> np.uint64(31))


@kernel
def _below(state, limit):  # type: ignore[no-untyped-def]
    """A number in [0, limit), limit < 2^32, from the upper half of the state's output."""
    return np.int64(((_mixed(state) >> np.uint64(32)) * np.uint64(limit)) >> np.uint64(32))


@kernel
def _walk(first, last, starts, neighbours, hops, walks, seed, visited, sizes):  # type: ignore[no-untyped-def]
    num_entities, width = visited.shape
    seen_by = np.full(num_entities, -1, dtype=np.int32)
    found = np.empty(min(num_entities, hops * walks), dtype=np.int32)
    for entity in range(first, last):
        state = _mixed(seed + STEP * np.uint64(entity + 1))
        count = 0
        if starts[entity] < starts[entity + 1]:
            for _ in range(walks):
                here = np.int64(entity)
                for _ in range(hops):
                    state += STEP
                    here = np.int64(neighbours[starts[here] + _below(state, starts[here + 1] - starts[here])])
                    if seen_by[here] != entity:
                        seen_by[here] = entity
                        found[count] = here
                        count += 1
        kept = min(count, width)
        for i in range(kept):
            if kept < count:  # a uniform sample: the first places of a shuffle
                state += STEP
                other = i + _below(state, count - i)
                found[i], found[other] = found[other], found[i]
            visited[entity, i] = found[i]
        sizes[entity] = kept
