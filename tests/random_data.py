"""Small random graphs and data sets, the same for the same seed."""

from __future__ import annotations

import torch

from gnnkg.data.dataset import Dataset, Feature
from gnnkg.graph import Facts, KnowledgeGraph


def random_facts(num_facts: int, num_entities: int, num_relations: int, seed: int) -> Facts:
    """Distinct facts in random order, loops among them."""
    draw = torch.Generator().manual_seed(seed)
    keys = torch.randperm(num_entities * num_relations * num_entities, generator=draw)[:num_facts]
    head_relation = torch.div(keys, num_entities, rounding_mode="floor")
    head = torch.div(head_relation, num_relations, rounding_mode="floor")
    return torch.stack([head, head_relation % num_relations, keys % num_entities], 1)


def random_graph(num_entities: int = 13, num_relations: int = 3, num_facts: int = 60, seed: int = 0) -> KnowledgeGraph:
    return KnowledgeGraph(random_facts(num_facts, num_entities, num_relations, seed), num_entities, num_relations)


def random_dataset(num_entities: int = 13, num_relations: int = 3, num_facts: int = 80, seed: int = 0) -> Dataset:
    """Three quarters of the facts in train, an eighth in valid and in test; a feature and texts that some entities lack."""
    facts = random_facts(num_facts, num_entities, num_relations, seed)
    train, valid, test = facts.split([num_facts - 2 * (num_facts // 8), num_facts // 8, num_facts // 8])
    draw = torch.Generator().manual_seed(seed)
    present = torch.rand(num_entities, 2, generator=draw) < 0.7
    values = torch.randn(num_entities, 2, generator=draw) * present
    return Dataset(
        name="random",
        graph=KnowledgeGraph(train, num_entities, num_relations),
        valid=valid,
        test=test,
        entities=tuple(f"e{i}" for i in range(num_entities)),
        relations=tuple(f"r{i}" for i in range(num_relations)),
        features={
            "numeric": Feature(values, present, ("first", "second")),
            "flag": Feature(values.flip(0), present.flip(0), ("red", "blue")),
        },
        texts={
            name: tuple(f"{name} of thing {i % 5}" if i % 4 else None for i in range(num_entities))
            for name in ("description", "types")
        },
        source="random numbers",
    )
