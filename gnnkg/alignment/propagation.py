"""What an entity lacks, its neighbours tell: features spread over the graph."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.alignment.features import Modality
from gnnkg.encoders.gcn import spread
from gnnkg.encoders.neighbours import neighbours
from gnnkg.graph import KnowledgeGraph


@torch.no_grad()
def propagated(
    graph: KnowledgeGraph, modality: Modality, steps: int = 3, keep: float = 0.5, only_missing: bool = True
) -> Modality:
    """A modality after some steps of spreading over the graph.

        x <- (1 - keep) A x + keep x_0,    A: the neighbours' mean as of ``GCN``

    ``only_missing``: entities that have the modality keep it as it is and the others take A x, with nothing of their own to keep
    (as DESAlign fills what is missing, arXiv 2401.17859); otherwise everyone's changes (MyGram's diffusion). Who has taken nothing
    stays absent. Raises ValueError for settings out of range.
    """
    if steps < 0 or not 0 <= keep <= 1:
        raise ValueError(f"steps must be at least 0 and keep in [0, 1], not {steps} and {keep}")
    around, own, there = neighbours(graph.messages.of_layer(0)), modality.values, modality.present.unsqueeze(1)
    values = own
    for _ in range(steps):
        moved = spread(values, around)
        blended = (1 - keep) * moved + keep * own
        values = torch.where(there, own, moved) if only_missing else torch.where(there, blended, moved)
    return Modality(values, modality.present | values.any(1))


@torch.no_grad()
def hops(graph: KnowledgeGraph, values: Float[Tensor, "N D"], steps: int = 2) -> Float[Tensor, "N X"]:
    """x, A x, A A x ... side by side, each of length 1 (Mao et al., "From alignment to assignment", EMNLP 2021)."""
    around, parts = neighbours(graph.messages.of_layer(0)), [values]
    for _ in range(steps):
        parts.append(spread(parts[-1], around))
    return torch.cat([torch.nn.functional.normalize(part, dim=1) for part in parts], dim=1)
