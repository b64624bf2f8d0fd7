from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from gnnkg.annotations import Annotations, Feature
from gnnkg.data.dataset import Dataset
from gnnkg.graph import Facts, KnowledgeGraph, Vocabulary

Links = Int[Tensor, "_ 2"]
"""a left and a right entity that are the same, each by its id in its own data set"""


def no_links() -> Links:
    return torch.empty(0, 2, dtype=torch.int64)


@dataclass(frozen=True, eq=False)
class AlignmentData:
    """Two data sets, left and right, and links between their entities: seeds to learn from, a validation and a test part.

    Of either data set the training facts count. Raises ValueError where a link names an entity that there is not, or stands in
    two parts, or where an entity of a test or validation link is linked in the seeds too.
    """

    name: str
    left: Dataset
    right: Dataset
    train: Links = field(default_factory=no_links)
    valid: Links = field(default_factory=no_links)
    test: Links = field(default_factory=no_links)

    def __post_init__(self) -> None:
        sizes = torch.tensor([len(self.left.entities), len(self.right.entities)])
        for part in ("train", "valid", "test"):
            links: Links = getattr(self, part)
            if len(links) and bool(((links < 0) | (links >= sizes)).any()):
                worst = links[((links < 0) | (links >= sizes)).any(1)][0].tolist()
                raise ValueError(
                    f"the {part} link {tuple(worst)} of {self.name} is out of range: the graphs have "
                    f"{sizes[0]:,} and {sizes[1]:,} entities"
                )
        for part, other in (("train", "valid"), ("train", "test"), ("valid", "test")):
            for column, side in enumerate(("left", "right")):
                shared = set(getattr(self, part)[:, column].tolist()) & set(getattr(self, other)[:, column].tolist())
                if shared:
                    raise ValueError(
                        f"{len(shared):,} {side} entities of {self.name} are linked in {part} and in {other}, such as "
                        f"{getattr(self, side).entities[min(shared)]!r}: what is tested would have been shown"
                    )

    def __repr__(self) -> str:
        return (
            f"AlignmentData({self.name!r}: {len(self.left.entities):,} and {len(self.right.entities):,} entities, "
            f"{len(self.train):,} / {len(self.valid):,} / {len(self.test):,} links)"
        )

    @cached_property
    def graph(self) -> KnowledgeGraph:
        """Both graphs as one: left entities keep their ids, right ones follow them. Relations of one identifier are one.

        Labels travel with it, and those texts and features that both sides have.
        """
        left, right = self.left, self.right
        relations = tuple(dict.fromkeys((*left.relations, *right.relations)))
        place = {name: i for i, name in enumerate(relations)}
        facts = torch.cat([_moved(left, place, 0), _moved(right, place, len(left.entities))])
        entities = (*(f"left {name}" for name in left.entities), *(f"right {name}" for name in right.entities))
        graph = KnowledgeGraph(facts, len(entities), len(relations), Vocabulary(entities, relations))
        features = {
            name: _stacked(feature, right.features[name])
            for name, feature in left.features.items()
            if name in right.features and right.features[name].names == feature.names
        }
        texts = {name: (*text, *right.texts[name]) for name, text in left.texts.items() if name in right.texts}
        return graph.annotated(Annotations((*left.entity_labels, *right.entity_labels), texts, features))

    @cached_property
    def is_left(self) -> Bool[Tensor, " N"]:
        """Which entities of ``graph`` are left ones."""
        return torch.arange(self.graph.num_entities) < len(self.left.entities)

    def joint(self, links: Links) -> Links:
        """Links by the ids of ``graph``."""
        return links + torch.tensor([0, len(self.left.entities)])


def _stacked(left: Feature, right: Feature) -> Feature:
    return Feature(torch.cat([left.values, right.values]), torch.cat([left.present, right.present]), left.names)


def _moved(dataset: Dataset, place: dict[str, int], first: int) -> Facts:
    """The training facts of one side, by the ids of both."""
    ids = torch.tensor([place[name] for name in dataset.relations], dtype=torch.int64)
    head, relation, tail = dataset.graph.facts.unbind(1)
    return torch.stack([head + first, ids[relation], tail + first], 1)
