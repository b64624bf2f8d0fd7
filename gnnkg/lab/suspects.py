"""How well DeMix finds false negatives: hidden facts are planted among negatives, and its suspects are held against them."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gnnkg.core import Batch, Candidates, Labels, Model, Objective, Scorer, Vectors
from gnnkg.data.dataset import Dataset
from gnnkg.evaluation.ranks import evaluating
from gnnkg.graph import both_directions
from gnnkg.samplers import WithPositives
from gnnkg.transforms import DeMix


def suspects_found(
    model: Model,
    dataset: Dataset,
    judge: DeMix,
    num_queries: int = 256,
    num_negatives: int = 64,
    num_positives: int = 16,
    seed: int = 0,
) -> dict[str, float]:
    """Precision and recall of ``judge.suspects`` on the facts that ``dataset.hidden`` holds.

    Queries are those of hidden facts, in both directions, that have known training tails, one of which is the truth; a seeded
    sample of them. Each is given ``num_negatives`` uniform draws that are no known facts of any split, and one hidden tail.

        precision, recall                         of what the judge flags; precision is NaN where it flags nothing
        flagged                                   its share of all negatives: the recall of as many flagged at random
        hidden                                    the share of hidden facts: the precision of flagging at random
        threshold_precision, threshold_recall     of the as many negatives with the highest scores, whatever their query

    The names begin with ``suspects/``. No figures where no query is left. Known facts of validation and test take no part:
    they are false negatives too. The judge's mu is not annealed.
    """
    device = next(model.parameters(), dataset.graph.facts).device
    graph, held_out = dataset.graph.to(device), dataset.known("train", "valid", "test").to(device)
    head, relation, hidden = both_directions(dataset.hidden.to(device), graph.num_relations)
    hidden_facts = dataset.tails_of(dataset.hidden).to(device)
    draw = torch.Generator().manual_seed(seed)
    askable = (graph.known.count(head, relation) > 0).nonzero().squeeze(1).cpu()
    chosen = askable[torch.randperm(len(askable), generator=draw)[:num_queries]].to(device)
    if not len(chosen):
        return {}
    head, relation, hidden = head[chosen], relation[chosen], hidden[chosen]
    known = graph.known.of(head, relation)
    place = (torch.rand(len(head), generator=draw).to(device) * known.starts.diff()).long()
    truth = known.tails[known.starts[:-1] + place]
    drawn = torch.randint(graph.num_entities, (len(head), num_negatives), generator=draw).to(device)
    table = torch.cat([drawn, hidden.unsqueeze(1)], 1)
    seen: list[tuple[Tensor, Labels]] = []

    def planted(batch: Batch) -> tuple[Candidates, Labels]:
        unknown = ~held_out.among(head, relation, table)
        mask = torch.cat([torch.ones_like(unknown[:, :1]), unknown], 1)
        value = torch.zeros(mask.shape, device=device)
        value[:, 0] = 1
        return Candidates(table, truth), Labels(value, mask, torch.zeros_like(truth), batch.weight)

    def note(scorer: Scorer, vectors: Vectors, labels: Labels) -> Tensor:
        seen.append((scorer(vectors), labels))
        return torch.zeros(())

    batch = Batch(graph, head, relation, truth, torch.ones(len(head), device=device))
    with evaluating(model), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        Objective(WithPositives(planted, num_positives), {"judge": note})(model, batch)
    ((scores, labels),) = seen
    columns = table.shape[1] + 1
    is_hidden = torch.zeros_like(scores, dtype=torch.bool)
    is_hidden[:, 1:columns] = hidden_facts.among(head, relation, table)
    return figures(judge.suspects(scores, labels), is_hidden, labels.negatives, scores)


def figures(
    flagged: Bool[Tensor, "B C"],
    hidden: Bool[Tensor, "B C"],
    negative: Bool[Tensor, "B C"],
    scores: Float[Tensor, "B C"],
) -> dict[str, float]:
    """The figures of ``suspects_found`` over the columns that are negatives."""
    flagged, hidden, scores = flagged[negative], hidden[negative], scores[negative]
    count = int(flagged.sum())
    highest = torch.zeros_like(flagged)
    highest[scores.argsort(descending=True, stable=True)[:count]] = True

    def share(of: Tensor, among: Tensor) -> float:
        return float(of[among].double().mean())

    everything = torch.ones_like(flagged)
    found = {
        "precision": share(hidden, flagged),
        "recall": share(flagged, hidden),
        "flagged": share(flagged, everything),
        "hidden": share(hidden, everything),
        "threshold_precision": share(hidden, highest),
        "threshold_recall": share(highest, hidden),
    }
    return {f"suspects/{name}": value for name, value in found.items()}
