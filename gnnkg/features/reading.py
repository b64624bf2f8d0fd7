"""Looking up what a graph's annotations have, with words for what they have not."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from gnnkg.annotations import Annotations, Feature
from gnnkg.graph import KnowledgeGraph

LABELS = "label"
"""the name of the entities' labels among the texts, where a data set has no text of this name itself"""

Texts = Sequence[str | None]


def annotations_of(graph: KnowledgeGraph) -> Annotations:
    """Raises ValueError where there are none."""
    if graph.annotations is None:
        raise ValueError(
            "this graph tells nothing about its entities besides facts: take the graph of a Dataset, which carries labels, "
            "texts and features, or give it some with graph.annotated(...)"
        )
    return graph.annotations


def feature_of(graph: KnowledgeGraph, name: str) -> Feature:
    """A feature of a graph's entities. Raises ValueError with the names that there are."""
    known = annotations_of(graph).features
    if name not in known:
        raise ValueError(f"there is no feature {name!r} in this data set; it has {', '.join(sorted(known)) or 'none'}")
    return known[name]


def texts_of(graph: KnowledgeGraph, name: str, no_text: str) -> Texts:
    """The texts of a graph's entities, None where absent, empty or matched whole by ``no_text``.

    Raises ValueError as ``feature_of``.
    """
    annotations = annotations_of(graph)
    if name not in annotations.texts and name != LABELS:
        known = ", ".join(sorted({*annotations.texts, LABELS}))
        raise ValueError(f"there is no text {name!r} in this data set; it has {known}")
    found = annotations.texts.get(name, annotations.labels)
    return [text if text and text.strip() and not re.fullmatch(no_text, text) else None for text in found]


def texts_hash(texts: Texts) -> str:
    """The SHA-256 of texts in their order, absent ones told apart from empty ones."""
    total = hashlib.sha256()
    for text in texts:
        raw = b"" if text is None else text.encode()
        total.update((-1 if text is None else len(raw)).to_bytes(8, "little", signed=True) + raw)
    return total.hexdigest()
