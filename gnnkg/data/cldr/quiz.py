"""Questions worth asking of the CLDR graph: facts that were held out of training."""

from __future__ import annotations

import random

import torch

from gnnkg.data.dataset import Dataset

FIRST = "territory:CH"
RELATIONS = (
    "uses_currency",
    "official_language",
    "zone_time",
    "main_script",
    "week_begins_on",
    "speaks",
    "replaced_by",
)
"""the relations whose questions read best, best first"""


def questions(dataset: Dataset, n: int = 5, seed: int = 0) -> list[tuple[str, str]]:
    """Up to n questions as (identifier of the head, identifier of the relation), each with a test fact among its answers.

    The first asks of Switzerland; where it has no such fact of ``RELATIONS``, for its currency. Each of the others asks
    of another entity and, as long as there are any left, of another relation. The seed draws them from the third of the
    entities that have most training facts.
    """
    degree = torch.bincount(dataset.graph.facts[:, [0, 2]].flatten(), minlength=len(dataset.entities))
    asked: dict[str, list[tuple[str, str]]] = {relation: [] for relation in (*RELATIONS, *dataset.relations)}
    for head, relation, _ in sorted(dataset.test.tolist(), key=lambda fact: (-int(degree[fact[0]]), fact)):
        question = (dataset.entities[head], dataset.relations[relation])
        if question not in asked[question[1]]:
            asked[question[1]].append(question)
    chosen = [question for relation in RELATIONS for question in asked[relation] if question[0] == FIRST][:1]
    if not chosen and FIRST in dataset.entities:
        chosen = [(FIRST, RELATIONS[0])]
    draw = random.Random(seed)
    while len(chosen) < n:
        heads, used = {head for head, _ in chosen}, [relation for _, relation in chosen]
        left = {name: [q for q in found if q[0] not in heads] for name, found in asked.items()}
        relation = min((name for name, found in left.items() if found), key=used.count, default=None)
        if relation is None:
            break
        chosen.append(draw.choice(left[relation][: max(1, len(left[relation]) // 3)]))
    return chosen[:n]
