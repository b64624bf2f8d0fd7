"""The query set of Query2box, by the names of a data set's entities and relations.

Ren, Hu and Leskovec, "Query2box: Reasoning over Knowledge Graphs in Vector Space using Box Embeddings", ICLR 2020. Its structures
are named otherwise (1c, 2c, 3c, ic, ci, uc), its relation 2k + 1 is relation 2k backwards. An answer is hard in valid where it
needs a fact of valid, in test where it needs one of test: what is easy there follows from train + valid.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from gnnkg.data.cache import DatasetNotFound, present, search_path, verified
from gnnkg.data.dataset import Dataset
from gnnkg.data.manifest import QuerySet, manifest
from gnnkg.data.multihop.answered import AnsweredQueries
from gnnkg.data.multihop.query import Query, mapped
from gnnkg.data.multihop.structures import STRUCTURES, known_structures
from gnnkg.data.multihop.symbolic import answers
from gnnkg.data.plain_pickle import read_plain
from gnnkg.data.triples import DataError
from gnnkg.graph import KnownTails

BACKWARDS = "_reverse"


def load_queries(
    dataset: Dataset,
    name: str | None = None,
    split: str = "test",
    structures: Sequence[str] = tuple(STRUCTURES),
    root: Path | str | None = None,
    count: int | None = None,
    seed: int = 0,
) -> dict[str, AnsweredQueries]:
    """The published queries about a data set, by structure, with the ids of the data set.

    ``name``: which of the query sets in the data set's manifest; None: the only one. Hard answers are the published ones. All
    answers are recomputed from the facts (for test, of hidden ones too), which reproduces them exactly (those of ``ip`` were not
    published). ``count``: so many queries of each structure, drawn at random; None: all. Files are found as those of data sets
    are. Raises DataError where there is no such set or a name of it is not in the data set; DatasetNotFound, WrongChecksum.
    """
    known = query_set(dataset, name)
    if split not in ("valid", "test"):
        raise ValueError(f"queries with hard answers are published for valid and test, not for {split!r}")
    first = known.files["entities"]
    searched = [Path(root)] if root is not None else search_path()
    folder = next((folder for folder in searched if present(folder, first) is not None), None)
    if folder is None:
        listed = ", ".join(str(path / first.path) for path in searched)
        raise DatasetNotFound(
            f"query set {known.name} was not found; looked for {listed}. Its makers published it at {known.source}; "
            "point GNNKG_DATASETS at the folder that holds it"
        )

    def read(role: str) -> Any:
        return read_plain(verified(folder, known.files[role], known.name))

    ids = _Ids(dataset, read("entities"), read("relations"))
    facts = ids.known(dataset, ("train", "valid") if split == "valid" else dataset.truths)
    found = {}
    for structure in known_structures(structures):
        published = list(read(f"{split}/{structure}").items())
        if count is not None and count < len(published):
            published = random.Random(seed).sample(published, count)
        queries = [ids.query(structure, query) for query, _ in published]
        hard = [ids.entities[torch.tensor(sorted(each))].sort().values for _, each in published]
        found[structure] = AnsweredQueries(
            structure, tuple(queries), tuple(answers(query, facts) for query in queries), tuple(hard)
        )
    return found


def query_set(dataset: Dataset, name: str | None = None) -> QuerySet:
    """What the manifest of a data set says of a query set. Raises DataError where there is none of that name."""
    about = manifest(dataset.name)
    sets = {} if about is None else {each.name: each for each in about.queries}
    chosen = sets.get(name) if name is not None else next(iter(sets.values()), None)
    if chosen is None:
        there = f"there are {', '.join(sets)}" if sets else "there is none"
        wanted = f"no query set {name!r}" if name is not None else "no query set"
        raise DataError(
            f"{wanted} is known for {dataset.name}: {there}. gnnkg.data.multihop.sample_queries draws queries from any data set"
        )
    return chosen


class _Ids:
    """The set's own ids in those of a data set."""

    def __init__(self, dataset: Dataset, entities: Mapping[int, str], relations: Mapping[int, str]) -> None:
        self.entities = torch.tensor(_places([entities[i] for i in range(len(entities))], dataset.entities, "entities"))
        names = [relations[i].removesuffix(BACKWARDS) if i % 2 else relations[i] for i in range(len(relations))]
        forward = _places(names, dataset.relations, "relations")
        self.relations = [r + i % 2 * dataset.graph.num_relations for i, r in enumerate(forward)]

    def known(self, dataset: Dataset, splits: Sequence[str]) -> KnownTails:
        """The facts that answers are computed from: those between entities that the set has."""
        has = torch.zeros(len(dataset.entities), dtype=torch.bool)
        has[self.entities] = True
        facts = dataset.facts(*splits).cpu()
        return dataset.tails_of(facts[has[facts[:, 0]] & has[facts[:, 2]]])

    def query(self, structure: str, published: tuple) -> Query:
        """``((e, (r, ...)), ..., r)``: paths from anchors, and perhaps a last hop."""
        anchors = [part[0] for part in published if isinstance(part, tuple)]
        steps = [step for part in published for step in (part[1] if isinstance(part, tuple) else (part,))]
        return mapped(
            STRUCTURES[structure],
            lambda place: int(self.entities[anchors[place]]),
            lambda place: self.relations[steps[place]],
        )


def _places(names: Sequence[str], known: Sequence[str], kind: str) -> list[int]:
    place = {name: i for i, name in enumerate(known)}
    missing = [name for name in names if name not in place]
    if missing:
        raise DataError(f"{len(missing):,} {kind} of the query set are not in the data set, e.g. {missing[0]!r}")
    return [place[name] for name in names]
