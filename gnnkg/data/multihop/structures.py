"""The nine structures that multi-hop benchmarks ask: p a hop (projection), i an intersection, u a union."""

from __future__ import annotations

from collections.abc import Sequence

from gnnkg.data.multihop.query import Anchor, Hop, Intersection, Query, Union


def _path(first: int, *steps: int) -> Query:
    """From anchor number ``first`` along the relations number ``steps``."""
    query: Query = Anchor(first)
    for step in steps:
        query = Hop(query, step)
    return query


STRUCTURES: dict[str, Query] = {
    "1p": _path(0, 0),
    "2p": _path(0, 0, 1),
    "3p": _path(0, 0, 1, 2),
    "2i": Intersection((_path(0, 0), _path(1, 1))),
    "3i": Intersection((_path(0, 0), _path(1, 1), _path(2, 2))),
    "ip": Hop(Intersection((_path(0, 0), _path(1, 1))), 2),
    "pi": Intersection((_path(0, 0, 1), _path(1, 2))),
    "2u": Union((_path(0, 0), _path(1, 1))),
    "up": Hop(Union((_path(0, 0), _path(1, 1))), 2),
}
"""as trees whose ids are places: anchor and relation number 0, 1, ..., in the order of ``query.mapped``"""


def known_structures(names: Sequence[str]) -> list[str]:
    """The names in the order of STRUCTURES. Raises ValueError for one that there is not, and for one that is repeated."""
    unknown = [name for name in names if name not in STRUCTURES]
    if unknown:
        raise ValueError(f"structures are {', '.join(STRUCTURES)}, not {unknown[0]!r}")
    if len(set(names)) < len(names):
        raise ValueError(f"structures are named once each, not as in {' '.join(names)}")
    return [name for name in STRUCTURES if name in names]
