"""Why answers change under noise: how far the score of the truth moves, how far its rivals', and how unequally."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from rich.box import SIMPLE_HEAD
from rich.table import Table
from torch import Tensor

from gnnkg.core import Model
from gnnkg.data.dataset import Dataset
from gnnkg.evaluation.curve import Curve
from gnnkg.evaluation.noisy import Part, Target, noisy_part
from gnnkg.evaluation.ranks import evaluating
from gnnkg.graph import Facts, both_directions
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
    known = dataset.known().to(device)
    edges = both_directions(facts.to(device), graph.num_relations)
    parts = [edge.split(BATCH) for edge in (edges.head, edges.relation, edges.tail)]
    found = Curve()
    with evaluating(model), torch.no_grad():
        _, noisy = noisy_part(model, graph, part, target, noise)
        clean = model.encoder(graph)
        strength = torch.tensor(sigma, device=device)
        lookups = {f"{alpha:g}": [noisy(alpha * strength, seed) for seed in range(seeds)] for alpha in alphas if alpha}
        sums = {at: torch.zeros(seeds, 3, dtype=torch.float64) for at in lookups}
        gains: dict[str, list[list[Tensor]]] = {at: [[] for _ in range(seeds)] for at in lookups}
        for head, relation, tail in zip(*parts, strict=True):
            before = model.scorer(clean(head, relation)).double()
            answers = known.of(head, relation)
            others = before.index_put((answers.queries, answers.tails), before.new_tensor(-torch.inf))
            best = others.topk(min(RIVALS, graph.num_entities), dim=1)
            is_rival = ~best.values.isinf()
            if not is_rival[:, 0].all():
                raise ValueError("every entity is a known answer of a query: it has no rivals")
            unit = before.std(dim=1, keepdim=True)
            for at, each in lookups.items():
                for seed, lookup in enumerate(each):
                    moved = (model.scorer(lookup(head, relation)).double() - before) / unit
                    truth, rivals = moved.gather(1, tail.unsqueeze(1)), moved.gather(1, best.indices)
                    mean = (rivals * is_rival).sum(1) / is_rival.sum(1)
                    sums[at][seed] += torch.stack([truth.squeeze(1), mean, moved.mean(1)], dim=1).sum(0).cpu()
                    gains[at][seed].append((truth - rivals)[is_rival].cpu())
    for at in lookups:
        means = (sums[at] / len(edges.head)).tolist()
        found.add(
            at,
            [
                {"truth": truth, "rivals": rivals, "all": everyone, "scatter": float(torch.cat(gain).std())}
                for (truth, rivals, everyone), gain in zip(means, gains[at], strict=True)
            ],
        )
    return found


def shifts_table(found: Curve) -> Table:
    """For the terminal; see ``score_shifts``."""
    title = "how far scores move, in standard deviations of a query's scores"
    table = Table("alpha", "truth", "rivals", "all", "scatter of gains", title=title, box=SIMPLE_HEAD, pad_edge=False)
    for column in table.columns:
        column.justify = "right"
    for alpha in found:
        table.add_row(alpha, *(f"{found.mean(alpha, name):.3f}" for name in ("truth", "rivals", "all", "scatter")))
    return table
