"""Facts that are true and that training never sees: false negatives that are known to be false."""

from __future__ import annotations

from dataclasses import replace

from gnnkg.data.dataset import Dataset
from gnnkg.data.split import split_facts
from gnnkg.graph import KnowledgeGraph


def hide_facts(dataset: Dataset, hide: float, hide_seed: int = 0) -> Dataset:
    """This data set with a share of its training facts taken out and kept in ``Dataset.hidden``: no split has them, and no filter
    but that of the test (``Dataset.truths``), where the model may rank them before the answer that is asked for.

    They are chosen as validation facts are (``split_facts``): all facts between the same two entities go together, so that none is
    betrayed by a copy or a mirror image, and every entity and relation is left in training. The choice depends on the facts and
    the seed alone. Raises ValueError where the share is not in [0, 1).
    """
    if not 0 <= hide < 1:
        raise ValueError(f"hide is a share of the training facts, in [0, 1), not {hide}")
    graph = dataset.graph
    train, hidden = split_facts(graph.facts, graph.num_entities, graph.num_relations, (1 - hide, hide), hide_seed)
    note = f"hidden: {len(hidden):,} facts taken out of train (share {hide}, seed {hide_seed})"
    return replace(
        dataset,
        graph=KnowledgeGraph(train, graph.num_entities, graph.num_relations),
        hidden=hidden,
        report=replace(dataset.report, notes=(*dataset.report.notes, note)),
    )
