"""The answers that facts alone give: set algebra, without a model."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from gnnkg.data.multihop.query import Anchor, Hop, Query, Union
from gnnkg.graph import KnownTails

Entities = Int[Tensor, " _"]
"""ids of entities, each once, ascending"""


def answers(query: Query, known: KnownTails) -> Entities:
    """The entities that a query stands for where exactly these facts are true. On the CPU."""
    if isinstance(query, Anchor):
        return torch.tensor([query.entity])
    if isinstance(query, Hop):
        sources = answers(query.source, known)
        return torch.unique(known.of(sources, torch.full_like(sources, query.relation)).tails)
    found, *others = (answers(part, known) for part in query.parts)
    for other in others:
        found = torch.unique(torch.cat([found, other])) if isinstance(query, Union) else found[torch.isin(found, other)]
    return found


def without(entities: Entities, others: Entities) -> Entities:
    """Those that are not among the others."""
    return entities[~torch.isin(entities, others)]
