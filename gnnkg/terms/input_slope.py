"""The gradient of facts' scores by what messages are passed from, differentiable itself.

The fused message passing has one derivative (``gnnkg.ops.backends``), so that all of this runs on the definitions in plain torch:
a graph is encoded once more, with a vector for each edge in memory.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.core import Batch, Candidates, Lookup, Model
from gnnkg.graph import KnowledgeGraph
from gnnkg.inputs import encode_from, from_boundary, input_table
from gnnkg.terms.slope import differentiable_twice


def boundary_slopes(
    model: Model, graph: KnowledgeGraph, batch: Batch, shift: Float[Tensor, "B D"], evaluation: bool = True
) -> Float[Tensor, "B D"]:
    """grad f of each fact by the vector of its query from which messages are passed, where ``shift`` is added to that."""
    leaf = shift.detach().requires_grad_()
    with differentiable_twice(model, shift.device, evaluation):
        lookup = from_boundary(model.encoder, graph).shifted(lambda *_: leaf)
        return torch.autograd.grad(_scores(model, lookup, batch).sum(), leaf, create_graph=True)[0]


def table_slopes(
    model: Model,
    graph: KnowledgeGraph,
    batch: Batch,
    shift: Float[Tensor, "N D"],
    share: Float[Tensor, " B"],
    evaluation: bool = True,
) -> tuple[Float[Tensor, "N D"], Float[Tensor, "N D"]]:
    """Of the gradients g_b of f by the whole table that messages are passed from, where ``shift`` is added to that:

        sum_b share_b g_b    and    sum_b e_b sqrt(share_b) g_b,    e_b = 1 or -1 at random

    The squares of the second are in the mean those of the facts, one by one: E ||.||^2 = sum_b share_b ||g_b||^2. So two passes
    backwards serve in place of one a fact (Hutchinson's estimator of a trace, 1989).
    """
    with differentiable_twice(model, shift.device, evaluation):
        table = input_table(model.encoder) + shift
        scores = _scores(model, encode_from(model.encoder, graph, table), batch)
        weights = share.to(scores), random_signs(scores) * share.to(scores).sqrt()
        along, across = (torch.autograd.grad(weight @ scores, table, create_graph=True)[0] for weight in weights)
    return along, across


def random_signs(like: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """1 or -1, each with probability 1/2."""
    return 2 * torch.randint(2, like.shape, device=like.device).to(like) - 1


def _scores(model: Model, lookup: Lookup, batch: Batch) -> Float[Tensor, " B"]:
    """Those of the batch's own facts."""
    return model.scorer(lookup(batch.head, batch.relation, Candidates(batch.tail.unsqueeze(1)))).squeeze(1)
