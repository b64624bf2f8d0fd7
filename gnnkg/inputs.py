"""What an encoder passes messages from: vectors before message passing, and the same encoder run from others."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.func import functional_call

from gnnkg.core import Encoder, FromBoundary, Lookup
from gnnkg.graph import KnowledgeGraph

_TABLE = "table.entity"


def input_table(encoder: Encoder) -> Float[Tensor, "N D"]:
    """The free vectors of the entities that a graph encoder reads. Raises ValueError for an encoder without."""
    table = dict(encoder.named_parameters()).get(_TABLE)
    if table is not None and encoder.num_layers:
        return table
    name, shallow = type(encoder).__name__, "" if encoder.num_layers else " (the vectors that it gives are its table)"
    raise ValueError(
        f"{name} has no table of entities before message passing{shallow}: only encoders as CompGCN and RGCN have one"
    )


def encode_from(encoder: Encoder, graph: KnowledgeGraph, table: Float[Tensor, "N D"]) -> Lookup:
    """As ``encoder(graph)``, from these vectors in place of its ``input_table``; gradients reach them."""
    return functional_call(encoder, {_TABLE: table}, (graph,))


def from_boundary(encoder: Encoder, graph: KnowledgeGraph) -> FromBoundary:
    """``encoder(graph)``, where messages start from a vector of the query. Raises ValueError for an encoder without."""
    return with_boundary(encoder, encoder(graph))


def with_boundary(encoder: Encoder, lookup: Lookup) -> FromBoundary:
    """The lookup that an encoder gave. Raises ValueError where its messages start from no vector of the query."""
    if not isinstance(lookup, FromBoundary):
        raise ValueError(
            f"{type(encoder).__name__} does not start from a vector of the query: only encoders as NBFNet have a boundary"
        )
    return lookup
