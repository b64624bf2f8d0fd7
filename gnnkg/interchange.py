"""Facts as the graphs of other libraries, and back: DGL, PyTorch Geometric.

``KnowledgeGraph.to_dgl``, ``from_dgl`` and ``to_pyg`` say what the forms are.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gnnkg.annotations import Annotations, Feature

if TYPE_CHECKING:
    import dgl
    import torch_geometric.data

RELATION_COLUMNS = ("etype", "_TYPE")
"""where the relations of a graph of one edge type are looked for; "_TYPE" is dgl.ETYPE"""
BOOKKEEPING = ("_ID", "_TYPE", "etype", "ntype")
"""columns in which DGL keeps numbers of its own"""
PRESENT = "_present"
"""ends the name of the column that says which numbers of a feature are there"""

Chosen = Tensor | str
"""edges, by a mask of shape (E,) or the name of one in ``edata``"""


class DataLeftOut(UserWarning):
    """A DGL graph has columns for which a knowledge graph has no place."""


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


def with_features(
    there: dgl.DGLGraph, annotations: Annotations | None, rows: Int[Tensor, " N"] | None = None
) -> dgl.DGLGraph:
    """A heterograph with each feature of its entities as ``ndata[name]``, (N, F), and which of its numbers are there as bools,
    ``ndata[name + "_present"]``. ``rows``: which entities the annotations are of, where they are of more.

    Raises ValueError where two of these columns would have one name.
    """
    features = {} if annotations is None else annotations.features
    for name, feature in features.items():
        if name + PRESENT in features:
            raise ValueError(f"the feature {name + PRESENT!r} has the name of the mask of {name!r}: give it another")
        own = feature if rows is None else feature.of(rows)
        there.ndata[name], there.ndata[name + PRESENT] = own.values, own.present
    return there


class Found(NamedTuple):
    """Facts, and the names of entities and relations."""

    facts: Int[Tensor, "M 3"]
    entities: list[str]
    relations: list[str]


def facts_of(graph: dgl.DGLGraph, edges: Chosen | None = None, etype: str | None = None) -> Found:
    """Edges of a DGL graph, of whichever types, as facts.

    ``edges``: a mask, or the name of one in ``edata``. A graph that has masks there may hold facts to be tested on, so one must be
    chosen. ``etype`` names the column of relations of a graph of one edge type, where it is neither ``etype`` nor dgl.ETYPE.
    Relations have their numbers in the whole graph; those that are reverses of others (``reverses_from``) are left out where no
    edge of them is chosen.

    Raises ValueError where masks are there and none is chosen, and where it is not clear what the relations are.
    """
    if edges is None:
        if masks := masks_of(graph):
            names = ", ".join(masks)
            raise ValueError(
                f"edata has the masks {names}: the graph may hold facts that are to be tested on. Choose what to take with "
                f"KnowledgeGraph.from_dgl(graph, edges={masks[0]!r}), or with any mask as edges=...; "
                f"gnnkg.data.from_dgl(graph, train=..., valid=..., test=...) takes all splits"
            )
        return every_edge(graph, etype)
    whole = every_edge(graph, etype)
    facts = whole.facts[chosen(graph, edges).to(whole.facts.device)]
    first = reverses_from(whole.facts)
    only_stated = first is not None and not bool((facts[:, 1] >= first).any())
    return Found(facts, whole.entities, whole.relations[:first] if only_stated else whole.relations)


def every_edge(graph: dgl.DGLGraph, etype: str | None = None) -> Found:
    """All edges as facts: those of one type after those of another, each in their own order."""
    types = _types(graph)
    several = len(graph.ntypes) > 1
    starts, names = {}, []
    for node_type in graph.ntypes:
        starts[node_type] = len(names)
        names += [f"{node_type}/{i}" if several else str(i) for i in range(graph.num_nodes(node_type))]
    given = _relation_column(graph, types, etype)
    if given is not None:
        head, tail = graph.edges(etype=types[0], order="eid")
        head, tail = head.long() + starts[types[0][0]], tail.long() + starts[types[0][2]]
        num_relations = int(given.max()) + 1 if len(given) else 0
        return Found(torch.stack([head, given, tail], 1), names, [str(r) for r in range(num_relations)])
    short = [e[1] for e in types]
    if all(name.isdigit() for name in short) and list(map(int, short)) == list(range(len(short))):
        short = [str(int(name)) for name in short]  # without the zeros of to_dgl
    relations = [name if short.count(name) == 1 else ":".join(e) for name, e in zip(short, types, strict=True)]
    parts = []
    for r, canonical in enumerate(types):
        head, tail = graph.edges(etype=canonical, order="eid")
        head, tail = head.long() + starts[canonical[0]], tail.long() + starts[canonical[2]]
        parts.append(torch.stack([head, torch.full_like(head, r), tail], 1))
    return Found(torch.cat(parts) if parts else torch.empty(0, 3, dtype=torch.int64), names, relations)


def _types(graph: dgl.DGLGraph) -> list[tuple[str, str, str]]:
    """The canonical edge types in the order of their relations."""
    canonical: list[tuple[str, str, str]] = graph.canonical_etypes  # pyright: ignore[reportAssignmentType]  # DGL has no types
    return sorted(canonical, key=lambda e: (0, int(e[1]), "") if e[1].isdigit() else (1, 0, e[1]))


def _relation_column(
    graph: dgl.DGLGraph, types: Sequence[tuple[str, str, str]], etype: str | None
) -> Int[Tensor, " E"] | None:
    """The relation of each edge of a graph of one edge type; None where the types themselves are the relations."""
    if len(types) != 1:
        if etype is not None:
            raise ValueError(f"etype={etype!r} is for graphs of one edge type: of {len(types)}, each is a relation")
        return None
    told = graph.edges[types[0]].data
    if etype is not None and etype not in told:
        raise ValueError(f"edata has no column {etype!r} but {', '.join(told) or 'none'}")
    name = etype if etype is not None else next((name for name in RELATION_COLUMNS if name in told), None)
    if name is None:
        unclear = [
            each
            for each, column in told.items()
            if _is_whole(column) and _is_one_each(column) and each not in BOOKKEEPING and not each.endswith("mask")
        ]
        if unclear:
            raise ValueError(
                f"edata has whole numbers in {', '.join(unclear)}, which may be relations: say etype={unclear[0]!r} if they are, "
                f"and take the column out with graph.edata.pop({unclear[0]!r}) if not, for then all edges are one relation"
            )
        return None
    column = told[name]
    if not _is_whole(column) or not _is_one_each(column):
        raise ValueError(
            f"edata[{name!r}] must hold the relation of each edge, whole numbers of shape ({len(column)},), "
            f"not {column.dtype} of shape {tuple(column.shape)}"
        )
    return column.reshape(-1).long()


def _is_whole(column: Tensor) -> bool:
    return not column.is_floating_point() and not column.is_complex() and column.dtype != torch.bool


def _is_one_each(column: Tensor) -> bool:
    return tuple(column.shape) in ((len(column),), (len(column), 1))


def masks_of(graph: dgl.DGLGraph) -> list[str]:
    """The names of the masks in ``edata``, of any edge type."""
    return list(
        dict.fromkeys(name for each in _types(graph) for name in graph.edges[each].data if name.endswith("mask"))
    )


def chosen(graph: dgl.DGLGraph, edges: Chosen) -> Bool[Tensor, " E"]:
    """Which edges a mask means, in the order of ``every_edge``. Raises ValueError where it is no mask of the edges."""
    types = _types(graph)
    if not isinstance(edges, str):
        if len(types) > 1:
            raise ValueError(f"a graph of {len(types)} edge types needs the name of a mask that each has in its edata")
        return _mask(edges, graph.num_edges(), "the mask")
    parts = []
    for each in types:
        told = graph.edges[each].data
        if edges not in told:
            named = f" of the edge type {each[1]!r}" if len(types) > 1 else ""
            raise ValueError(f"edata{named} has no mask {edges!r} but {', '.join(masks_of(graph)) or 'none'}")
        parts.append(_mask(told[edges], graph.num_edges(each), f"edata[{edges!r}]"))
    return torch.cat(parts) if parts else torch.empty(0, dtype=torch.bool)


def _mask(mask: Tensor, num_edges: int, what: str) -> Bool[Tensor, " E"]:
    if len(mask) != num_edges or not _is_one_each(mask) or not bool(((mask == 0) | (mask == 1)).all()):
        raise ValueError(
            f"{what} must say of each edge whether it is taken, bool of shape ({num_edges},), "
            f"not {mask.dtype} of shape {tuple(mask.shape)}"
        )
    return mask.reshape(-1).bool()


def reverses_from(facts: Int[Tensor, "M 3"]) -> int | None:
    """R, where every fact (h, r, t) of r < R stands backwards as (t, r + R, h) too, and there are no others; None if not so.

    DGL's own knowledge graphs hold such edges, and so does ``to_dgl(inverse=True)``.
    """
    used = torch.unique(facts[:, 1])
    half = len(used) // 2
    if not half or len(used) % 2:
        return None
    first = int(used[half] - used[0])
    if not torch.equal(used[:half] + first, used[half:]) or int(used[half - 1]) >= first:
        return None
    backwards = facts[:, 1] >= first
    stated, back = (torch.unique(each, dim=0) for each in (facts[~backwards], turned(facts[backwards], first)))
    return first if torch.equal(stated, back) else None


def turned(facts: Int[Tensor, "M 3"], num_relations: int) -> Int[Tensor, "M 3"]:
    """Backward facts (t, r + R, h) as they were stated, (h, r, t)."""
    return torch.stack([facts[:, 2], facts[:, 1] - num_relations, facts[:, 0]], 1)


def features_of(graph: dgl.DGLGraph, etype: str | None = None) -> dict[str, Feature]:
    """The columns of floating-point numbers in ``ndata``, (N, F) or (N,), as features of the entities.

    All numbers are there, unless bools in ``ndata[NAME_present]`` say which. In a graph of several node types a feature is called
    ``type/NAME``, and absent at other types. Warns of what else ``ndata`` and ``edata`` hold (DataLeftOut), but for what is DGL's
    own, masks and relations (``etype``). Raises ValueError where a number that is there is not finite.
    """
    found: dict[str, Feature] = {}
    left, start, num_nodes = [], 0, graph.num_nodes()
    for node_type in graph.ntypes:
        told = graph.nodes[node_type].data
        masks = {name for name, column in told.items() if name.endswith(PRESENT) and column.dtype == torch.bool}
        masks &= {name + PRESENT for name in told}
        for name, column in told.items():
            if column.is_floating_point() and column.dim() <= 2:
                mask = told[name + PRESENT] if name + PRESENT in masks else None
                called = name if len(graph.ntypes) == 1 else f"{node_type}/{name}"
                found[called] = _feature(name, _wide(column).float(), mask, start, num_nodes)
            elif name not in BOOKKEEPING and name not in masks:
                left.append(f"ndata[{name!r}]")
        start += graph.num_nodes(node_type)
    for each in _types(graph):
        known = (*BOOKKEEPING, etype)
        left += [f"edata[{x!r}]" for x in graph.edges[each].data if x not in known and not x.endswith("mask")]
    if left:
        message = f"a knowledge graph has no place for {', '.join(dict.fromkeys(left))}: left out"
        warnings.warn(message, DataLeftOut, stacklevel=3)
    return found


def _wide(column: Tensor) -> Tensor:
    return column.unsqueeze(1) if column.dim() == 1 else column


def _feature(
    name: str, column: Float[Tensor, "n F"], mask: Bool[Tensor, n * F] | None, start: int, num_nodes: int
) -> Feature:
    """A column of one node type, whose nodes begin at ``start`` among all."""
    there = torch.ones_like(column, dtype=torch.bool) if mask is None else _wide(mask)
    if there.shape not in (column.shape, (len(column), 1)):
        expected = f"{tuple(column.shape)}, as {name!r} has, or ({len(column)},)"
        raise ValueError(f"ndata[{name + PRESENT!r}] must be of shape {expected}, not {tuple(there.shape)}")
    there = there.expand_as(column)
    if not bool(column[there].isfinite().all()):
        raise ValueError(
            f"ndata[{name!r}] holds numbers that are not finite: say which are there by bools of its shape in "
            f"ndata[{name + PRESENT!r}]"
        )
    values, present = column.new_zeros(num_nodes, column.shape[1]), there.new_zeros(num_nodes, column.shape[1])
    rows = slice(start, start + len(column))
    values[rows], present[rows] = column.masked_fill(~there, 0.0), there
    return Feature(values, present, tuple(f"{name} {i}" for i in range(column.shape[1])))


def pyg_data(
    head: Int[Tensor, " M"], relation: Int[Tensor, " M"], tail: Int[Tensor, " M"], num_entities: int
) -> torch_geometric.data.Data:
    """Edges with their types."""
    try:
        from torch_geometric.data import Data
    except ImportError as error:
        raise ImportError("to_pyg() needs PyTorch Geometric: pip install torch_geometric") from error
    return Data(edge_index=torch.stack([head, tail]), edge_type=relation, num_nodes=num_entities)
