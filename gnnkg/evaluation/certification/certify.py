"""Certifying a model's answers by randomized smoothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.core import FromBoundary, Lookup, Model
from gnnkg.data.dataset import Dataset
from gnnkg.evaluation.asked import Direction, choose
from gnnkg.evaluation.certification.bound import fewest_successes
from gnnkg.evaluation.certification.boundary import BoundaryCounter
from gnnkg.evaluation.certification.certificate import Certificate, Part, Row
from gnnkg.evaluation.certification.counting import Counter
from gnnkg.evaluation.certification.question import Question, draws
from gnnkg.evaluation.certification.settings import Smoothing
from gnnkg.evaluation.ranks import evaluating
from gnnkg.graph import KnownTails
from gnnkg.inputs import with_boundary
from gnnkg.noise import entity_vectors, spread

Report = Callable[[Sequence[Row], int], None]
"""what is known so far, and of how many queries it will be; called after each query"""


def certify(
    model: Model,
    dataset: Dataset,
    smoothing: Smoothing | None = None,
    split: str = "test",
    *,
    part: Part = "head",
    direction: Direction = "tail",
    num_queries: int | None = 1000,
    filter: Sequence[str] | None = None,
    known_rows: Sequence[Row] = (),
    report: Report | None = None,
) -> Certificate:
    """Certifies a fixed random subset of a split's queries, or all of them (``num_queries=None``).

    ``known_rows``: what an earlier call with the same arguments has found, as ``report`` was given it; it is not computed again.
    Subset and draws follow from ``smoothing.seed``, and a query's draws depend on nothing else that is asked.

    ``filter`` as in ``evaluate``. ``part``: whose vector the ball is around; ``"boundary"``: that from which NBFNet passes
    messages, again for every draw.

    Raises ValueError for a scorer that does not read the head, and for an encoder whose tail vectors know the head as well: a ball
    around the head's vector would say nothing there, or not all of it. For a boundary, where the encoder has none.
    """
    begin = time.perf_counter()
    smoothing = Smoothing() if smoothing is None else smoothing
    queries, subset = choose(dataset.facts(split), dataset.graph.num_relations, direction, num_queries, smoothing.seed)
    rows = list(known_rows)
    device = next(model.parameters(), dataset.graph.facts).device
    graph, known = dataset.graph.to(device), dataset.filtering(filter)[1].to(device)
    with evaluating(model):
        lookup = model.encoder(graph)
        vectors = _vectors(model, lookup, part, device)
        sigma = smoothing.sigma or float(spread(vectors, smoothing.divisor))
        deviation = smoothing.alpha * sigma
        if not deviation > 0:
            raise ValueError(f"the vectors have a spread of {sigma}: give a sigma above 0")
        lost = smoothing.budget if model.scorer.curvature == "affine" and part == "head" else 0.0
        enough = fewest_successes(smoothing.draws, smoothing.confidence) if smoothing.give_up else 0
        if isinstance(lookup, FromBoundary) and part == "boundary":
            counter = BoundaryCounter(model.scorer, lookup, smoothing.top, enough)
        else:
            counter = Counter(model.scorer, deviation, smoothing.top, enough, lost)
        size = smoothing.draws, vectors.shape[1]
        for asked in queries[len(rows) :].tolist():
            noise = deviation * draws(smoothing.seed, asked[0], asked[1], size).to(vectors)
            rows.append(_certify(model, counter, lookup, known, tuple(asked), smoothing.worst_rank, noise))
            if report is not None:
                report(rows, len(queries))
    return Certificate(
        dataset=dataset.name,
        split=split,
        data_hash=dataset.data_hash,
        direction=direction,
        subset=subset,
        part=part,
        smoothing=smoothing,
        deviation=deviation,
        lost=lost,
        rows=tuple(rows),
        wall_seconds=time.perf_counter() - begin,
    )


def _vectors(model: Model, lookup: Lookup, part: Part, device: torch.device) -> Float[Tensor, "X D"]:
    """Those that sigma is the spread of. Raises ValueError where the model does not have the part, or a ball would mean little."""
    if part == "head":
        check(model, lookup, device)
        return entity_vectors(lookup, device)
    return with_boundary(model.encoder, lookup).boundaries


def check(model: Model, lookup: Lookup, device: torch.device) -> None:
    """Raises ValueError where noise on the head's vector would not reach all that the scores know of the head."""
    scorer, encoder = type(model.scorer).__name__, type(model.encoder).__name__
    if not model.scorer.reads_head:
        raise ValueError(
            f"{scorer} does not read the head's vector: every radius would be infinite and mean nothing. Certificates need a "
            "scorer that reads it"
        )
    probe = torch.zeros(2, dtype=torch.long, device=device)
    if len(lookup(probe, probe).tail) > 1:
        raise ValueError(
            f"{encoder} computes tail vectors for each head: noise on the head's vector alone would leave what they know of it "
            "untouched, and the radius would say little. Certificates need an encoder with one vector an entity"
        )


def _certify(
    model: Model,
    counter: Counter | BoundaryCounter,
    lookup: Lookup,
    known: KnownTails,
    asked: tuple[int, int, int],
    worst_rank: int | None,
    noise: Float[Tensor, "n D"],
) -> Row:
    head, relation, truth = asked
    ids = torch.tensor([[head], [relation]], device=noise.device)
    vectors = lookup(ids[0], ids[1])
    scores = model.scorer(vectors)[0]
    rival = torch.ones_like(scores, dtype=torch.bool)
    rival[known.of(ids[0], ids[1]).tails] = False
    rival[truth] = False
    rank = 1 + int((rival & ~(scores < scores[truth])).sum())
    if worst_rank is not None and rank > worst_rank:
        return Row(head, relation, truth, rank, None, tried=False, left_out=0, close=0)
    places = rival.nonzero()[:, 0]
    rivals = places[scores[places].argsort(descending=True, stable=True)]
    if isinstance(counter, BoundaryCounter):
        found = counter(ids[0], ids[1], truth, rivals, noise)
    else:
        found = counter(Question(vectors.head[0], vectors.relation[0], vectors.tail[0], truth, rivals), noise)
    successes = None if found.stopped else found.successes
    return Row(head, relation, truth, rank, successes, tried=True, left_out=found.left_out, close=found.close)
