"""Multi-hop queries: which entities are reached from known ones, step by step.

A query is a tree. Its leaves are known entities; each node stands for a set of entities:

    Anchor(e)               {e}
    Hop(source, r)          every t with a fact (s, r, t) and s in source; r in [0, 2R), so that r + R walks r backwards
    Intersection(parts)     entities in all parts
    Union(parts)            entities in any part

``Hop(Hop(Anchor(Switzerland), borders), official_language)`` are the official languages of Switzerland's neighbours. Nodes may bear
the name of the variable that they stand for; names do not make queries different.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import product


@dataclass(frozen=True, slots=True)
class Anchor:
    """A known entity."""

    entity: int


@dataclass(frozen=True, slots=True)
class Hop:
    """Along a relation, from every entity of the source."""

    source: Query
    relation: int
    """in [0, 2R)"""
    name: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Intersection:
    """What all parts have. Raises ValueError for less than two parts, or an anchor among them."""

    parts: tuple[Query, ...]
    name: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        _check("an intersection", self.parts)


@dataclass(frozen=True, slots=True)
class Union:
    """What any part has. Raises ValueError for less than two parts, or an anchor among them."""

    parts: tuple[Query, ...]
    name: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        _check("a union", self.parts)


Query = Anchor | Hop | Intersection | Union


def _check(what: str, parts: tuple[Query, ...]) -> None:
    if len(parts) < 2:
        raise ValueError(f"{what} has two parts or more, not {len(parts)}")
    if any(isinstance(part, Anchor) for part in parts):
        raise ValueError(f"the parts of {what} are hops from known entities, and none is a known entity alone")


def mapped(query: Query, entity: Callable[[int], int], relation: Callable[[int], int]) -> Query:
    """The same tree with other ids; leaves first, parts in their order, so that a function may count."""
    if isinstance(query, Anchor):
        return Anchor(entity(query.entity))
    if isinstance(query, Hop):
        return replace(query, source=mapped(query.source, entity, relation), relation=relation(query.relation))
    return replace(query, parts=tuple(mapped(part, entity, relation) for part in query.parts))


def anchors(query: Query) -> list[int]:
    """The known entities, in the order of ``mapped``."""
    if isinstance(query, Anchor):
        return [query.entity]
    below = (query.source,) if isinstance(query, Hop) else query.parts
    return [entity for part in below for entity in anchors(part)]


def relations(query: Query) -> list[int]:
    """The relations, in the order of ``mapped``."""
    if isinstance(query, Anchor):
        return []
    if isinstance(query, Hop):
        return [*relations(query.source), query.relation]
    return [relation for part in query.parts for relation in relations(part)]


def alternatives(query: Query) -> tuple[Query, ...]:
    """Queries without a union that have together the same answers: the disjunctive normal form.

    A union comes out of a hop, and out of an intersection by distribution, so that there may be exponentially many.
    """
    if isinstance(query, Anchor):
        return (query,)
    if isinstance(query, Hop):
        return tuple(replace(query, source=source) for source in alternatives(query.source))
    if isinstance(query, Union):
        return tuple(each for part in query.parts for each in alternatives(part))
    return tuple(replace(query, parts=chosen) for chosen in product(*map(alternatives, query.parts)))
