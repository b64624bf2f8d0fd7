from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from gnnkg.annotations import Feature
from gnnkg.core import ReadFeature
from gnnkg.features.reading import texts_of
from gnnkg.graph import KnowledgeGraph


@dataclass(frozen=True)
class Terms:
    """Which of the ``most`` frequent terms an entity has, 1 or 0: a bag of attributes (EVA, SNAG), of types, of tags.

    ``text``: a name among the data set's texts, in which the terms of an entity stand between separators. One without the text
    lacks the modality; one with rare terms alone has a row of zeros. Raises ValueError for a number of terms below 1.
    """

    text: str
    most: int = 1000
    separator: str = "\t"

    def __post_init__(self) -> None:
        if self.most < 1 or not self.separator:
            raise ValueError(f"a bag needs a separator and at least 1 term, not {self.separator!r} and {self.most}")

    def __call__(self, graph: KnowledgeGraph) -> ReadFeature:
        count = Counter(term for terms in self._of(graph) for term in terms)
        kept = tuple(sorted(count, key=lambda term: (-count[term], term))[: self.most])
        column = {term: i for i, term in enumerate(kept)}

        def read(graph: KnowledgeGraph) -> Feature:
            of_each = self._of(graph)
            cells = [(row, column[term]) for row, terms in enumerate(of_each) for term in terms if term in column]
            values = torch.zeros(len(of_each), len(kept))
            if cells:
                values[tuple(torch.tensor(cells).T)] = 1.0
            has = torch.tensor([bool(terms) for terms in of_each]).unsqueeze(1).expand(values.shape)
            return Feature(values.to(graph.device), has.to(graph.device), kept)

        return read

    def _of(self, graph: KnowledgeGraph) -> Sequence[tuple[str, ...]]:
        texts = texts_of(graph, self.text, no_text="")
        return [() if text is None else tuple(dict.fromkeys(text.split(self.separator))) for text in texts]
