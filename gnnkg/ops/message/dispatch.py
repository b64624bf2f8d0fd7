"""The public op: inputs are checked and a backend is chosen by the rule of ``gnnkg.ops.backends``."""

from __future__ import annotations

from importlib import import_module

import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.ops import backends
from gnnkg.ops.message import reference
from gnnkg.ops.message.adjacency import Adjacency
from gnnkg.ops.message.fused import Propagate
from gnnkg.ops.message.reference import AGGREGATES, MESSAGES, Aggregate, Message


def propagate(
    x: Float[Tensor, "M B D"],
    relation: Float[Tensor, "R D"] | Float[Tensor, "R B D"],
    edges: Adjacency,
    weight: Float[Tensor, " E"] | None = None,
    boundary: Float[Tensor, "N B D"] | None = None,
    message: Message = "mul",
    aggregate: Aggregate = "sum",
) -> Float[Tensor, "N B D"] | Float[Tensor, "N B 4*D"]:
    """out_v = AGG over edges e = (u, r, v) of weight_e * phi(x_u, relation_r), for B independent states of the graph.

    The N nodes that messages reach are the M that they come from, but where ``edges`` says otherwise.

    ``relation`` is shared by the batch, (R, D), or of each state's own, (R, B, D). ``weight`` is in the order of ``edges``; an edge
    of weight 0 is absent, for max, min and the count of a mean as well. ``boundary`` is a message of each node to itself, before
    all others. A node without any message gets 0 (standard deviation: 1e-3, its smallest). Of equal messages the first has the
    gradient of a maximum. "pna" gives mean, maximum, minimum and standard deviation, (N, B, 4 D); multiply by ``degree_scales``
    for the aggregation of Corso et al., "Principal Neighbourhood Aggregation for Graph Nets", NeurIPS 2020.

    x, relation and boundary may be stored in bfloat16; sums are float32. The result has x's type, as relation and boundary are
    taken to have. Raises ValueError where shapes or devices disagree.
    """
    relation = relation.unsqueeze(1) if relation.dim() == 2 else relation
    _check(x, relation, edges, weight, boundary, message, aggregate)
    backend = backends.choose(x, relation, weight, boundary)
    if backend == "reference" or not x.numel():
        return reference.propagate(x, relation, edges, weight, boundary, message, aggregate)
    fast = import_module(f"gnnkg.ops.message.{backend}")  # compilers are imported where they are needed
    stored = torch.bfloat16 if x.dtype == torch.bfloat16 else torch.float32
    with torch.autocast(x.device.type, enabled=False):  # sums of many messages need float32
        given = (
            x.to(stored),
            relation.to(stored),
            None if weight is None else weight.float(),
            None if boundary is None else boundary.to(stored),
        )
        return Propagate.apply(fast, edges, message, aggregate, *given).to(x.dtype)


def _check(
    x: Tensor,
    relation: Tensor,
    edges: Adjacency,
    weight: Tensor | None,
    boundary: Tensor | None,
    message: str,
    aggregate: str,
) -> None:
    num_sources, num_states, width = x.shape
    expected, reached = (edges.num_relations, num_states, width), (edges.num_nodes, num_states, width)
    if num_sources != edges.num_sources:
        raise ValueError(f"expected a state of each of {edges.num_sources} nodes, not {num_sources}")
    if relation.shape not in (expected, (edges.num_relations, 1, width)):
        raise ValueError(f"expected relations {expected} or {expected[::2]}, not {tuple(relation.shape)}")
    if weight is not None and weight.shape != (len(edges),):
        raise ValueError(f"expected a weight of each of {len(edges)} edges, not {tuple(weight.shape)}")
    if boundary is not None and boundary.shape != reached:
        raise ValueError(f"expected a boundary of shape {reached}, not {tuple(boundary.shape)}")
    if message not in MESSAGES:
        raise ValueError(f"message is one of {', '.join(MESSAGES)}, not {message!r}")
    if aggregate not in AGGREGATES:
        raise ValueError(f"aggregate is one of {', '.join(AGGREGATES)}, not {aggregate!r}")
    if message == "rotate" and width % 2:
        raise ValueError(f"complex vectors are [re | im], of an even width; this width is {width}")
    if x.device != edges.device:
        raise ValueError(f"the states are on {x.device} and the edges on {edges.device}: move the graph with .to()")
