"""A validation split of one's own, where a data set has none or a broken one."""

from __future__ import annotations

from dataclasses import replace

from gnnkg.data.dataset import Dataset
from gnnkg.data.split import split_facts
from gnnkg.graph import KnowledgeGraph


def carve_validation(dataset: Dataset, share: float, seed: int = 0, reason: str = "", together: bool = True) -> Dataset:
    """This data set with a share of its training facts as the validation split; the one it had is left out.

    The split depends on the facts and the seed alone. It leaks nothing (``split_facts``), or with ``together=False`` as much as a
    random split does, which tells more of a published test split that was drawn so.
    """
    graph = dataset.graph
    train, valid = split_facts(graph.facts, graph.num_entities, graph.num_relations, (1 - share, share), seed, together)
    note = f"validation: {len(valid):,} facts carved out of train (share {share}, seed {seed})" + (
        f"; {reason}" if reason else ""
    )
    notes = (*dataset.report.notes, note)
    return replace(
        dataset,
        graph=KnowledgeGraph(train, graph.num_entities, graph.num_relations),
        valid=valid,
        report=replace(dataset.report, notes=notes),
    )
