"""Data sets and knowledge graphs from DGL graphs, whose edges may be divided by masks as DGL's own are, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Int
from torch import Tensor

from gnnkg.data.assemble import Overlap, among, assemble, fact_keys
from gnnkg.data.dataset import SPLITS, Dataset
from gnnkg.data.triples import DataError, Triples
from gnnkg.graph import Facts
from gnnkg.interchange import Chosen, chosen, every_edge, facts_of, features_of, reverses_from, turned

if TYPE_CHECKING:
    import dgl


def from_dgl(
    graph: dgl.DGLGraph,
    train: Chosen | None = None,
    valid: Chosen | None = None,
    test: Chosen | None = None,
    *,
    name: str = "dgl",
    etype: str | None = None,
    entities: Sequence[str] | None = None,
    relations: Sequence[str] | None = None,
    overlap: Overlap = "keep",
) -> Dataset:
    """A data set from a DGL graph, in any form that ``gnnkg.interchange.facts_of`` reads; entity i is node i.

    from_dgl(graph, "train_mask", "val_mask", "test_mask")      DGL's own FB15k237Dataset, FB15kDataset and WN18Dataset

    A split is a mask of the edges or the name of one in ``edata``; a graph without masks may be given for train alone. ``etype``
    names the column of relations where it is another than ``etype`` or dgl.ETYPE. Where the graph holds every edge backwards too,
    by relations r + R (``reverses_from``), facts are those as stated, each once, of R relations, and a note in the report says so.
    Columns of ``ndata`` become features (``features_of``). ``entities`` and ``relations`` give names by id.

    Raises ValueError where masks are there and none is chosen for train, or it is not clear what the relations are; DataError where
    there are no training facts, or not one name an id.
    """
    if train is None:
        if valid is not None or test is not None:
            raise ValueError("without train=... all edges are training facts, those of valid and test too: give a mask")
        facts_of(graph, None, etype)  # refuses masks
    whole = every_edge(graph, etype)
    first = reverses_from(whole.facts)
    num_relations = len(whole.relations) if first is None else first
    named = (
        _names(entities, whole.entities, "entities"),
        _names(relations, whole.relations[:num_relations], "relations"),
    )
    notes, splits = [], {}
    for split, edges in zip(SPLITS, (train, valid, test), strict=True):
        if edges is None and split != "train":
            continue
        facts = whole.facts if edges is None else whole.facts[chosen(graph, edges).to(whole.facts.device)]
        facts, count = _as_stated(facts.cpu(), first, len(whole.entities))
        splits[split] = _triples(facts, *named, f"the edges of {split}")
        if count:
            notes.append(
                f"{split}: {count:,} edges are others backwards, by relations from {first} on, and are left out"
            )
    dataset = assemble(
        name,
        splits,
        entities=named[0],
        relations=named[1],
        overlap=overlap,
        source="a DGL graph in memory",
        notes=notes,
    )
    features = {key: each.to("cpu") for key, each in features_of(graph, etype).items()}
    return replace(dataset, features=features)


def _as_stated(facts: Facts, first: int | None, num_entities: int) -> tuple[Int[Tensor, "K 3"], int]:
    """Facts without those that are others backwards, by relations from ``first`` on, and how many these are.

    One whose other is not there is turned.
    """
    if first is None:
        return facts, 0
    backwards = facts[:, 1] >= first
    stated, back = facts[~backwards], turned(facts[backwards], first)
    known, asked = (fact_keys(each.numpy(), num_entities, first) for each in (stated, back))
    twice = torch.from_numpy(among(asked, known).copy())
    return torch.cat([stated, back[~twice]]), int(twice.sum())


def _names(given: Sequence[str] | None, found: Sequence[str], kind: str) -> list[str]:
    if given is None:
        return list(found)
    if len(given) != len(found) or len(set(given)) != len(given):
        raise DataError(
            f"{kind} must be {len(found):,} different names, one an id of the graph, not {len(set(given)):,} in {len(given):,}"
        )
    return list(given)


def _triples(facts: Facts, entities: Sequence[str], relations: Sequence[str], source: str) -> Triples:
    def column(ids: Tensor, names: Sequence[str]) -> pa.DictionaryArray:
        indices = pa.array(ids.numpy().astype(np.int32))
        return pa.DictionaryArray.from_arrays(indices, pa.array(names, pa.string()))

    head, relation, tail = facts.unbind(1)
    return Triples(column(head, entities), column(relation, relations), column(tail, entities), source)
