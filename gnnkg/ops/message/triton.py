"""Message passing on GPU, in Triton: what ``fused.py`` asks of a backend.

The gradient of a message m of edge e to v is g for a sum, g / count for a mean, g where e is the one that a maximum or minimum
chose. For pna, which has a g for each of its four, it is

    base + slope m + [e is the largest] g_max + [e is the smallest] g_min
    slope = g_deviation / (count deviation), 0 where the variance is below the smallest
    base = g_mean / count - slope mean

with all but m known of the node v. It is pulled back through phi by source for x, by relation, and by edge for the weights.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from gnnkg.ops.message import triton_backward, triton_forward
from gnnkg.ops.message.adjacency import Adjacency
from gnnkg.ops.message.fused import Inputs, Needs
from gnnkg.ops.message.parts import Parts, parts
from gnnkg.ops.message.reference import AGGREGATES, MESSAGES, Aggregate, Message
from gnnkg.ops.message.triton_tiles import ITSELF

LAUNCH: dict[str, Any] = {"num_warps": 1, "enable_fp_fusion": True}


class Sizes(NamedTuple):
    units: int
    span: int
    """units a state; also the columns between the planes of one"""
    tile_e: int
    tile_u: int

    @classmethod
    def of(cls, x: Tensor, message: Message) -> Sizes:
        """A warp's tile: at most 128 columns, four a lane, and at most 512 numbers."""
        _, num_states, dim = x.shape
        planes = 2 if message == "rotate" else 1
        span = dim // planes
        tile_u = min(128 // planes, triton.next_power_of_2(num_states * span))
        return cls(num_states * span, span, min(32, 512 // (planes * tile_u)), tile_u)

    @property
    def blocks(self) -> int:
        return triton.cdiv(self.units, self.tile_u)


class Kept(NamedTuple):
    """Of each node, for the gradient; empty where the aggregate has none."""

    count: Tensor
    mean: Tensor
    slope: Tensor
    """of the deviation: 1 / (count deviation), or 0"""
    high: Tensor
    low: Tensor
    """the places of the largest and the smallest message"""


class Aside(NamedTuple):
    """What the parts of split groups leave to ``merge``."""

    counts: Tensor
    values: Tensor
    places: Tensor


def forward(
    inputs: Inputs, edges: Adjacency, message: Message, aggregate: Aggregate
) -> tuple[Tensor, tuple[Tensor, ...]]:
    x, relation, weight, boundary = inputs
    assert len(edges) < 2**31 - 1, "places are int32"
    num_nodes, (_, num_states, dim) = edges.num_nodes, x.shape
    sizes, groups = Sizes.of(x, message), parts(edges, "target")
    width, pna = num_states * dim, aggregate == "pna"

    def rows(number: int, dtype: torch.dtype, planes: int = 1) -> Tensor:
        return x.new_empty(planes, number, num_states, dim, dtype=dtype).squeeze(0)

    out = x.new_empty(num_nodes, num_states, (4 if pna else 1) * dim)
    kept = Kept(
        x.new_empty(num_nodes, dtype=torch.int32),
        rows(num_nodes * pna, torch.float32),
        rows(num_nodes * pna, torch.float32),
        rows(num_nodes * (pna or aggregate == "max"), torch.int32),
        rows(num_nodes * (pna or aggregate == "min"), torch.int32),
    )
    aside = Aside(
        x.new_empty(groups.num_slots, dtype=torch.int32),
        rows(groups.num_slots, torch.float32, planes=5 if pna else 1),
        rows(groups.num_slots, torch.int32, planes=2 if pna else 1),
    )
    with torch.cuda.device_of(x):
        _launch(
            triton_forward.forward, len(groups.group) * sizes.blocks,
            x, relation, weight, boundary, edges.source, edges.relation, edges.starts,
            groups.group, groups.start, groups.stop, groups.slot, out, *kept, *aside,
            len(groups.group), groups.num_slots * width, sizes.units, sizes.span, width, relation[:1].numel(),
            MESSAGES.index(message), AGGREGATES.index(aggregate), relation.shape[1] != num_states, sizes.tile_e, sizes.tile_u,
        )  # fmt: skip
        _merge(groups, aside, out, kept, aggregate)
    return out, kept


def backward(
    gradient: Tensor,
    inputs: Inputs,
    edges: Adjacency,
    message: Message,
    aggregate: Aggregate,
    out: Tensor,
    kept: tuple[Tensor, ...],
    needs: Needs,
) -> Inputs:
    x, relation, weight, boundary = found = inputs
    shared = relation.shape[1] != x.shape[1]
    arriving = _arriving(gradient, aggregate, x, Kept(*kept))
    sizes = Sizes.of(x, message)
    sent = x, relation, weight, edges.source, edges.relation, edges.target, *arriving
    width, relation_width = x[:1].numel(), relation[:1].numel()
    flags = MESSAGES.index(message), AGGREGATES.index(aggregate), shared
    tile = sizes.tile_e, sizes.tile_u

    def of_factor(by_relation: bool, result: Tensor) -> Tensor:
        grouped = edges.by_relation if by_relation else edges.by_source
        groups = parts(edges, "relation" if by_relation else "source")
        values = x.new_empty(groups.num_slots, *x.shape[1:], dtype=torch.float32)
        _launch(
            triton_backward.backward, len(groups.group) * sizes.blocks,
            *sent, grouped.edges, groups.group, groups.start, groups.stop, groups.slot, result, values,
            len(groups.group), sizes.units, sizes.span, width, relation_width,
            *flags, by_relation, *tile,
        )  # fmt: skip
        _merge(groups, Aside(kept[0], values, kept[0]), result, Kept(*kept), "sum")
        return result

    with torch.cuda.device_of(x):
        if needs.x:
            found = found._replace(x=of_factor(False, torch.empty_like(x)))
        if needs.relation:
            a_state = x.new_empty(len(relation), *x.shape[1:], dtype=torch.float32 if shared else x.dtype)
            a_state = of_factor(True, a_state)
            found = found._replace(relation=a_state.sum(1, keepdim=True).to(x.dtype) if shared else a_state)
        if needs.weight:
            assert weight is not None
            found = found._replace(weight=torch.empty_like(weight))
            _launch(
                triton_backward.backward_weight, triton.cdiv(len(edges), sizes.tile_e),
                *sent, found.weight, len(edges), sizes.units, sizes.span, width, relation_width, *flags, *tile,
            )  # fmt: skip
        if needs.boundary:
            assert boundary is not None
            found = found._replace(boundary=_of_boundary(arriving, aggregate, boundary))
    return found


class Arriving(NamedTuple):
    """What the gradient of a message is made of, at each target."""

    gradient: Tensor
    base: Tensor
    slope: Tensor
    high: Tensor
    low: Tensor


def _arriving(gradient: Tensor, aggregate: Aggregate, x: Tensor, kept: Kept) -> Arriving:
    number = kept.count.clamp(min=1)[:, None, None]
    if aggregate == "pna":
        of_mean, _, _, of_deviation = gradient.chunk(4, -1)
        slope = of_deviation * kept.slope
        return Arriving(gradient, of_mean / number - slope * kept.mean, slope, kept.high, kept.low)
    if aggregate == "mean":
        gradient = gradient.float() / number
    return Arriving(gradient, kept.mean, kept.slope, kept.high, kept.low)


def _of_boundary(arriving: Arriving, aggregate: Aggregate, boundary: Tensor) -> Tensor:
    """The gradient of each node's message to itself."""
    gradient = arriving.gradient
    high, low = arriving.high == ITSELF.value, arriving.low == ITSELF.value
    if aggregate == "max":
        gradient = torch.where(high, gradient, 0.0)
    if aggregate == "min":
        gradient = torch.where(low, gradient, 0.0)
    if aggregate == "pna":
        _, of_max, of_min, _ = gradient.chunk(4, -1)
        gradient = arriving.base + arriving.slope * boundary
        gradient = gradient + torch.where(high, of_max, 0.0) + torch.where(low, of_min, 0.0)
    return gradient.to(boundary.dtype)


def _merge(groups: Parts, aside: Aside, out: Tensor, kept: Kept, aggregate: Aggregate) -> None:
    """Puts into ``out`` and ``kept`` what several parts know of a group."""
    width, dim = aside.values.shape[-2] * aside.values.shape[-1], aside.values.shape[-1]
    tile = min(128, triton.next_power_of_2(width))
    _launch(
        triton_forward.merge, len(groups.split) * triton.cdiv(width, tile),
        groups.split, groups.slots, *aside, out, *kept, len(groups.split), groups.num_slots * width, width, dim,
        AGGREGATES.index(aggregate), min(32, 512 // tile), tile,
    )  # fmt: skip


def _launch(kernel: Any, programs: int, *arguments: Tensor | int | None) -> None:
    if programs:
        kernel[(programs,)](*arguments, **LAUNCH)
