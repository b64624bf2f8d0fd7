"""Trained vectors for other programs, with their labels.

    parquet    entities.parquet, relations.parquet: id, identifier, label, vector
    npy        entities.npy, relations.npy: a row an id; beside each a .tsv of id, identifier and label
    word2vec   entities.txt, relations.txt: count and width, then a label and its vector a line

There are 2R relations: row r + R is r asked backwards. Complex vectors are ``[re | im]``.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.core import Model
from gnnkg.data.dataset import Dataset
from gnnkg.evaluation.ranks import evaluating
from gnnkg.graph import KnowledgeGraph


def embeddings(model: Model, graph: KnowledgeGraph) -> tuple[Float[Tensor, "N D"], Float[Tensor, "P W"]]:
    """The vectors of all N entities and of the P = 2R relations, on the CPU.

    Raises ValueError where an entity has no vector of its own, but one for each query.
    """
    graph = graph.to(next(model.parameters(), graph.facts).device)
    relation = torch.arange(2 * graph.num_relations, device=graph.device)
    with evaluating(model):
        vectors = model.encoder(graph)(torch.zeros_like(relation), relation)
    if vectors.tail.shape[0] != 1:
        raise ValueError(
            f"{type(model.encoder).__name__} gives entities other vectors in each query: there are none to export"
        )
    return vectors.tail[0].detach().float().cpu(), vectors.relation.detach().float().cpu()


def export(model: Model, dataset: Dataset, folder: Path, format: str = "parquet") -> list[Path]:
    """Writes the vectors of entities and relations into a folder, making it where it is absent; gives the files' paths.

    Raises ValueError for a format that is not parquet, npy or word2vec.
    """
    if format not in FORMATS:
        raise ValueError(f"a format is {', '.join(FORMATS)}, not {format!r}")
    entity, relation = embeddings(model, dataset.graph)
    folder.mkdir(parents=True, exist_ok=True)
    write = FORMATS[format]
    relations = both_ways(dataset.relations), both_ways(dataset.relation_labels)
    return [
        *write(folder / "entities", entity.numpy(), dataset.entities, dataset.entity_labels),
        *write(folder / "relations", relation.numpy(), *relations),
    ]


def both_ways(names: Sequence[str]) -> list[str]:
    """The names of 2R relations, given those of R."""
    return [*names, *(f"(inverse of) {name}" for name in names)]


def _parquet(stem: Path, rows: np.ndarray, identifiers: Sequence[str], labels: Sequence[str]) -> list[Path]:
    path = stem.with_suffix(".parquet")
    vectors = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(rows.ravel()), rows.shape[1])
    columns = {"id": range(len(rows)), "identifier": identifiers, "label": labels, "vector": vectors}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return [path]


def _npy(stem: Path, rows: np.ndarray, identifiers: Sequence[str], labels: Sequence[str]) -> list[Path]:
    vectors, names = stem.with_suffix(".npy"), stem.with_suffix(".tsv")
    np.save(vectors, rows, allow_pickle=False)
    with names.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["id", "identifier", "label"])
        writer.writerows(zip(range(len(rows)), identifiers, labels, strict=True))
    return [vectors, names]


def _word2vec(stem: Path, rows: np.ndarray, identifiers: Sequence[str], labels: Sequence[str]) -> list[Path]:
    """A word is the label, with its identifier where several share it, and its number where they share both; white space becomes
    an underscore, as is usual."""
    path = stem.with_suffix(".txt")
    words = ["_".join(label.split()) for label in labels]
    for more in (identifiers, map(str, range(len(rows)))):
        count = Counter(words)
        words = [
            word if word and count[word] == 1 else "_".join(f"{word}|{part}".split())
            for word, part in zip(words, more, strict=True)
        ]
    with path.open("w", encoding="utf-8") as file:
        file.write(f"{len(rows)} {rows.shape[1]}\n")
        for word, row in zip(words, rows, strict=True):
            file.write(f"{word} {' '.join(np.format_float_positional(x, trim='-') for x in row)}\n")
    return [path]


FORMATS = {"parquet": _parquet, "npy": _npy, "word2vec": _word2vec}
