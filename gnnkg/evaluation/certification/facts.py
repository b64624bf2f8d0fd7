"""Certifying a model's answers against changes of the graph that its encoder reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from gnnkg.core import Model
from gnnkg.data.dataset import Dataset
from gnnkg.evaluation.asked import Direction, choose
from gnnkg.evaluation.certification.fact_certificate import FactCertificate
from gnnkg.evaluation.certification.settings import Smoothing
from gnnkg.evaluation.ranks import evaluating
from gnnkg.graph import KnowledgeGraph
from gnnkg.ops.ranking import rank_counts

BLOCK = 64
"""queries that are scored at once"""


def thinned(graph: KnowledgeGraph, deletion: float, seed: int, number: int) -> KnowledgeGraph:
    """Draw ``number`` of the smoothing: the graph less a random part of its facts."""
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, number])))
    gone = torch.from_numpy(generator.random(len(graph.facts)) < deletion).to(graph.device)
    return graph.without(*graph.facts[gone].unbind(1))


def refuse_without_messages(model: Model) -> None:
    """Raises ValueError for an encoder that does not read facts."""
    if not model.encoder.num_layers:
        raise ValueError(
            f"{type(model.encoder).__name__} does not read the facts of the graph: they may be changed at will, and no answer "
            "changes. Attacks on facts and certificates for them need an encoder that passes messages"
        )


def check_settings(deletion: float, draws: int, confidence: float, top: int, seed: int = 0) -> None:
    """Raises ValueError for settings out of range, and where so few draws could not certify anything."""
    if seed < 0:
        raise ValueError(f"a seed is at least 0, not {seed}")
    if not 0 < deletion < 1:
        raise ValueError(f"facts are deleted with a probability between 0 and 1, not {deletion}")
    Smoothing(draws=draws, confidence=confidence, top=top, worst_rank=None)


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
    filter: Sequence[str] | None = None,
    seed: int = 0,
    known_successes: Sequence[int] = (),
    report: Callable[[list[int], bool], None] | None = None,
) -> FactCertificate:
    """Certifies queries against changes of the training facts that a graph encoder reads.

    ``report`` is given, after each draw, a list of how many draws are done and the successes of each query so far, and whether
    that was all; ``known_successes`` takes such a list over. All queries share the draws, each of which encodes the graph once;
    ties count against the truth. ``filter`` is as in ``evaluate``; it and the weights stay as they are: facts are changed after
    training.

    Raises ValueError for an encoder that passes no messages along facts, and as ``check_settings``.
    """
    check_settings(deletion, draws, confidence, top, seed)
    refuse_without_messages(model)
    device = next(model.parameters(), dataset.graph.facts).device
    graph, known = dataset.graph.to(device), dataset.filtering(filter)[1].to(device)
    queries, subset = choose(dataset.facts(split), graph.num_relations, direction, num_queries, seed)
    done, *counts = known_successes or [0, *[0] * len(queries)]
    if len(counts) != len(queries) or not 0 <= done <= draws:
        raise ValueError(
            f"what is known is of {len(counts)} queries and {done} draws, not of {len(queries)} queries and {draws} draws at most"
        )
    successes = torch.tensor(counts)
    with evaluating(model):
        for number in range(done, draws):
            lookup = model.encoder(thinned(graph, deletion, seed, number))
            for places in torch.arange(len(queries)).split(BLOCK):
                head, relation, truth = queries[places].to(device).unbind(1)
                found = rank_counts(model.scorer(lookup(head, relation)), truth, known.of(head, relation))
                successes[places] += (found.above + found.equal < top).long().cpu()
            if report is not None:
                report([number + 1, *successes.tolist()], number + 1 == draws)
    return FactCertificate(
        queries=tuple(map(tuple, queries.tolist())),  # type: ignore[arg-type]  # three numbers each
        dataset=dataset.name,
        split=split,
        data_hash=dataset.data_hash,
        subset=subset,
        successes=tuple(successes.tolist()),
        draws=draws,
        confidence=confidence,
        deletion=deletion,
        top=top,
        seed=seed,
    )
