from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from gnnkg.data.alignment import AlignmentData, Links
from gnnkg.evaluation.alignment import Similarity, csls, mutual_best
from gnnkg.evaluation.alignment.correction import Correct
from gnnkg.graph import KnowledgeGraph


class LabelPropagation:
    """Every seed is a random direction, which spreads over entities and relations: entities are alike that are near the same seeds.

        E' = A_ee E + A_er R,    R' = A_re E,    rows of length 1 after each step; the vectors are E, E', E'' ... side by side

    A_ee has log(facts / facts of r) for each fact of a relation r between two entities, so that rare relations tell more; A_er
    and A_re say how often an entity stands before or behind a relation, as two relations. Nothing is trained. After Mao et al.,
    "LightEA: a scalable, robust, and interpretable entity alignment framework via three-view label propagation", EMNLP 2022.

    Random directions of width d are orthogonal up to about 1 / sqrt(d). Raises ValueError without a step.
    """

    def __init__(self, graph: KnowledgeGraph, width: int = 512, steps: int = 3, seed: int = 0) -> None:
        if width < 1 or steps < 1:
            raise ValueError(f"width and steps must be at least 1, not {width} and {steps}")
        self.num_entities, self.width, self.steps, self.seed = graph.num_entities, width, steps, seed
        head, relation, tail = (column.numpy() for column in graph.edges)  # both directions, 2R relations
        count = np.bincount(relation, minlength=2 * graph.num_relations).clip(1)
        rare = np.log(len(head) / count[relation]).astype(np.float32)
        entities = (graph.num_entities, graph.num_entities)
        relations = (2 * graph.num_relations, graph.num_entities)
        self._by_entity = scipy.sparse.csr_array((rare, (tail, head)), shape=entities)
        self._of_relation = scipy.sparse.csr_array((np.ones_like(rare), (relation, tail)), shape=relations)
        self._num_relations = relations[0]
        self._by_relation = self._of_relation.T.tocsr()

    def __call__(self, pairs: Links) -> Float[Tensor, "N X"]:
        """The vectors of all entities, given pairs by their ids in the graph."""
        generator = torch.Generator().manual_seed(self.seed)
        directions = functional.normalize(torch.randn(len(pairs), self.width, generator=generator), dim=1)
        labels = torch.zeros(self.num_entities, self.width)
        for column in pairs.unbind(1):
            labels.index_add_(0, column, directions)  # an entity in several pairs is near the seeds of each
        return self.spread(labels)

    def spread(self, values: Float[Tensor, "N D"]) -> Float[Tensor, "N X"]:
        """Any vectors of the entities, spread in this way: ``steps`` + 1 times as wide."""
        entity = functional.normalize(values, dim=1)
        relation = torch.zeros(self._num_relations, values.shape[1])
        parts = [entity]
        for _ in range(self.steps):
            told = self._by_entity @ entity.numpy() + self._by_relation @ relation.numpy()
            relation = functional.normalize(torch.from_numpy(self._of_relation @ entity.numpy()), dim=1)
            entity = functional.normalize(torch.from_numpy(told), dim=1)
            parts.append(entity)
        return torch.cat(parts, 1)


@dataclass(frozen=True, eq=False)
class Propagated:
    """Vectors by which entities are compared, and the pairs that were believed in on the way."""

    left: Float[Tensor, "N D"]
    right: Float[Tensor, "M D"]
    believed: Links


def propagate_labels(
    data: AlignmentData,
    width: int = 512,
    steps: int = 3,
    rounds: int = 1,
    names: Float[Tensor, "N W"] | None = None,
    names_weight: float = 2.0,
    compared: int = 512,
    correct: Correct = csls,
    seed: int = 0,
    report: Callable[[int, int], None] = lambda number, believed: None,
) -> Propagated:
    """Aligns by propagating the seeds; from the second round on, pairs that the rounds before believed in are seeds too.

    ``names``: vectors of the joint graph's entities (``name_vectors``), spread in the same way and put beside the labels, of the
    length ``names_weight``. Without seeds, names alone make those of the second round. Vectors wider than ``compared`` are
    projected to that at random, for comparing costs more than spreading.

    Believed are mutual-best pairs of two rounds running, and after the first round the better-scored half of them. They are found
    anew in each round, among all entities outside the seeds: links of validation and test are not read.

    Raises ValueError where there are neither seeds nor names, no round, or nothing to be compared by.
    """
    if rounds < 1 or (not len(data.train) and names is None):
        raise ValueError("to align, a round is needed, and seeds or names to start from")
    if compared < 1:
        raise ValueError(f"vectors must be compared by at least 1 number, not {compared}")
    propagation = LabelPropagation(data.graph, width, steps, seed)
    beside = [] if names is None else [names_weight * functional.normalize(propagation.spread(names), dim=1)]
    free = [torch.ones(len(side.entities), dtype=torch.bool) for side in (data.left, data.right)]
    for side, column in zip(free, data.train.unbind(1), strict=True):
        side[column] = False
    left_pool, right_pool = (side.nonzero().squeeze(1) for side in free)
    believed, before = data.train[:0], None
    left = right = torch.empty(0, 0)
    for number in range(rounds):
        labels = functional.normalize(propagation(data.joint(torch.cat([data.train, believed]))), dim=1)
        vectors = narrowed(torch.cat([labels, *beside], 1), compared, seed)
        left, right = vectors[data.is_left], vectors[~data.is_left]
        if number + 1 < rounds and len(left_pool) and len(right_pool):
            found = mutual_best(correct(Similarity(left[left_pool], right[right_pool])))
            mutual = torch.stack([left_pool[found.left], right_pool[found.right]], 1)
            key = mutual[:, 0] * len(data.right.entities) + mutual[:, 1]
            kept = found.score >= found.score.median() if before is None else torch.isin(key, before)
            believed, before = mutual[kept], key
            report(number, len(believed))
    return Propagated(left, right, believed)


def narrowed(vectors: Float[Tensor, "N X"], width: int, seed: int = 0) -> Float[Tensor, "N Y"]:
    """Vectors by a random projection of Gaussians, where they are wider: cosines stay up to about 1 / sqrt(width)."""
    if vectors.shape[1] <= width:
        return vectors
    generator = torch.Generator().manual_seed(seed)
    return vectors @ torch.randn(vectors.shape[1], width, generator=generator) / width**0.5
