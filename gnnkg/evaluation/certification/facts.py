"""A certificate for the graph: how many facts may be deleted or added before the smoothed answer may change.

Sparse smoothing: each fact that the encoder reads is deleted with probability d, in both directions, independently; none is
added. p(G) is the probability of the event on what is left of G. For another graph that lacks r of G's facts and has a others:

    p(G') >= d^a * (p(G) - 1 + d^r) / d^r

With probability d^r all r facts are deleted from G, and what is left then is distributed as what is left of G without them; the
event happens in at most 1 - d^r of the other cases. With probability d^a all a facts are deleted again. Both bounds are reached by
some model, so none that knows p(G) alone is better. Certified: p_ in place of p(G) gives more than 1/2, p_ from Clopper-Pearson.

Bojchevski, Gasteiger, Guennemann, "Efficient Robustness Certificates for Discrete Data", ICML 2020, with p_+ = 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from gnnkg.core import Model
from gnnkg.data.dataset import Dataset
from gnnkg.evaluation.certification.asked import choose
from gnnkg.evaluation.certification.bound import lower_bounds
from gnnkg.evaluation.certification.settings import Direction
from gnnkg.evaluation.ranks import evaluating
from gnnkg.graph import KnowledgeGraph
from gnnkg.ops.ranking import rank_counts

BLOCK = 64
"""queries that are scored at once"""


def transferred(lower: np.ndarray, deletion: float, removed: int, added: int) -> np.ndarray:
    """The smallest probability of the event once so many facts were removed and added, given that it was at least ``lower``."""
    kept = deletion**removed
    return np.asarray(deletion**added * np.maximum(0.0, (lower - 1 + kept) / kept))


def largest(lower: np.ndarray, deletion: float, kind: str) -> np.ndarray:
    """How many facts may be removed, or added (``kind``), one by one; 0 also where the event itself is not certified."""
    found = np.zeros(np.shape(lower), dtype=np.int64)
    for number in range(1, 10_000):
        amounts = (number, 0) if kind == "removed" else (0, number)
        safe = transferred(lower, deletion, *amounts) > 0.5
        if not safe.any():
            break
        found[safe] = number
    return found


@dataclass(frozen=True)
class FactCertificate:
    """For each query by itself: how many facts of the training graph the smoothed model can lose, or be given, unmoved."""

    queries: tuple[tuple[int, int, int], ...]
    """head, relation in [0, 2R), truth"""
    subset: str
    successes: tuple[int, ...]
    draws: int
    confidence: float
    deletion: float
    top: int
    seed: int

    def lower_bounds(self) -> np.ndarray:
        return lower_bounds(np.array(self.successes), self.draws, self.confidence)

    def removed(self) -> np.ndarray:
        """Facts that may be removed, where none is added."""
        return largest(self.lower_bounds(), self.deletion, "removed")

    def added(self) -> np.ndarray:
        """Facts that may be added, where none is removed."""
        return largest(self.lower_bounds(), self.deletion, "added")

    def holds(self, removed: int, added: int) -> np.ndarray:
        """Whether each query is certified against so many of both."""
        return transferred(self.lower_bounds(), self.deletion, removed, added) > 0.5


def thinned(graph: KnowledgeGraph, deletion: float, seed: int, number: int) -> KnowledgeGraph:
    """Draw ``number`` of the smoothing: the graph less a random part of its facts."""
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, number])))
    gone = torch.from_numpy(generator.random(len(graph.facts)) < deletion).to(graph.device)
    return graph.without(*graph.facts[gone].unbind(1))


def certify_facts(
    model: Model,
    dataset: Dataset,
    deletion: float,
    split: str = "test",
    *,
    draws: int = 1000,
    confidence: float = 0.999,
    top: int = 1,
    direction: Direction = "tail",
    num_queries: int | None = 1000,
    filter: Sequence[str] = ("train", "valid", "test"),
    seed: int = 0,
    report: Callable[[int, int], None] | None = None,
) -> FactCertificate:
    """Certifies queries against changes of the training facts that a graph encoder reads. ``report``: draws done, and of how many.

    All queries share the draws, each of which encodes the graph once; ties count against the truth. The filter and the weights stay
    as they are: facts are changed after training. Raises ValueError for an encoder that passes no messages along facts.
    """
    if not 0 < deletion < 1:
        raise ValueError(f"facts are deleted with a probability between 0 and 1, not {deletion}")
    if not model.encoder.num_layers:
        raise ValueError(
            f"{type(model.encoder).__name__} does not read the facts of the graph: they may be changed at will, and the certificate "
            "would mean nothing. It needs an encoder that passes messages"
        )
    device = next(model.parameters(), dataset.graph.facts).device
    graph, known = dataset.graph.to(device), dataset.known(*filter).to(device)
    queries, subset = choose(dataset.facts(split), graph.num_relations, direction, num_queries, seed)
    successes = torch.zeros(len(queries), dtype=torch.int64)
    with evaluating(model):
        for number in range(draws):
            lookup = model.encoder(thinned(graph, deletion, seed, number))
            for places in torch.arange(len(queries)).split(BLOCK):
                head, relation, truth = queries[places].to(device).unbind(1)
                found = rank_counts(model.scorer(lookup(head, relation)), truth, known.of(head, relation))
                successes[places] += (found.above + found.equal < top).long().cpu()
            if report is not None:
                report(number + 1, draws)
    return FactCertificate(
        queries=tuple(map(tuple, queries.tolist())),  # type: ignore[arg-type]  # three numbers each
        subset=subset,
        successes=tuple(successes.tolist()),
        draws=draws,
        confidence=confidence,
        deletion=deletion,
        top=top,
        seed=seed,
    )
