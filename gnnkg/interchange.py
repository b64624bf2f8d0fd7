"""Facts as the graphs of other libraries, and back: DGL, PyTorch Geometric.

``KnowledgeGraph.to_dgl``, ``from_dgl`` and ``to_pyg`` say what the forms are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

if TYPE_CHECKING:
    import dgl
    import torch_geometric.data


def heterograph(
    head: Int[Tensor, " M"], relation: Int[Tensor, " M"], tail: Int[Tensor, " M"], num_entities: int, num_types: int
) -> dgl.DGLGraph:
    """One node type, and as many edge types as asked for, whose names sort as their numbers do."""
    from gnnkg._dgl import dgl

    order = torch.argsort(relation, stable=True)
    sizes = torch.bincount(relation, minlength=num_types).tolist()
    heads, tails = head[order].split(sizes), tail[order].split(sizes)
    digits = len(str(num_types - 1))
    edges = {("entity", f"{r:0{digits}}", "entity"): (heads[r], tails[r]) for r in range(num_types)}
    return dgl.heterograph(edges, num_nodes_dict={"entity": num_entities})


class Found(NamedTuple):
    """Facts, and the names of entities and relations."""

    facts: Int[Tensor, "M 3"]
    entities: list[str]
    relations: list[str]


def facts_of(graph: dgl.DGLGraph) -> Found:
    """The edges of a DGL graph, of whichever types, as facts."""
    canonical: list[tuple[str, str, str]] = graph.canonical_etypes  # pyright: ignore[reportAssignmentType]  # DGL has no types
    types = sorted(canonical, key=lambda e: (0, int(e[1]), "") if e[1].isdigit() else (1, 0, e[1]))
    several = len(graph.ntypes) > 1
    starts, names = {}, []
    for node_type in graph.ntypes:
        starts[node_type] = len(names)
        names += [f"{node_type}/{i}" if several else str(i) for i in range(graph.num_nodes(node_type))]
    told = graph.edges[types[0]].data if len(types) == 1 else {}
    given = next((name for name in ("etype", "_TYPE") if name in told), None)  # "_TYPE" is dgl.ETYPE
    if given is not None:
        head, tail = graph.edges(etype=types[0], order="eid")
        relation = told[given].long()
        num_relations = int(relation.max()) + 1 if len(relation) else 0
        return Found(
            torch.stack([head.long(), relation, tail.long()], 1), names, [str(r) for r in range(num_relations)]
        )
    short = [e[1] for e in types]
    if all(name.isdigit() for name in short) and list(map(int, short)) == list(range(len(short))):
        short = [str(int(name)) for name in short]  # without the zeros of to_dgl
    relations = [name if short.count(name) == 1 else ":".join(e) for name, e in zip(short, types, strict=True)]
    parts = []
    for r, etype in enumerate(types):
        head, tail = graph.edges(etype=etype, order="eid")
        head, tail = head.long() + starts[etype[0]], tail.long() + starts[etype[2]]
        parts.append(torch.stack([head, torch.full_like(head, r), tail], 1))
    return Found(torch.cat(parts) if parts else torch.empty(0, 3, dtype=torch.int64), names, relations)


def pyg_data(
    head: Int[Tensor, " M"], relation: Int[Tensor, " M"], tail: Int[Tensor, " M"], num_entities: int
) -> torch_geometric.data.Data:
    """Edges with their types."""
    try:
        from torch_geometric.data import Data
    except ImportError as error:
        raise ImportError("to_pyg() needs PyTorch Geometric: pip install torch_geometric") from error
    return Data(edge_index=torch.stack([head, tail]), edge_type=relation, num_nodes=num_entities)
