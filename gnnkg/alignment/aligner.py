"""Two graphs in, aligned pairs out: what ``gnnkg align`` does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas
import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.alignment.label_propagation import propagate_labels
from gnnkg.annotations import Feature
from gnnkg.data.alignment import AlignmentData
from gnnkg.evaluation.alignment import Similarity, csls, mutual_best, plain, sinkhorn
from gnnkg.evaluation.alignment.correction import Correct
from gnnkg.features import TextNgrams
from gnnkg.features.reading import LABELS

Match = Literal["csls", "sinkhorn", "cosine"]
CORRECT: dict[str, Correct] = {"csls": csls, "sinkhorn": sinkhorn, "cosine": plain}


@dataclass(frozen=True, eq=False)
class EntityVectors:
    """Vectors of all left and all right entities, which are compared by cosine."""

    left: Float[Tensor, "N D"]
    right: Float[Tensor, "M D"]


def names_of(data: AlignmentData, text: str, width: int = 512) -> Feature:
    """Vectors of the labels (``labels``), or of a text of both graphs, by spelling. Raises ValueError where there is none."""
    make = TextNgrams(LABELS if text == "labels" else text, dim=width, reduce="random")
    return make(data.graph)(data.graph)


def by_propagation(
    data: AlignmentData, names: Feature | None, rounds: int = 3, width: int = 256, compared: int = 512, seed: int = 0
) -> EntityVectors:
    """Seeds and names spread over the graphs, without training; CSLS tells which pairs are believed in between.

    Spread vectors are several times as wide as ``width``, and are projected to ``compared`` to be compared.
    """
    given = None if names is None else names.values
    found = propagate_labels(data, width, rounds=rounds, names=given, compared=compared, seed=seed)
    return EntityVectors(found.left, found.right)


def aligned_pairs(data: AlignmentData, vectors: EntityVectors, match: Match = "csls") -> pandas.DataFrame:
    """The seeds, and the mutual-best pairs of all other entities: one to one, the surest first.

    Columns: left and right in labels, their cosine, the score by which they were matched (as ``csls`` or ``sinkhorn`` gives it, NaN
    for a seed), whether the pair was given as a seed, and both identifiers.
    """
    free = [torch.ones(len(side), dtype=torch.bool) for side in (vectors.left, vectors.right)]
    for side, column in zip(free, data.train.unbind(1), strict=True):
        side[column] = False
    left_pool, right_pool = (side.nonzero().squeeze(1) for side in free)
    left, right = data.train.unbind(1)
    score = torch.full((len(left),), torch.nan)
    if len(left_pool) and len(right_pool):
        found = mutual_best(CORRECT[match](Similarity(vectors.left[left_pool], vectors.right[right_pool])))
        left, right = torch.cat([left, left_pool[found.left]]), torch.cat([right, right_pool[found.right]])
        score = torch.cat([score, found.score])
    cosine = torch.cosine_similarity(vectors.left[left], vectors.right[right])
    table = pandas.DataFrame(
        {
            "left": [data.left.entity_labels[i] for i in left.tolist()],
            "right": [data.right.entity_labels[i] for i in right.tolist()],
            "cosine": cosine.numpy().round(4),
            "score": score.numpy().round(4),
            "seed": [i < len(data.train) for i in range(len(left))],
            "left_identifier": [data.left.entities[i] for i in left.tolist()],
            "right_identifier": [data.right.entities[i] for i in right.tolist()],
        }
    )
    return table.sort_values(["seed", "score", "left_identifier"], ascending=[False, False, True], ignore_index=True)
