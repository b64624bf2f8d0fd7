"""A data set: training facts as a graph, validation and test facts, names, and what else is known about the entities."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from gnnkg.annotations import Annotations, Feature
from gnnkg.data.names import Names
from gnnkg.data.report import Report
from gnnkg.graph import Facts, KnowledgeGraph, KnownTails, Vocabulary

SPLITS = ("train", "valid", "test")
HIDDEN = "hidden"
"""names the facts that are in no split"""
FILTERS = (*SPLITS, HIDDEN)
"""what candidates may be filtered by"""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Facts in three splits over one vocabulary. The graph holds training facts only.

    Raises ValueError where names, features or texts are not one a row, or a fact lies outside the vocabulary.
    """

    name: str
    graph: KnowledgeGraph
    valid: Int[Tensor, "V 3"]
    test: Int[Tensor, "T 3"]
    entities: tuple[str, ...]
    """identifiers; index = id"""
    relations: tuple[str, ...]
    entity_labels: tuple[str, ...] = ()
    """for people; the identifiers where none are given"""
    relation_labels: tuple[str, ...] = ()
    features: Mapping[str, Feature] = field(default_factory=dict)
    texts: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    """one a entity, None where absent"""
    source: str = ""
    """where it came from: a folder, a package and its version, a URL"""
    report: Report = field(default_factory=Report)
    """what reading met and dropped"""
    hidden: Int[Tensor, "H 3"] = field(default_factory=lambda: torch.empty(0, 3, dtype=torch.int64))
    """true facts that are in no split, so that finding them can be judged; see ``hidden.py``"""
    trained_on: str = ""
    """the data hash of another data set, whose relation ids these are, because a model of that one is asked about this one"""
    _known: dict[tuple[str, ...], KnownTails] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.entity_labels:
            object.__setattr__(self, "entity_labels", self.entities)
        if not self.relation_labels:
            object.__setattr__(self, "relation_labels", self.relations)
        n, r = self.graph.num_entities, self.graph.num_relations
        rows = {"entities": (self.entities, n), "entity_labels": (self.entity_labels, n)}
        rows |= {"relations": (self.relations, r), "relation_labels": (self.relation_labels, r)}
        rows |= {f"texts[{name!r}]": (texts, n) for name, texts in self.texts.items()}
        rows |= {f"features[{name!r}]": (feature.values, n) for name, feature in self.features.items()}
        for name, (column, expected) in rows.items():
            if len(column) != expected:
                raise ValueError(f"{name} must have {expected:,} rows, one an id, not {len(column):,}")
        for split in (self.valid, self.test, self.hidden):
            KnowledgeGraph(split, n, r)
        vocabulary = Vocabulary(self.entities, self.relations)
        if self.graph.vocabulary != vocabulary:
            object.__setattr__(self, "graph", self.graph.named(vocabulary))
        annotations = Annotations(self.entity_labels, self.texts, self.features)
        if not annotations.same(self.graph.annotations):
            object.__setattr__(self, "graph", self.graph.annotated(annotations))

    def __repr__(self) -> str:
        return (
            f"Dataset({self.name!r}: {len(self.entities):,} entities, {len(self.relations):,} relations, "
            f"{len(self.graph.facts):,} / {len(self.valid):,} / {len(self.test):,} facts)"
        )

    def facts(self, *splits: str) -> Facts:
        """The facts of the named splits, or of HIDDEN, one after the other; of all three splits where none is named."""
        return torch.cat([self._split(name) for name in splits or SPLITS])

    def _split(self, name: str) -> Facts:
        if name == "train":
            return self.graph.facts
        if name not in FILTERS:
            raise ValueError(f"a split is one of {', '.join(SPLITS)}, not {name!r}")
        return {"valid": self.valid, "test": self.test, HIDDEN: self.hidden}[name]

    @property
    def truths(self) -> tuple[str, ...]:
        """By what a test is filtered: all that is known to be true, hidden facts among it where there are some."""
        return FILTERS if len(self.hidden) else SPLITS

    def graph_with(self, *splits: str) -> KnowledgeGraph:
        """A graph of the training facts and those of the named splits. For use after training: it shows what was held out."""
        if set(splits) <= {"train"}:
            return self.graph
        facts = self.facts(*dict.fromkeys(("train", *splits)))
        graph = KnowledgeGraph(facts, self.graph.num_entities, self.graph.num_relations, self.graph.vocabulary)
        return graph.annotated(self.graph.annotations)

    def for_model_of(self, trained: Dataset) -> Dataset:
        """This data set with the relation ids of another, so that a model that was trained there can be asked about this one.

        Relations are matched by identifier. Entities stay its own, so the model must be inductive where they differ. The data hash
        covers both. Raises ValueError where this data set has a relation that the other has not.
        """
        known = {name: i for i, name in enumerate(trained.relations)}
        unknown = [name for name in self.relations if name not in known]
        if unknown:
            told = ", ".join(unknown[:5]) + (", ..." if len(unknown) > 5 else "")
            raise ValueError(
                f"{self.name} has relations that {trained.name} has not, so no model of it knows them: {told} "
                f"({len(unknown):,} in all). Leave their facts out, or train on data that has them"
            )
        ids = torch.tensor([known[name] for name in self.relations], device=self.graph.device)

        def renumbered(facts: Facts) -> Facts:
            return torch.stack([facts[:, 0], ids[facts[:, 1]], facts[:, 2]], 1)

        return replace(
            self,
            graph=KnowledgeGraph(renumbered(self.graph.facts), len(self.entities), len(trained.relations)),
            valid=renumbered(self.valid),
            test=renumbered(self.test),
            hidden=renumbered(self.hidden),
            relations=trained.relations,
            relation_labels=trained.relation_labels,
            trained_on=trained.data_hash,
        )

    def known(self, *splits: str) -> KnownTails:
        """Which tails the facts of the named splits give each query; of all three where none is named. HIDDEN may be named too."""
        key = tuple(name for name in FILTERS if name in (splits or SPLITS))
        if key not in self._known or len(key) != len(set(splits or SPLITS)):
            self._known[key] = self.tails_of(self.facts(*(splits or SPLITS)))
        return self._known[key]

    def filtering(self, splits: Sequence[str] | None = None) -> tuple[tuple[str, ...], KnownTails]:
        """By which splits candidates are filtered, and which tails these know: None means ``truths``, an empty list no split."""
        names = self.truths if splits is None else tuple(splits)
        return names, self.known(*names) if names else self.tails_of(self.graph.facts[:0])

    def tails_of(self, facts: Facts) -> KnownTails:
        """Which tails some facts over this data set's names give each query."""
        return KnownTails(facts, self.graph.num_entities, self.graph.num_relations)

    def to(self, device: torch.device | str) -> Dataset:
        """This data set with its facts and features on another device."""
        graph, facts = (
            self.graph.to(device),
            {name: getattr(self, name).to(device) for name in ("valid", "test", "hidden")},
        )
        assert graph.annotations is not None
        return replace(self, graph=graph, features=graph.annotations.features, **facts)

    @cached_property
    def data_hash(self) -> str:
        """SHA-256 of vocabulary, facts of each split and ``trained_on``. The order of facts does not matter, nor do labels."""
        digest = hashlib.sha256()
        for names in (self.entities, self.relations):
            digest.update(len(names).to_bytes(8, "little"))
            for name in names:
                raw = name.encode()
                digest.update(len(raw).to_bytes(8, "little") + raw)
        for split in SPLITS:
            facts = self._split(split).cpu().numpy().astype("<i8")
            digest.update(len(facts).to_bytes(8, "little"))
            digest.update(np.ascontiguousarray(facts[np.lexsort(facts.T[::-1])]).tobytes())
        digest.update(self.trained_on.encode())
        return digest.hexdigest()

    @cached_property
    def _entity_names(self) -> Names:
        return Names("entity", self.entities, self.entity_labels)

    @cached_property
    def _relation_names(self) -> Names:
        return Names("relation", self.relations, self.relation_labels)

    def entity_id(self, name: str) -> int:
        """The id of an entity, by identifier or by label in any case.

        Raises UnknownName with the closest names, AmbiguousName where several entities bear the label; both LookupError.
        """
        return self._entity_names.id(name)

    def relation_id(self, name: str) -> int:
        """The id of a relation, as ``entity_id``."""
        return self._relation_names.id(name)

    def in_words(self, facts: Facts) -> list[tuple[str, str, str]]:
        """Facts as labels; a backward fact's relation r + R reads ``(inverse of) label``."""
        labels: Sequence[str] = [*self.relation_labels, *(f"(inverse of) {label}" for label in self.relation_labels)]
        return [(self.entity_labels[h], labels[r], self.entity_labels[t]) for h, r, t in facts.tolist()]
