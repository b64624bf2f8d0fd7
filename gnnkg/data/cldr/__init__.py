"""The bundled graph: how the world speaks, writes, pays and keeps time, from Unicode CLDR inside the ``babel`` package.

Nothing is downloaded. CLDR is published under the Unicode License V3, a permissive one; https://cldr.unicode.org.
"""

from __future__ import annotations

import babel
import torch
from babel.core import get_global

from gnnkg.data.cldr.facts import RELATIONS, every_fact, kept
from gnnkg.data.cldr.features import numbers
from gnnkg.data.cldr.labels import labels_of, locale_of
from gnnkg.data.cldr.quiz import questions
from gnnkg.data.dataset import Dataset
from gnnkg.data.split import split_facts
from gnnkg.graph import KnowledgeGraph

__all__ = ["load_cldr", "questions"]


def load_cldr(
    languages: str | int = "named",
    locale: str = "en",
    seed: int = 0,
    shares: tuple[float, float, float] = (0.84, 0.08, 0.08),
) -> Dataset:
    """The graph of CLDR, with a seeded split into train, valid and test that leaks nothing (``split_facts``).

    ``languages`` says which to keep, see ``facts.kept``: "named" (about 6,600 facts), "spoken" (7,100), "all" (20,000)
    or a number of them (100: 4,800). ``locale`` is the language of the entities' labels; relations have English ones.

    Raises ValueError for languages, a locale or shares that there cannot be.
    """
    names = locale_of(locale)
    stated = every_fact(kept(languages))
    entities = tuple(sorted({entity for head, _, tail in stated for entity in (head, tail)}))
    used = {relation for _, relation, _ in stated}
    relations = tuple(relation for relation in RELATIONS if relation in used)
    entity_id = {entity: i for i, entity in enumerate(entities)}
    rows = [(entity_id[head], relations.index(relation), entity_id[tail]) for head, relation, tail in stated]
    train, valid, test = split_facts(torch.tensor(rows), len(entities), len(relations), shares, seed)
    return Dataset(
        name="cldr",
        graph=KnowledgeGraph(train, len(entities), len(relations)),
        valid=valid,
        test=test,
        entities=entities,
        relations=relations,
        entity_labels=labels_of(entities, names),
        relation_labels=tuple(RELATIONS[relation] for relation in relations),
        features={"numeric": numbers(entities)},
        source=f"Unicode CLDR {get_global('cldr')['version']} in babel {babel.__version__}",
    )
