"""The bundled graph twice, with labels in two languages and without the identifiers that would give the links away."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from gnnkg.data.alignment.links import carve_links, shuffled
from gnnkg.data.alignment.pair import AlignmentData
from gnnkg.data.cldr import load_cldr
from gnnkg.data.dataset import Dataset
from gnnkg.graph import KnowledgeGraph


def cldr_in_two_languages(
    locales: tuple[str, str] = ("en", "de"),
    languages: str | int = 100,
    keep: float = 0.8,
    seeds: float = 0.3,
    valid: float = 0.1,
    seed: int = 0,
) -> AlignmentData:
    """CLDR's graph on both sides: each has ``keep`` of its facts, drawn by itself, and the labels of its own locale.

    Identifiers are ``en:0``, ``en:1``, ... in an order of each side's own, so that only labels and facts can tell who is who.
    Entities of one side alone are not linked. Relations have one identifier on both sides. A share ``seeds`` of the links are
    seeds, ``valid`` of these for validation.

    Raises ValueError where ``keep`` is not in (0, 1], and as ``load_cldr`` does.
    """
    if not 0 < keep <= 1:
        raise ValueError(f"the share of facts to keep must be in (0, 1], not {keep}")
    if locales[0] == locales[1]:
        raise ValueError(f"the two sides need two locales, not {locales[0]!r} twice")
    random = np.random.RandomState(seed)
    sides, places = [], []
    for locale in locales:
        whole = load_cldr(languages, locale, shares=(1.0, 0.0, 0.0))
        facts = whole.graph.facts[torch.from_numpy(random.random_sample(len(whole.graph.facts)) < keep)]
        used = torch.unique(facts[:, [0, 2]]).numpy()
        order = used[random.permutation(len(used))]  # new id -> old id
        place = torch.full((len(whole.entities),), -1)
        place[torch.from_numpy(order)] = torch.arange(len(order))
        sides.append(_renumbered(whole, torch.from_numpy(order), place, facts, locale))
        places.append(place)
    links = torch.stack(places, 1)
    links = shuffled(links[(links >= 0).all(1)], seed)
    num_seeds = round(seeds * len(links))
    train, chosen_on = carve_links(links[:num_seeds], valid, seed)
    return AlignmentData(f"cldr {' and '.join(locales)}", sides[0], sides[1], train, chosen_on, links[num_seeds:])


def _renumbered(whole: Dataset, order: torch.Tensor, place: torch.Tensor, facts: torch.Tensor, locale: str) -> Dataset:
    head, relation, tail = facts.unbind(1)
    graph = KnowledgeGraph(torch.stack([place[head], relation, place[tail]], 1), len(order), whole.graph.num_relations)
    return replace(
        whole,
        name=f"cldr/{locale}",
        graph=graph,
        entities=tuple(f"{locale}:{i}" for i in range(len(order))),
        entity_labels=tuple(whole.entity_labels[i] for i in order.tolist()),
        features={},
    )
