"""Multi-hop queries out of any data set: a walk backwards from an answer, which is then forgotten."""

from __future__ import annotations

import random
from collections.abc import Sequence

from gnnkg.data.dataset import Dataset
from gnnkg.data.multihop.answered import AnsweredQueries
from gnnkg.data.multihop.query import Anchor, Hop, Intersection, Query
from gnnkg.data.multihop.structures import STRUCTURES, known_structures
from gnnkg.data.multihop.symbolic import answers, without
from gnnkg.graph import both_directions

ATTEMPTS = 200
"""walks for each query that is wanted, before the graph is taken to have no more"""


def sample_queries(
    dataset: Dataset,
    structures: Sequence[str] = tuple(STRUCTURES),
    count: int = 100,
    split: str = "test",
    seed: int = 0,
    most: int | None = None,
) -> dict[str, AnsweredQueries]:
    """Different queries of each structure with hard answers: those that need a fact of ``split``.

    Answers are those of all facts up to the split, and for test of hidden ones too (``Dataset.truths``); easy are the answers that
    the facts before it give: train for valid, train + valid for test, as in the Query2box set. Hard are those that the split adds.
    Each walk ends with a held-out fact and is random before it; no hop undoes the one before it, no two parts of a query are the
    same. ``most``: queries with more answers are left out; None: all are kept. A structure has fewer queries where the graph has
    no more. Raises ValueError where it has none, and for a split without facts.
    """
    if count < 1:
        raise ValueError(f"the number of queries of each structure must be at least 1, not {count}")
    before = {"valid": ("train",), "test": ("train", "valid")}.get(split)
    if before is None or not len(dataset.facts(split)):
        raise ValueError(
            f"queries are asked about the held-out facts of valid or test, and {dataset.name} has none in {split!r}"
        )
    easier, known = dataset.known(*before), dataset.known(*before, split)
    true = known if split == "valid" else dataset.known(*dataset.truths)
    walks = _Walks(dataset, (*before, split), split, seed)
    found = {}
    for structure in known_structures(structures):
        queries: dict[Query, tuple] = {}
        seen: set[Query] = set()
        for _ in range(ATTEMPTS * count):
            if len(queries) == count:
                break
            query = walks.query(STRUCTURES[structure])
            if query is None or query in seen:
                continue
            seen.add(query)
            every = answers(query, true)
            if most is not None and len(every) > most:
                continue
            hard = without(answers(query, known), answers(query, easier))
            if len(hard):
                queries[query] = every, hard
        if not queries:
            raise ValueError(f"{dataset.name} gives no {structure} query whose answers need a fact of {split}")
        every, hard = zip(*queries.values(), strict=True)
        found[structure] = AnsweredQueries(structure, tuple(queries), every, hard)
    return found


class _Walks:
    """Random instances of a structure."""

    def __init__(self, dataset: Dataset, splits: Sequence[str], split: str, seed: int) -> None:
        self.draw = random.Random(seed)
        self.num_relations = dataset.graph.num_relations
        self.into: dict[int, list[tuple[int, int]]] = {}
        for head, relation, tail in self._triples(dataset.facts(*splits)):
            self.into.setdefault(tail, []).append((head, relation))
        self.held_out = self._triples(dataset.facts(split))
        self.entities = sorted(self.into)

    def _triples(self, facts) -> list[tuple[int, int, int]]:
        edges = both_directions(facts.cpu(), self.num_relations)
        return list(zip(*(column.tolist() for column in edges), strict=True))

    def query(self, shape: Query) -> Query | None:
        """The shape along a walk whose last step is a held-out fact; None where the walk came out degenerate."""
        head, relation, tail = self.draw.choice(self.held_out)
        return self._ending(shape, tail, (head, relation))

    def _ending(
        self, shape: Query, tail: int, step: tuple[int, int] | None = None, after: int | None = None
    ) -> Query | None:
        """The shape with ``tail`` among its answers. ``step``: the last one, where it is given; ``after``: the hop behind it."""
        if isinstance(shape, Anchor):
            return Anchor(tail)
        if isinstance(shape, Hop):
            head, relation = step or self.draw.choice(self.into[tail])
            if after is not None and abs(relation - after) == self.num_relations:
                return None
            source = self._ending(shape.source, head, after=relation)
            return None if source is None else Hop(source, relation)
        first = self._ending(shape.parts[0], tail, step, after)
        meet = isinstance(shape, Intersection)
        others = [
            self._ending(part, tail if meet else self.draw.choice(self.entities), after=after)
            for part in shape.parts[1:]
        ]
        parts = [part for part in (first, *others) if part is not None]
        return type(shape)(tuple(parts)) if len(set(parts)) == len(shape.parts) else None
