"""How a trained model stands noise: ranking under noise, certified radii, and the geometry of its vectors.

A grid asks for it by

    robust: {alphas: [0.5, 1, 2, 5], draws: 3, certify: 500}

and every cell gets robustness/<cell>.json, the folder robustness.md, robustness.csv and figures. Cells that were trained before the
grid asked are measured as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from gnnkg.core import Candidates, Lookup, Model
from gnnkg.data.dataset import Dataset
from gnnkg.data.split import sample_facts
from gnnkg.evaluation.certification import Smoothing, certify
from gnnkg.evaluation.perturbed import noise_test
from gnnkg.evaluation.ranks import evaluating
from gnnkg.graph import Facts, KnowledgeGraph
from gnnkg.lab.measures import Spread
from gnnkg.noise import entity_vectors, spread
from gnnkg.terms.slope import slopes

SLOPES = 1000
"""training facts of which the slope is measured"""


@dataclass(frozen=True)
class Robustness:
    """What is measured on test, with noise on the query's entity. Raises ValueError for settings out of range."""

    alphas: Sequence[float] = (0.5, 1.0, 2.0, 5.0)
    """noise in units of sigma: the model's own, and again that of the grid's first method, on the same data, model and seed"""
    draws: int = 3
    """of the noise, for each alpha"""
    facts: int | None = None
    """so many facts, a fixed random sample; None: all of test"""
    certify: int = 0
    """tail queries that are certified, at alpha 1, 1,000 draws and 99.9 % each, at both of these sigmas; 0: none"""
    divisor: float = 3.0
    """sigma is the 99.73 % quantile of the components' absolute values over this"""

    def __post_init__(self) -> None:
        told = {f"{alpha:g}" for alpha in self.alphas}
        if not told or not all(0 < alpha < math.inf for alpha in self.alphas) or len(told) < len(self.alphas):
            raise ValueError(f"alphas must be numbers above 0 that differ in six digits, not {list(self.alphas)}")
        if (
            self.draws < 1
            or self.certify < 0
            or (self.facts is not None and self.facts < 1)
            or not 0 < self.divisor < math.inf
        ):
            raise ValueError(
                "draws and facts must be at least 1, certify at least 0 and divisor above 0, "
                f"not {self.draws}, {self.facts}, {self.certify} and {self.divisor}"
            )


def stand(model: Model, dataset: Dataset, asked: Robustness, common: float | None = None) -> dict[str, Any]:
    """All figures, as JSON has them. ``common``: the sigma of another model, for equal absolute noise.

    Raises ValueError as ``noise_test`` and ``certify`` do, for models whose query has no vector to disturb.
    """
    facts = None if asked.facts is None else sample_facts(dataset.facts("test"), asked.facts)
    shared: dict[str, Any] = {"seeds": asked.draws, "facts": facts}
    own = noise_test(model, dataset, alphas=(0.0, *asked.alphas), divisor=asked.divisor, **shared)
    found: dict[str, Any] = {"own": own.to_dict()}
    if common is not None:
        found["common"] = noise_test(model, dataset, alphas=asked.alphas, sigma=common, **shared).to_dict()
    if asked.certify:
        found["certificate"] = _certified(model, dataset, Smoothing(divisor=asked.divisor), asked.certify)
        if common is not None:
            found["common certificate"] = _certified(model, dataset, Smoothing(sigma=common), asked.certify)
    return found | {"geometry": geometry(model, dataset.graph, asked.divisor)}


def _certified(model: Model, dataset: Dataset, smoothing: Smoothing, num_queries: int) -> dict[str, Any]:
    certificate = certify(model, dataset, smoothing, num_queries=num_queries).to_dict()
    return {name: value for name, value in certificate.items() if name != "rows"}


def geometry(model: Model, graph: KnowledgeGraph, divisor: float = 3.0) -> dict[str, Any]:
    """How the entities' vectors lie, as the scorer reads them, and how steep scores are.

    norm, norm sd    length of the vectors
    cosine           the mean over pairs of different entities: 0 where they point everywhere alike
    participation    (sum l)^2 / (D sum l^2) of the eigenvalues l of their covariance: 1 for a ball, 1 / D for a line
    slope            the mean length of a training fact's gradient by its head, times sigma: what noise of alpha 1 moves a score by
    spectrum         the eigenvalues, from the largest
    """
    device = next(model.parameters(), graph.facts).device
    graph = graph.to(device)
    with evaluating(model):
        lookup = model.encoder(graph)
        vectors = entity_vectors(lookup, device).detach()
        sigma = float(spread(vectors, divisor))
    shape = Spread()
    shape.add(vectors)
    norms = vectors.double().norm(dim=1)
    directions = functional.normalize(vectors.double(), dim=1)
    count = len(vectors)
    pairs = directions.sum(0).square().sum() - directions.square().sum()
    return {
        "sigma": sigma,
        "norm": float(norms.mean()),
        "norm sd": float(norms.std()),
        "cosine": float(pairs / (count * (count - 1))),
        "participation": shape.participation(),
        "slope": sigma * float(_slopes(model, lookup, sample_facts(graph.facts, SLOPES)).mean()),
        "spectrum": shape.spectrum().tolist(),
    }


def _slopes(model: Model, lookup: Lookup, facts: Facts) -> Float[Tensor, " X"]:
    """|| grad_h f(h, r, t) || of facts."""
    head, relation, tail = facts.unbind(1)
    with torch.no_grad():
        vectors = lookup(head, relation, Candidates(tail[:1].unsqueeze(0), own=tail))
    assert vectors.own is not None
    (slope,) = slopes(model.scorer, vectors.head.detach(), vectors.relation.detach(), vectors.own.detach())
    return slope.detach().double().norm(dim=1)


def columns_of(found: Mapping[str, Any]) -> dict[str, float]:
    """What ``stand`` gave, as columns of a table."""
    columns: dict[str, float] = {}
    for whose in ("own", "common"):
        for alpha, metrics in found.get(whose, {}).get("values", {}).items():
            for name in ("mrr", "hits@10"):
                columns[f"{whose} {alpha}/{name}"] = metrics[name]["mean"]
    if "certificate" in found:
        figures = found["certificate"]["figures"]
        columns |= {name: figures[name] for name in ("hits", "ca", "acr/sigma")}
    if "common certificate" in found:
        figures = found["common certificate"]["figures"]
        columns |= {f"common {name}": figures[name] for name in ("ca", "acr/sigma")}
    return columns | {name: value for name, value in found["geometry"].items() if name != "spectrum"}
