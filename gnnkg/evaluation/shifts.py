"""Why answers change under noise: how far the score of the truth moves, how far its rivals', and how unequally."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from rich.box import SIMPLE_HEAD
from rich.table import Table
from torch import Tensor

from gnnkg.core import Model
from gnnkg.data.dataset import Dataset
from gnnkg.evaluation.curve import Curve
from gnnkg.evaluation.noisy import Part, Target, noisy_part
from gnnkg.evaluation.ranks import evaluating
from gnnkg.graph import Facts, Known, both_directions
from gnnkg.noise import Family

RIVALS = 20
BATCH = 64


def score_shifts(
    model: Model,
    dataset: Dataset,
    facts: Facts,
    sigma: float,
    *,
    alphas: Sequence[float],
    seeds: int = 5,
    part: Part = "vector",
    target: Target = "query",
    noise: Family = "gaussian",
) -> Curve:
    """What noise of alpha * sigma does to scores, by alpha (above 0), for facts asked both ways; one value a noise seed.

    truth    how much more the truth scores with noise than without
    rivals   the same of the ``RIVALS`` best entities of the query without noise that are no known answer
    all      the same of all entities
    scatter  the standard deviation, over queries and rivals, of what the truth gains on the rival

    in standard deviations of the scores that a query gives to all entities without noise. What moves all scores alike changes no
    rank; the scatter is what does. The noise is that of ``noise_test``. Raises ValueError as ``noisy_part`` does, where there are
    no facts, and where a query has no rivals.
    """
    if not len(facts):
        raise ValueError("there are no facts to ask")
    device = next(model.parameters(), dataset.graph.facts).device
    graph = dataset.graph.to(device)
    known = dataset.filtering()[1].to(device)
    edges = both_directions(facts.to(device), graph.num_relations)
    parts = [edge.split(BATCH) for edge in (edges.head, edges.relation, edges.tail)]
    found = Curve()
    with evaluating(model), torch.no_grad():
        _, noisy = noisy_part(model, graph, part, target, noise)
        clean = model.encoder(graph)
        strength = torch.tensor(sigma, device=device)
        lookups = {
            (f"{alpha:g}", seed): noisy(alpha * strength, seed) for alpha in alphas if alpha for seed in range(seeds)
        }
        shifts: dict[tuple[str, int], list[_Shift]] = {each: [] for each in lookups}
        for head, relation, tail in zip(*parts, strict=True):
            asked = _asked(model.scorer(clean(head, relation)), tail, known.of(head, relation))
            for each, lookup in lookups.items():
                shifts[each].append(_shift(asked, model.scorer(lookup(head, relation))))
    found = Curve()
    for at in dict.fromkeys(at for at, _ in lookups):
        found.add(at, [_summary(shifts[at, seed]) for seed in range(seeds)])
    return found


class _Asked(NamedTuple):
    """Queries and what they were answered without noise."""

    scores: Float[Tensor, "B N"]
    unit: Float[Tensor, "B 1"]
    tail: Int[Tensor, " B"]
    rivals: Int[Tensor, "B K"]
    is_rival: Bool[Tensor, "B K"]


class _Shift(NamedTuple):
    """How far scores of some queries moved."""

    means: Float[Tensor, "B 3"]
    """of each query's truth, rivals and all entities"""
    gains: Float[Tensor, " pairs"]
    """of the truth on each rival"""


def _asked(scores: Tensor, tail: Tensor, answers: Known) -> _Asked:
    scores = scores.double()
    others = scores.index_put((answers.queries, answers.tails), scores.new_tensor(-torch.inf))
    best = others.topk(min(RIVALS, scores.shape[1]), dim=1)
    is_rival = ~best.values.isinf()
    if not is_rival[:, 0].all():
        raise ValueError("every entity is a known answer of a query: it has no rivals")
    return _Asked(scores, scores.std(dim=1, keepdim=True), tail, best.indices, is_rival)


def _shift(asked: _Asked, scores: Tensor) -> _Shift:
    moved = (scores.double() - asked.scores) / asked.unit
    truth, rivals = moved.gather(1, asked.tail.unsqueeze(1)), moved.gather(1, asked.rivals)
    mean = (rivals * asked.is_rival).sum(1) / asked.is_rival.sum(1)
    means = torch.stack([truth.squeeze(1), mean, moved.mean(1)], dim=1)
    return _Shift(means.cpu(), (truth - rivals)[asked.is_rival].cpu())


def _summary(shifts: list[_Shift]) -> dict[str, float]:
    truth, rivals, everyone = torch.cat([each.means for each in shifts]).mean(0).tolist()
    scatter = float(torch.cat([each.gains for each in shifts]).std())
    return {"truth": truth, "rivals": rivals, "all": everyone, "scatter": scatter}


def shifts_table(found: Curve) -> Table:
    """For the terminal; see ``score_shifts``."""
    title = "how far scores move, in standard deviations of a query's scores"
    table = Table("alpha", "truth", "rivals", "all", "scatter of gains", title=title, box=SIMPLE_HEAD, pad_edge=False)
    for column in table.columns:
        column.justify = "right"
    for alpha in found:
        table.add_row(alpha, *(f"{found.mean(alpha, name):.3f}" for name in ("truth", "rivals", "all", "scatter")))
    return table
