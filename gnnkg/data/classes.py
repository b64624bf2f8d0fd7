"""Node classification as link prediction: classes become entities, and a new relation leads to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from gnnkg.annotations import Feature
from gnnkg.data.dataset import Dataset
from gnnkg.data.triples import DataError
from gnnkg.graph import KnowledgeGraph

SEPARATOR = "; "


def with_classes(dataset: Dataset, classes: str, shares: tuple[float, float] = (0.1, 0.1), seed: int = 0) -> Dataset:
    """The training facts of a data set, and facts (entity, ``classes``, class): those of some entities are to be predicted.

    ``classes`` names a text, such as the types of CoDEx-S, that lists an entity's classes with semicolons between; it is then no
    longer a text of the data set. All classes of an entity lie in one split: ``shares`` of the entities that have any go to valid
    and to test, drawn by ``seed``, but for those without which training would not know one of the classes. The published
    validation and test facts are left out.

    Raises DataError where there is no such text, or it lists nothing, or there is a relation of that name.
    """
    texts = dataset.texts.get(classes)
    if texts is None:
        known = ", ".join(dataset.texts) or "none"
        raise DataError(f"{dataset.name} has no text {classes!r} that could list classes; its texts: {known}")
    if classes in dataset.relations:
        raise DataError(
            f"{dataset.name} has a relation {classes!r} already: its classes are tails of facts as it stands"
        )
    lists = [[] if text is None else [each for each in text.split(SEPARATOR) if each] for text in texts]
    names = sorted({name for each in lists for name in each})
    if not names:
        raise DataError(f"{dataset.name} lists nothing in its text {classes!r}")
    number = {name: i for i, name in enumerate(names)}
    member = torch.zeros(len(lists), len(names), dtype=torch.bool)
    for entity, each in enumerate(lists):
        member[entity, [number[name] for name in each]] = True
    graph, num_entities = dataset.graph, len(dataset.entities)

    def facts(chosen: Int[Tensor, " X"]) -> Int[Tensor, "_ 3"]:
        row, column = member[chosen].nonzero().unbind(1)
        return torch.stack([chosen[row], torch.full_like(row, graph.num_relations), num_entities + column], 1)

    train, valid, test = (facts(part) for part in _split(member, shares, seed))
    used = set(dataset.entities)
    identifiers = [name if name not in used else f"{classes}: {name}" for name in names]
    absent = (None,) * len(names)
    return Dataset(
        name=f"{dataset.name}, {classes}",
        graph=KnowledgeGraph(torch.cat([graph.facts.cpu(), train]), num_entities + len(names), graph.num_relations + 1),
        valid=valid,
        test=test,
        entities=(*dataset.entities, *identifiers),
        relations=(*dataset.relations, classes),
        entity_labels=(*dataset.entity_labels, *names),
        relation_labels=(*dataset.relation_labels, classes),
        features={name: _longer(feature, len(names)) for name, feature in dataset.features.items()},
        texts={name: (*each, *absent) for name, each in dataset.texts.items() if name != classes},
        source=dataset.source,
        report=replace(
            dataset.report,
            notes=(
                *dataset.report.notes,
                f"{classes}: {len(names):,} classes, known of entities in {len(train):,} facts; {len(valid):,} of others are in "
                f"valid and {len(test):,} in test, in the place of the published ones (seed {seed})",
            ),
        ),
    )


def _split(member: Bool[Tensor, "N C"], shares: Sequence[float], seed: int) -> list[Int[Tensor, " _"]]:
    """The entities of train, valid and test; each class has an entity of train."""
    if min(shares) < 0 or sum(shares) >= 1:
        raise ValueError(f"the shares of valid and test are at least 0 and less than 1 together, not {tuple(shares)}")
    entities = member.any(1).nonzero().squeeze(1)
    wanted = [0, *(round(share * len(entities)) for share in shares)]
    left, parts = member.sum(0), [[], [], []]
    # RandomState's streams are frozen (NEP 19): the split of a seed outlives every version of NumPy.
    for entity in entities[torch.from_numpy(np.random.RandomState(seed).permutation(len(entities)))].tolist():
        target = int(np.argmax(wanted))
        own = member[entity]
        if not wanted[target] or (left[own] < 2).any():
            target = 0
        else:
            wanted[target] -= 1
            left -= own.long()
        parts[target].append(entity)
    return [torch.tensor(sorted(part), dtype=torch.int64) for part in parts]


def _longer(feature: Feature, more: int) -> Feature:
    """A feature with rows of entities that lack it."""
    values, present = (torch.cat([x, x.new_zeros(more, x.shape[1])]) for x in (feature.values, feature.present))
    return Feature(values, present, feature.names)
