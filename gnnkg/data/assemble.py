"""Triples by name -> a vocabulary -> a data set of ids. Every reader ends here, so each rule below holds for all of them.

- Ids are positions in the sorted identifiers, or published ones where a dictionary gives them. They do not depend on the
  order of lines; facts keep the order of their lines.
- A fact that stands twice in a split is kept once, and counted.
- A fact that stands in two splits is kept in both, so that published splits stay what they are; it is counted, and warned
  of. ``overlap="drop"`` keeps it in the first of train, valid, test only.
- Entities and relations that only valid or test names have ids like all others. Nothing is dropped for their sake.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from gnnkg.data.dataset import SPLITS, Dataset
from gnnkg.data.report import Report, SplitReport
from gnnkg.data.triples import DataError, Triples, column_ids, vocabulary
from gnnkg.graph import KnowledgeGraph

Overlap = Literal["keep", "drop"]


class SharedFacts(UserWarning):
    """Facts stand in two splits: what is evaluated was shown in training."""


def assemble(
    name: str,
    splits: Mapping[str, Triples],
    *,
    entities: Sequence[str] | None = None,
    relations: Sequence[str] | None = None,
    entity_labels: Mapping[str, str] | None = None,
    relation_labels: Mapping[str, str] | None = None,
    overlap: Overlap = "keep",
    source: str = "",
    notes: Sequence[str] = (),
) -> Dataset:
    """A data set from triples by name, by the rules above. ``entities`` and ``relations`` give published ids, by position.

    Raises DataError where there are no training facts, or a name is not in the vocabulary that was given.
    """
    if overlap not in ("keep", "drop"):
        raise ValueError(f'overlap is "keep" or "drop", not {overlap!r}')
    if not len(splits.get("train", ())):
        raise DataError(f"{name} has no training facts")
    given = list(splits.values())
    entity_names = pa.array(entities, pa.string()) if entities is not None else vocabulary(*(t.entities for t in given))
    relation_names = (
        pa.array(relations, pa.string())
        if relations is not None
        else vocabulary(*(t.relation.dictionary for t in given))
    )
    kept, reports, earlier = {}, {}, []
    for split in SPLITS:
        if split not in splits:
            kept[split] = np.empty((0, 3), np.int64)
            continue
        facts = _ids(splits[split], entity_names, relation_names)
        kept[split], reports[split] = _distinct(
            facts, splits[split], earlier, overlap, len(entity_names), len(relation_names)
        )
        earlier.append(kept[split])
    shared = {split: report.shared for split, report in reports.items() if report.shared}
    if shared and overlap == "keep":
        told = ", ".join(f"{count:,} of {split}" for split, count in shared.items())
        warnings.warn(f"{name}: facts stand in an earlier split too: {told}", SharedFacts, stacklevel=2)
    identifiers: list[str] = entity_names.to_pylist()  # type: ignore[assignment]  # a vocabulary holds no null
    relation_identifiers: list[str] = relation_names.to_pylist()  # type: ignore[assignment]  # as above
    train, valid, test = (torch.from_numpy(kept[split]) for split in SPLITS)
    faults = chain.from_iterable(triples.faults for triples in given)
    return Dataset(
        name=name,
        graph=KnowledgeGraph(train, len(identifiers), len(relation_identifiers)),
        valid=valid,
        test=test,
        entities=tuple(identifiers),
        relations=tuple(relation_identifiers),
        entity_labels=tuple((entity_labels or {}).get(each, each) for each in identifiers),
        relation_labels=tuple((relation_labels or {}).get(each, each) for each in relation_identifiers),
        source=source,
        report=Report(reports, tuple(faults), tuple(notes)),
    )


def _ids(triples: Triples, entities: pa.Array, relations: pa.Array) -> np.ndarray:
    """(M, 3) int64."""
    facts = np.empty((len(triples), 3), np.int64)
    facts[:, 0] = column_ids(triples.head, entities, "entity", triples.source)
    facts[:, 1] = column_ids(triples.relation, relations, "relation", triples.source)
    facts[:, 2] = column_ids(triples.tail, entities, "entity", triples.source)
    return facts


def _distinct(
    facts: np.ndarray,
    triples: Triples,
    earlier: list[np.ndarray],
    overlap: Overlap,
    num_entities: int,
    num_relations: int,
) -> tuple[np.ndarray, SplitReport]:
    """The facts of a split, each once, and what was dropped."""
    keys = fact_keys(facts, num_entities, num_relations)
    first = ~pd.Series(keys).duplicated().to_numpy()
    distinct = facts if first.all() else facts[first]
    shared = np.zeros(len(distinct), bool)
    for others in earlier:
        shared |= among(keys[first], fact_keys(others, num_entities, num_relations))
    report = SplitReport(
        read=len(facts),
        duplicates=len(facts) - len(distinct),
        shared=int(shared.sum()),
        shared_dropped=overlap == "drop",
        faulty=triples.num_faulty,
        literals=triples.literals,
    )
    return (distinct[~shared] if overlap == "drop" else distinct), report


def fact_keys(facts: np.ndarray, num_entities: int, num_relations: int) -> np.ndarray:
    """One number a fact, (M,) int64, different for different facts.

    Raises DataError where num_entities^2 * num_relations does not fit into 63 bits.
    """
    if num_entities**2 * num_relations >= 2**63:
        raise DataError(f"{num_entities:,} entities and {num_relations:,} relations are too many for keys of 63 bits")
    return (facts[:, 0] * num_relations + facts[:, 1]) * num_entities + facts[:, 2]


def among(keys: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which keys stand among others, by a hash table of the fewer of the two."""
    if len(keys) < len(others):
        return pd.Series(keys).isin(others[pd.Series(others).isin(keys).to_numpy()]).to_numpy()
    return pd.Series(keys).isin(others).to_numpy()
