"""Two graphs in, aligned pairs out: what ``gnnkg align`` does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from gnnkg.alignment.label_propagation import propagate_labels
from gnnkg.core import MakeFeature
from gnnkg.data.alignment import AlignmentData, Links
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


@dataclass(frozen=True)
class Compared:
    """What entities are compared by, as YAML names it: parts of ``gnnkg.features``, under any names."""

    features: dict[str, MakeFeature]
    config: dict[str, Any] = field(default_factory=dict, repr=False)


def spelling(text: str, width: int = 512) -> MakeFeature:
    """The feature that compares labels (``labels``), or a text that both graphs have, by spelling."""
    return TextNgrams(LABELS if text == "labels" else text, dim=width, reduce="random")


def side_by_side(data: AlignmentData, features: Iterable[MakeFeature]) -> Float[Tensor, "N X"]:
    """Features of the joint graph's entities in one vector, each of length 1, or 0 where an entity lacks it.

    Raises ValueError where the graphs have not what one of them reads, and without features.
    """
    read = [make(data.graph)(data.graph) for make in features]
    if not read:
        raise ValueError("no features to compare entities by")
    return torch.cat([normalize(torch.where(each.present, each.values, 0), dim=1) for each in read], dim=1)


def by_propagation(
    data: AlignmentData,
    features: Float[Tensor, "N X"] | None,
    rounds: int = 3,
    width: int = 256,
    compared: int = 512,
    seed: int = 0,
) -> EntityVectors:
    """Seeds and features spread over the graphs, without training; CSLS tells which pairs are believed in between.

    Spread vectors are several times as wide as ``width``, and are projected to ``compared`` to be compared.
    """
    found = propagate_labels(data, width, rounds=rounds, names=features, compared=compared, seed=seed)
    return EntityVectors(found.left, found.right)


def name_pairs(data: AlignmentData, features: Float[Tensor, "N X"]) -> Links:
    """Pairs that names alone tell: the better-scored half of the mutual-best ones by CSLS. Seeds where none are known."""
    found = mutual_best(csls(Similarity(features[data.is_left], features[~data.is_left])))
    kept = found.score >= found.score.median()
    return torch.stack([found.left[kept], found.right[kept]], 1)


def aligned_pairs(data: AlignmentData, vectors: EntityVectors, match: Match = "csls") -> pandas.DataFrame:
    """The seeds, those for validation too, and the mutual-best pairs of all other entities: one to one, the surest first.

    Columns: left and right in labels, their cosine, the score by which they were matched (as ``csls`` or ``sinkhorn`` gives it, NaN
    for a seed), whether the pair was given as a seed, and both identifiers.
    """
    seeds = torch.cat([data.train, data.valid])
    free = [torch.ones(len(side), dtype=torch.bool) for side in (vectors.left, vectors.right)]
    for side, column in zip(free, seeds.unbind(1), strict=True):
        side[column] = False
    left_pool, right_pool = (side.nonzero().squeeze(1) for side in free)
    left, right = seeds.unbind(1)
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
            "seed": [i < len(seeds) for i in range(len(left))],
            "left_identifier": [data.left.entities[i] for i in left.tolist()],
            "right_identifier": [data.right.entities[i] for i in right.tolist()],
        }
    )
    return table.sort_values(["seed", "score", "left_identifier"], ascending=[False, False, True], ignore_index=True)
