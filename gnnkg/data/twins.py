"""Relations that repeat one another: near duplicates, inverses, and relations that are their own inverse.

Two relations are duplicates where they join the same (head, tail) pairs, inverses where one joins them backwards: where the
pairs that they share are at least a share ``threshold`` of each (Akrami et al., SIGMOD 2020, with .8; after Toutanova and
Chen, CVSC 2015, and Dettmers et al., AAAI 2018). Held-out facts of such a relation are answered by looking at its twin.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool
from scipy import sparse
from torch import Tensor

from gnnkg.graph import Facts, KnownTails

THRESHOLD = 0.8


class Twins(NamedTuple):
    """Pairs of relations (first < second) that repeat one another, or (r, r); the share is the smaller of the two."""

    first: int
    second: int
    share: float
    pairs: int
    """(head, tail) pairs that both join"""


def duplicates(facts: Facts, num_entities: int, num_relations: int, threshold: float = THRESHOLD) -> list[Twins]:
    """Relations that join the same pairs, most alike first."""
    forwards, _ = _joins(facts, num_entities, num_relations)
    return [twins for twins in _alike(forwards, forwards, threshold) if twins.first != twins.second]


def inverses(facts: Facts, num_entities: int, num_relations: int, threshold: float = THRESHOLD) -> list[Twins]:
    """Relations of which one joins the pairs of the other backwards; (r, r) where r is symmetric."""
    return _alike(*_joins(facts, num_entities, num_relations), threshold)


def answered_by(facts: Facts, known: KnownTails, twins: list[Twins], backwards: bool) -> Bool[Tensor, " M"]:
    """Which facts (h, r, t) have a known twin: (h, s, t), or with ``backwards`` (t, s, h), for a twin s of r."""
    partners: dict[int, set[int]] = {}
    for first, second, _, _ in twins:
        partners.setdefault(first, set()).add(second)
        partners.setdefault(second, set()).add(first)
    answered = torch.zeros(len(facts), dtype=torch.bool)
    head, relation, tail = facts.unbind(1)
    for relation_id, others in partners.items():
        rows = torch.nonzero(relation == relation_id).squeeze(1)
        source, target = (tail, head) if backwards else (head, tail)
        for other in others:
            answered[rows] |= known.holds(source[rows], torch.full_like(rows, other), target[rows])
    return answered


def _joins(facts: Facts, num_entities: int, num_relations: int) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Which relation joins which pair, (R, pairs) of zeros and ones, and which joins it backwards."""
    head, relation, tail = facts.numpy().T
    keys = np.concatenate([head * num_entities + tail, tail * num_entities + head])
    pairs, column = np.unique(keys, return_inverse=True)

    def joins(column: np.ndarray) -> sparse.csr_array:
        shape = (num_relations, len(pairs))
        matrix = sparse.csr_array((np.ones(len(facts), np.int64), (relation, column)), shape=shape)
        matrix.data[:] = 1  # a fact that stands twice was summed
        return matrix

    return joins(column[: len(facts)]), joins(column[len(facts) :])


def _alike(one: sparse.csr_array, other: sparse.csr_array, threshold: float) -> list[Twins]:
    size = np.diff(one.indptr)
    shared = sparse.coo_array(one @ other.T)
    found = []
    for first, second, pairs in zip(shared.row.tolist(), shared.col.tolist(), shared.data.tolist(), strict=True):
        share = pairs / max(size[first], size[second])
        if first <= second and share >= threshold:
            found.append(Twins(first, second, float(share), pairs))
    return sorted(found, key=lambda twins: (-twins.share, twins.first, twins.second))
