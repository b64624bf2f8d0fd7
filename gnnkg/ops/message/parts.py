"""Groups of edges in parts of bounded length, so that no program waits for the one that has a hub."""

from __future__ import annotations

from typing import Literal, NamedTuple
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Int
from torch import Tensor

from gnnkg.ops.message.adjacency import Adjacency

LONGEST = 128
"""edges a part"""

By = Literal["target", "source", "relation"]


class Parts(NamedTuple):
    """Part p is [start[p], stop[p]) of group[p]; every group has one, be it empty.

    The parts of group split[i], one that has several, have the consecutive slots [slots[i], slots[i + 1]); other parts have -1.
    """

    group: Int[Tensor, " P"]
    start: Int[Tensor, " P"]
    stop: Int[Tensor, " P"]
    slot: Int[Tensor, " P"]
    split: Int[Tensor, " G"]
    slots: Int[Tensor, " ends"]
    num_slots: int

    @classmethod
    def of(cls, starts: Int[Tensor, " starts"], longest: int) -> Parts:
        length = starts.diff()
        pieces = ((length + longest - 1) // longest).clamp(min=1)
        group = torch.repeat_interleave(pieces)
        piece = torch.arange(len(group), device=starts.device) - (pieces.cumsum(0) - pieces)[group]
        start = starts[group] + piece * longest
        several = pieces > 1
        slot = torch.where(several[group], several[group].cumsum(0) - 1, -1)
        split = several.nonzero().squeeze(1)
        slots = torch.cat([split.new_zeros(1), pieces[split].cumsum(0)])
        stop = torch.minimum(start + longest, starts[group + 1])
        return cls(group, start, stop, slot, split, slots, int(slots[-1]))


_known: WeakKeyDictionary[Adjacency, dict[By, Parts]] = WeakKeyDictionary()


def parts(edges: Adjacency, by: By) -> Parts:
    """Those of the in-edges, of ``by_source`` or of ``by_relation``; found once a graph."""
    known = _known.setdefault(edges, {})
    if by not in known:
        groups = {"target": lambda: edges.starts, "source": lambda: edges.by_source[0]}
        starts = groups[by]() if by in groups else edges.by_relation.starts
        known[by] = Parts.of(starts, LONGEST)
    return known[by]
