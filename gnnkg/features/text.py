from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.annotations import Feature
from gnnkg.core import ReadFeature
from gnnkg.features.reading import LABELS, Texts, texts_hash, texts_of
from gnnkg.graph import KnowledgeGraph
from gnnkg.stored import computed_once

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

IDENTIFIERS = r"[PQ]\d+|/m/\w+|\d+"
"""Wikidata's, Freebase's and plain numbers: they name nothing to a reader"""


@dataclass(frozen=True)
class TextNgrams:
    """Names, descriptions or glosses by the pieces of their words: character n-grams, TF-IDF weights, fewer columns.

        x = s U_dim Sigma_dim   of the matrix (entity, n-gram) -> (1 + log tf) idf, rows of length 1

    by scikit-learn's ``TfidfVectorizer`` within words and ``TruncatedSVD``; s makes the mean square of all numbers 1. Needs no
    pretrained model and no network. ``text``: a name among the data set's texts, or "label". N-grams of ``shortest`` to
    ``longest`` signs, the ``max_ngrams`` most frequent; fewer than ``dim`` columns where there are not as many directions.
    Texts that ``no_text`` matches whole count as absent, because they are identifiers.

    ``reduce="random"``: a sparse random projection in place of the SVD (Li et al., "Very sparse random projections", KDD 2006). It
    keeps all cosines, those of rare n-grams too, up to about 1 / sqrt(dim): names that are alike in spelling are near.

    Raises ValueError where no entity has a text.
    """

    text: str = LABELS
    dim: int = 128
    shortest: int = 2
    longest: int = 4
    max_ngrams: int = 50_000
    no_text: str = IDENTIFIERS
    reduce: Literal["svd", "random"] = "svd"

    def __post_init__(self) -> None:
        if self.dim < 1 or self.max_ngrams < 2 or not 1 <= self.shortest <= self.longest:
            raise ValueError(
                f"dim must be at least 1, max_ngrams at least 2 and 1 <= shortest <= longest, not {self.dim}, "
                f"{self.max_ngrams}, {self.shortest} and {self.longest}"
            )

    def __call__(self, graph: KnowledgeGraph) -> ReadFeature:
        learned = texts_of(graph, self.text, self.no_text)
        if not any(learned):
            raise ValueError(f"no entity of this data set has a text {self.text!r}")
        return _Reader(self, learned)


class _Reader:
    """Reads the texts that were learned from out of the cache, and others through the pipeline, fitted when first needed."""

    def __init__(self, settings: TextNgrams, learned: Texts) -> None:
        self.settings = settings
        self.learned = learned
        self.hash = texts_hash(learned)
        self._fitted: tuple[Pipeline, int, float] | None = None

    def __call__(self, graph: KnowledgeGraph) -> Feature:
        texts = texts_of(graph, self.settings.text, self.settings.no_text)
        if texts == self.learned:
            about = {"texts": self.hash, "settings": repr(self.settings), "scikit-learn": version("scikit-learn")}
            values = computed_once("features", about, lambda: {"values": self._vectors(texts)})["values"]
        else:
            values = self._vectors(texts)
        has = torch.tensor([text is not None for text in texts]).unsqueeze(1).expand(values.shape)
        names = tuple(f"{self.settings.text} {i}" for i in range(values.shape[1]))
        return Feature(values.to(graph.device), has.to(graph.device), names)

    def _vectors(self, texts: Texts) -> Float[Tensor, "N F"]:
        pipeline, width, scale = self._fit()
        present = torch.tensor([i for i, text in enumerate(texts) if text is not None], dtype=torch.int64)
        rows = (
            torch.from_numpy(pipeline.transform([text for text in texts if text is not None])) if len(present) else None
        )
        values = torch.zeros(len(texts), width)
        if rows is not None:
            values[present] = scale * rows.float()
        return values

    def _fit(self) -> tuple[Pipeline, int, float]:
        if self._fitted is None:
            # scikit-learn takes longer to import than the rest of the package
            from sklearn.decomposition import TruncatedSVD
            from sklearn.feature_extraction.text import TfidfVectorizer
            from sklearn.pipeline import make_pipeline
            from sklearn.random_projection import SparseRandomProjection

            settings, corpus = self.settings, [text for text in self.learned if text is not None]
            ngrams = TfidfVectorizer(
                analyzer="char_wb",
                ngram_range=(settings.shortest, settings.longest),
                max_features=settings.max_ngrams,
                sublinear_tf=True,
            )
            weights = ngrams.fit_transform(corpus)
            if settings.reduce == "svd":
                fewer = TruncatedSVD(min(settings.dim, max(1, min(weights.shape) - 1)), random_state=0)
            else:
                dim = min(settings.dim, weights.shape[1])
                fewer = SparseRandomProjection(dim, dense_output=True, random_state=0)  # type: ignore[arg-type]  # its stub knows "auto"
            rows = fewer.fit_transform(weights)
            mean_square = float((rows**2).mean())
            scale = mean_square**-0.5 if mean_square else 1.0
            self._fitted = make_pipeline(ngrams, fewer), rows.shape[1], scale
        return self._fitted
