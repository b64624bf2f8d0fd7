"""What is known of entities besides their facts, as one table of both graphs: bags of relations and of attributes, names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from gnnkg.graph import KnowledgeGraph


class Modality(NamedTuple):
    """A row of numbers an entity, and which entities have any; the row of one that has none is 0."""

    values: Float[Tensor, "N F"]
    present: Bool[Tensor, " N"]


def relation_bag(graph: KnowledgeGraph, width: int = 1000) -> Modality:
    """How often each entity is head or tail of each of the ``width`` most frequent relations; as many columns, some of them 0."""
    head, relation, tail = graph.facts.unbind(1)
    frequency = torch.bincount(relation, minlength=graph.num_relations)
    kept = frequency.argsort(descending=True, stable=True)[:width]
    column = torch.full((graph.num_relations,), -1)
    column[kept] = torch.arange(len(kept))
    inside = column[relation] >= 0
    values = torch.zeros(graph.num_entities * width)
    for entity in (head, tail):
        cell = entity[inside] * width + column[relation[inside]]
        values += torch.bincount(cell, minlength=len(values))
    values = values.view(graph.num_entities, width)
    return Modality(values, values.any(1))


def attribute_bag(attributes: Sequence[str | None], width: int = 1000) -> Modality:
    """Which of the ``width`` most frequent attributes an entity has, 1 or 0; ``attributes``: those of each, separated by tabs."""
    of_each = [() if text is None else tuple(dict.fromkeys(text.split("\t"))) for text in attributes]
    count = Counter(name for names in of_each for name in names)
    kept = sorted(count, key=lambda name: (-count[name], name))[:width]
    column = {name: i for i, name in enumerate(kept)}
    values = torch.zeros(len(of_each), max(1, len(kept)))
    for row, names in enumerate(of_each):
        for name in names:
            if name in column:
                values[row, column[name]] = 1.0
    return Modality(values, torch.tensor([bool(names) for names in of_each]))


def name_vectors(
    names: Sequence[str | None], width: int = 512, lengths: tuple[int, int] = (2, 4), seed: int = 0
) -> Modality:
    """Names by their character n-grams within words, weighted by TF-IDF; rows of length 1, at most ``width`` wide.

    Where there are more n-grams than that, a sparse random projection (Li et al., "Very sparse random projections", KDD 2006)
    keeps cosines up to about 1 / sqrt(width). Names that are alike in spelling are near; a translation that is spelled otherwise
    is not. Raises ValueError where no entity has a name.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.random_projection import SparseRandomProjection

    texts = [(name or "").strip() for name in names]
    present = torch.tensor([bool(text) for text in texts])
    if not bool(present.any()):
        raise ValueError("no entity has a name, so names cannot be compared")
    grams = TfidfVectorizer(analyzer="char_wb", ngram_range=lengths, sublinear_tf=True)
    weighed = grams.fit_transform(texts)
    if weighed.shape[1] > width:
        projection = SparseRandomProjection(width, random_state=seed)  # type: ignore[arg-type]  # its stub knows only "auto"
        weighed = projection.fit_transform(weighed)
    values = torch.from_numpy(weighed.toarray()).float()
    return Modality(functional.normalize(values, dim=1), present)
