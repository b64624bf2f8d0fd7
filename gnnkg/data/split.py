"""A seeded split of facts into parts, which leak nothing into one another unless they are to, and a seeded sample of facts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from gnnkg.graph import Facts


def split_facts(
    facts: Facts, num_entities: int, num_relations: int, shares: Sequence[float], seed: int, together: bool = True
) -> list[Int[Tensor, "_ 3"]]:
    """Split facts into one part a share; the first is the training part.

    All facts between the same two entities, in either direction and of any relation, stay in one part: none holds a
    copy, a mirror image or a rephrasing of another's fact. Unless ``together`` is off: then each fact goes by itself,
    as in most published splits. Every entity and relation of the later parts occurs in the
    first; where that leaves too few facts to move, the later parts are smaller than their shares. Each part keeps the
    order of ``facts``, but which fact goes where depends on the set of facts and the seed alone.

    Raises ValueError where a share is negative or they do not sum to 1.
    """
    if not shares or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"shares must be at least 0 and sum to 1, as (0.8, 0.1, 0.1) do, but they are {tuple(shares)}")
    head, relation, tail = facts.cpu().numpy().T
    pair = (
        np.minimum(head, tail) * num_entities + np.maximum(head, tail)
        if together
        else (head * num_relations + relation) * num_entities + tail
    )
    by_pair = np.argsort(pair, kind="stable")
    first = np.flatnonzero(np.diff(pair[by_pair], prepend=-1))
    groups = np.split(by_pair, first[1:])

    entity_count = np.bincount(np.concatenate([head, tail]), minlength=num_entities)
    relation_count = np.bincount(relation, minlength=num_relations)
    wanted = np.array([0] + [round(share * len(facts)) for share in shares[1:]])
    part = np.zeros(len(facts), dtype=np.int64)
    # RandomState's streams are frozen (NEP 19): the split of a seed outlives every version of NumPy.
    for number in np.random.RandomState(seed).permutation(len(groups) if len(facts) else 0):
        if not wanted.any():
            break
        group = groups[number]
        target = int(wanted.argmax())
        if len(group) > wanted[target]:
            continue
        ends, end_count = np.unique(np.concatenate([head[group], tail[group]]), return_counts=True)
        kinds, kind_count = np.unique(relation[group], return_counts=True)
        if (entity_count[ends] > end_count).all() and (relation_count[kinds] > kind_count).all():
            entity_count[ends] -= end_count
            relation_count[kinds] -= kind_count
            part[group] = target
            wanted[target] -= len(group)
    return [facts[torch.from_numpy(part == number).to(facts.device)] for number in range(len(shares))]


def sample_facts(facts: Facts, count: int | None, seed: int = 0) -> Int[Tensor, "S 3"]:
    """So many of the facts, drawn by the seed; all of them, in their order, where there are no more or ``count`` is None.

    Raises ValueError for fewer than one.
    """
    if count is None:
        return facts
    if count < 1:
        raise ValueError(f"a sample of facts has at least 1, not {count}")
    if count >= len(facts):
        return facts
    return facts[torch.randperm(len(facts), generator=torch.Generator().manual_seed(seed))[:count]]
