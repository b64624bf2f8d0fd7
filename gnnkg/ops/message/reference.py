"""The definition of relational message passing, in plain torch, with a vector an edge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gnnkg.ops.message.adjacency import Adjacency

Message = Literal["mul", "add", "rotate"]
Aggregate = Literal["sum", "mean", "max", "min", "pna"]
MESSAGES: tuple[Message, ...] = get_args(Message)
AGGREGATES: tuple[Aggregate, ...] = get_args(Aggregate)

SMALLEST_VARIANCE = 1e-6
"""below it a variance counts as this much and has no gradient"""


def mul(x: Float[Tensor, "E B D"], w: Float[Tensor, "E X D"]) -> Float[Tensor, "E B D"]:
    return x * w


def add(x: Float[Tensor, "E B D"], w: Float[Tensor, "E X D"]) -> Float[Tensor, "E B D"]:
    return x + w


def rotate(x: Float[Tensor, "E B D"], w: Float[Tensor, "E X D"]) -> Float[Tensor, "E B D"]:
    """The product of complex numbers, ``[re | im]``."""
    (a, b), (c, d) = x.chunk(2, -1), w.chunk(2, -1)
    return torch.cat([a * c - b * d, a * d + b * c], -1)


# X is B, or 1 where all states share their relations.
PHI: dict[Message, Callable[[Tensor, Tensor], Tensor]] = {"mul": mul, "add": add, "rotate": rotate}


def propagate(
    x: Float[Tensor, "M B D"],
    relation: Float[Tensor, "R B D"] | Float[Tensor, "R 1 D"],
    edges: Adjacency,
    weight: Float[Tensor, " E"] | None = None,
    boundary: Float[Tensor, "N B D"] | None = None,
    message: Message = "mul",
    aggregate: Aggregate = "sum",
) -> Float[Tensor, "N B D"] | Float[Tensor, "N B 4*D"]:
    """As ``gnnkg.ops.message.propagate``, whose docstring says what is computed."""
    num_nodes = edges.num_nodes
    sent = PHI[message](x[edges.source], relation[edges.relation])
    target = edges.target
    if weight is not None:
        sent = weight[:, None, None] * sent
        here = weight != 0
        sent, target = sent[here], target[here]
    if boundary is not None:  # a message of each node to itself, before all others
        sent = torch.cat([boundary, sent])
        target = torch.cat([torch.arange(num_nodes, device=x.device), target])
    count = torch.bincount(target, minlength=num_nodes)
    if aggregate == "sum":
        return _sum(sent, target, num_nodes)
    if aggregate == "mean":
        return _sum(sent, target, num_nodes) / _at_least_one(count)
    if aggregate in ("max", "min"):
        return _extreme(sent, target, count > 0, aggregate)
    mean = _sum(sent, target, num_nodes) / _at_least_one(count)
    variance = _sum((sent - mean[target]) ** 2, target, num_nodes) / _at_least_one(count)
    deviation = variance.clamp(min=SMALLEST_VARIANCE).sqrt()
    extremes = [_extreme(sent, target, count > 0, which) for which in ("max", "min")]
    return torch.cat([mean, *extremes, deviation], -1)


def _at_least_one(count: Tensor) -> Tensor:
    return count.clamp(min=1)[:, None, None]


def _sum(sent: Tensor, target: Tensor, num_nodes: int) -> Tensor:
    return sent.new_zeros(num_nodes, *sent.shape[1:]).index_add(0, target, sent)


def _extreme(
    sent: Float[Tensor, "E B D"], target: Tensor, any_sent: Bool[Tensor, " N"], which: Literal["max", "min"]
) -> Float[Tensor, "N B D"]:
    """The largest or smallest message, 0 where there is none. Of equal ones the first counts, and has the gradient."""
    place = target[:, None, None].expand_as(sent)
    with torch.no_grad():
        best = sent.new_zeros(len(any_sent), *sent.shape[1:])
        best = best.scatter_reduce(0, place, sent, f"a{which}", include_self=False)
        chosen = (sent == best[target]) | sent.isnan()
        edge = torch.arange(len(sent), device=sent.device)[:, None, None].expand_as(sent)
        edge = torch.where(chosen, edge, len(sent))
        first = torch.full(best.shape, len(sent), device=sent.device)
        first = first.scatter_reduce(0, place, edge, "amin", include_self=True)
    if not len(sent):
        return _sum(sent, target, len(any_sent))  # zeros that may be differentiated
    taken = sent.gather(0, first.clamp(max=len(sent) - 1))
    return torch.where(any_sent[:, None, None], taken, 0.0)
