"""What the negatives of a trained model are like: measured on seeded batches of training queries, without dropout, with the run's
own sampler and transforms in their state after training and its best weights.

All figures of a term are over its negatives that take part. The *method's term* is the first ranking term with a transform, or else
the first ranking term.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from gnnkg.core import Batch, Model, Objective
from gnnkg.data.dataset import Dataset
from gnnkg.data.queries import EpochPlan, Queries, step_seed
from gnnkg.graph import KnownTails
from gnnkg.lab.drawn import KINDS, Drawn, columns_of, drawn_by
from gnnkg.terms import Ranking

QUERIES, BATCHES = 64, 8
"""queries in a batch, and batches that are measured"""
PICTURED, POINTS = 3, 100
"""positives in the picture, and negatives of each at most"""


def hardness(vectors: Float[Tensor, "B C D"], truth: Float[Tensor, "B D"], chosen: Bool[Tensor, "B C"]) -> float:
    """The mean cosine of the chosen columns' vectors to the vector of their query's positive: 1 means level with it."""
    cosine = functional.cosine_similarity(vectors, truth.unsqueeze(1), dim=2)
    return float(cosine[chosen].mean())


def false_negatives(drawn: Drawn, batch: Batch, known: KnownTails) -> float:
    """The share of the negatives that take part whose entity is a known tail of the query, by ``known``."""
    held = known.among(batch.head, batch.relation, drawn.entities)
    return float(held[drawn.negative].double().mean())


def gradients(drawn: Drawn, model: Model) -> Float[Tensor, " 5"]:
    """sum_j |dL / ds_j| of the term's loss L over the columns of each kind, in the order of ``KINDS``."""
    with torch.no_grad():
        scores = model.scorer(drawn.vectors)
    scores.requires_grad_()
    (slope,) = torch.autograd.grad(drawn.term.of_scores(scores, drawn.labels), scores)
    sums = torch.zeros(len(KINDS), dtype=torch.float64, device=scores.device)
    return sums.index_add(0, drawn.kind.flatten(), slope.abs().double().flatten()).cpu()


class Spread:
    """The covariance of the differences n - p of negatives and their positives, over all that were added."""

    def __init__(self) -> None:
        self.count, self.total, self.squares = 0, torch.zeros(()), torch.zeros(())

    def add(self, differences: Float[Tensor, "X D"]) -> None:
        each = differences.double()
        self.count += len(each)
        self.total = self.total + each.sum(0)
        self.squares = self.squares + each.T @ each

    def spectrum(self) -> Float[Tensor, " D"]:
        """The eigenvalues of the covariance, from the largest."""
        mean = self.total / self.count
        covariance = self.squares / self.count - torch.outer(mean, mean)
        return torch.linalg.eigvalsh(covariance).flip(0).clamp(min=0).cpu()

    def participation(self) -> float:
        """(sum l)^2 / (D sum l^2) of the eigenvalues l: 1 where negatives lie alike in all directions, 1 / D on a line."""
        values = self.spectrum()
        return float(values.sum().square() / (len(values) * values.square().sum()))


def picture(positives: Float[Tensor, "P D"], groups: list[Float[Tensor, "_ D"]]) -> list[dict[str, Any]]:
    """Some positives, each with its negatives, in the plane of the first two principal components of all of them."""
    everything = torch.cat([positives, *groups]).double()
    centre = everything.mean(0)
    axes = torch.linalg.svd(everything - centre, full_matrices=False).Vh[:2]

    def flat(vectors: Tensor) -> list[list[float]]:
        return ((vectors.double() - centre) @ axes.T).tolist()

    return [
        {"positive": flat(positive.unsqueeze(0))[0], "negatives": flat(group)}
        for positive, group in zip(positives, groups, strict=True)
    ]


def measure(model: Model, objective: Objective, dataset: Dataset, queries: Queries, seed: int = 0) -> dict[str, Any]:
    """All measures, as JSON has them. The model is in evaluation mode."""
    device = next(model.parameters()).device
    graph, facts = (
        dataset.graph.to(device),
        {"training": dataset.graph.facts, "held-out": dataset.facts("valid", "test")},
    )
    if len(dataset.hidden):
        facts["hidden"] = dataset.hidden
    known = {name: dataset.tails_of(each).to(device) for name, each in facts.items()}
    means: dict[tuple[str, ...], list[float]] = {}
    pushes: dict[str, Tensor] = {}
    spreads: dict[str, Spread] = {}
    drawing = None
    plan = replace(queries, batch_size=min(QUERIES, queries.batch_size), drop_last=True).of(graph, seed)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for number, batch in _batches(plan, BATCHES):
            torch.manual_seed(step_seed(seed, number))
            found = drawn_by(model, objective, batch)
            for name, drawn in found.items():
                with torch.no_grad():
                    plain, seen = (columns_of(model.scorer, each) for each in (drawn.plain, drawn.vectors))
                    truth = drawn.plain.truth(drawn.labels)  # no transform moves its column
                    taking_part = drawn.labels.negatives
                    means.setdefault(("hardness", name), []).append(hardness(seen, truth, taking_part))
                    means.setdefault(("hardness of plain", name), []).append(hardness(plain, truth, drawn.negative))
                    for which, each in known.items():
                        rate = false_negatives(drawn, batch, each)
                        means.setdefault(("false negatives", name, which), []).append(rate)
                    differences = (seen - truth.unsqueeze(1))[taking_part]
                    spreads.setdefault(name, Spread()).add(differences)
                    if drawing is None and name == method_term(objective):
                        some = range(min(PICTURED, len(truth)))
                        groups = [seen[b][taking_part[b]][:POINTS] for b in some]
                        drawing = picture(truth[: len(some)], groups)
                pushes[name] = pushes.get(name, torch.zeros(())) + gradients(drawn, model)
    total = float(sum(each.sum() for each in pushes.values()))
    return {
        "term": method_term(objective),
        **_nested({key: sum(values) / len(values) for key, values in means.items()}),
        "gradient": {
            name: {kind: float(part) / total for kind, part in zip(KINDS, each, strict=True)}
            for name, each in pushes.items()
        },
        "isotropy": {
            name: {"spread": spread.participation(), "spectrum": spread.spectrum().tolist()}
            for name, spread in spreads.items()
        },
        "picture": drawing,
    }


def method_term(objective: Objective) -> str | None:
    """The name of the term that the method is about; None where no term ranks candidates."""
    ranking = {name: term for name, term in objective.terms.items() if isinstance(term, Ranking)}
    moved = [name for name, term in ranking.items() if term.transform is not None]
    return next(iter([*moved, *ranking]), None)


def _batches(plan: EpochPlan, count: int) -> Iterator[tuple[int, Batch]]:
    return ((number, plan[number]) for number in range(min(count, plan.steps_per_epoch)))


def _nested(flat: dict[tuple[str, ...], float]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for (first, *rest), value in flat.items():
        inner = nested
        for key in (first, *rest[:-1]):
            inner = inner.setdefault(key, {})
        inner[rest[-1]] = value
    return nested
