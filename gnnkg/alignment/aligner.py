"""Two graphs in, aligned pairs out: what ``gnnkg align`` does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import pandas
import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.alignment.encoder import Modalities, structure_space
from gnnkg.alignment.features import Modality, attribute_bag, name_vectors, relation_bag
from gnnkg.alignment.fit import fit_alignment, joint_vectors
from gnnkg.alignment.label_propagation import propagate_labels
from gnnkg.alignment.losses import AlignmentObjective
from gnnkg.alignment.pseudo_labels import PseudoLabels
from gnnkg.data.alignment import AlignmentData
from gnnkg.encoders import DiagonalGAT
from gnnkg.evaluation.alignment import Similarity, csls, mutual_best, plain, sinkhorn
from gnnkg.evaluation.alignment.correction import Correct
from gnnkg.progress import Row

Match = Literal["csls", "sinkhorn", "cosine"]
CORRECT: dict[str, Correct] = {"csls": csls, "sinkhorn": sinkhorn, "cosine": plain}


@dataclass(frozen=True, eq=False)
class EntityVectors:
    """Vectors of all left and all right entities, which are compared by cosine."""

    left: Float[Tensor, "N D"]
    right: Float[Tensor, "M D"]


def names_of(data: AlignmentData, text: str | None, width: int = 512) -> Modality | None:
    """Vectors of the labels, or of a text of both graphs; None where no name is to be read. Raises ValueError for no such text."""
    if text is None:
        return None
    texts = data.texts(text)
    if texts is None:
        both = sorted({"labels"} | (set(data.left.texts) & set(data.right.texts)))
        raise ValueError(f"the two graphs have no text {text!r} both; there is {', '.join(both)}")
    return name_vectors(texts, width)


def by_propagation(
    data: AlignmentData, names: Modality | None, rounds: int = 3, width: int = 256, seed: int = 0
) -> EntityVectors:
    """Seeds and names spread over the graphs, without training; CSLS tells which pairs are believed in between."""
    given = None if names is None else names.values
    found = propagate_labels(data, width, rounds=rounds, names=given, seed=seed)
    return EntityVectors(found.left, found.right)


def by_training(
    data: AlignmentData,
    names: Modality | None,
    epochs: int,
    dim: int = 300,
    lr: float = 5e-3,
    batch_size: int = 3500,
    pseudo_from: int | None = None,
    seed: int = 0,
    report: Callable[[Row], None] = lambda row: None,
) -> EntityVectors:
    """Structure by ``DiagonalGAT``, bags of relations and of attributes, and names, trained on the seeds.

    With ``pseudo_from``, pairs join the seeds from that epoch on.
    """
    torch.manual_seed(seed)
    features = {"relations": relation_bag(data.graph)}
    attributes = data.texts("attributes")
    if attributes is not None:
        features["attributes"] = attribute_bag(attributes)
    if names is not None:
        features["names"] = names
    structure = DiagonalGAT(data.graph, structure_space(data.graph.num_entities, dim))
    encoder = Modalities(structure, features, dim)
    fit_alignment(
        encoder,
        AlignmentObjective(encoder.names),
        data,
        optimizer=partial(torch.optim.AdamW, lr=lr, weight_decay=1e-4),
        epochs=epochs,
        batch_size=batch_size,
        pseudo_labels=None if pseudo_from is None else PseudoLabels(),
        pseudo_from=pseudo_from or 0,
        seed=seed,
        report=report,
    )
    return EntityVectors(*joint_vectors(encoder, data))


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
