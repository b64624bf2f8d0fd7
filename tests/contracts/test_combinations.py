"""Every sampler, every transform and every encoder go together: one training step of each pair learns something finite."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from gnnkg.core import Encoder, Model, Objective, Sampler, Transform
from gnnkg.data.queries import Queries
from gnnkg.encoders import Table
from gnnkg.graph import KnowledgeGraph
from gnnkg.losses import SelfAdversarial
from gnnkg.samplers import AllEntities, Uniform, WithPositives
from gnnkg.scorers import MLP, DistMult, TransE
from gnnkg.terms import Ranking
from gnnkg.transforms import EMU, DeMix, Mixup
from tests.contracts import discovered

pytestmark = pytest.mark.filterwarnings("ignore:DeMix compares negatives")  # it may have the own tail alone

TRANSFORMS: dict[str, Transform] = {
    "EMU": EMU(0.5, 0.3),
    "EMU-negative": EMU(0.5, 0.3, masks="negative"),
    "EMU-pair": EMU(0.5, 0.3, masks="pair"),
    "EMU-gradient": EMU(0.5, 0.3, choose="gradient"),
    "EMU-variance": EMU(0.5, 0.3, choose="variance"),
    "Mixup": Mixup(),
    "DeMix": DeMix(),
}
every_transform = pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)


def step(model: Model, sampler: Sampler, transform: Transform, graph: KnowledgeGraph) -> None:
    batch = next(iter(Queries(6).of(graph, seed=0)))
    terms = {"plain": Ranking(SelfAdversarial(), transform=transform)}
    torch.stack(list(Objective(sampler, terms)(model, batch).values())).sum().backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert any((gradient != 0).any() for gradient in gradients)


@every_transform
@pytest.mark.parametrize("make", discovered.samplers)
def test_samplers_and_transforms(make: Callable[[], Sampler], transform: Transform, graph: KnowledgeGraph) -> None:
    sampler, scorer = make(), TransE(4)
    refused = None
    if isinstance(sampler, AllEntities):
        if not sampler.apart:
            refused = "1-vs-all"
        elif not isinstance(transform, DeMix) and (sampler.true == "all" or sampler.smoothing):
            refused = "labels above 0 already"
    elif isinstance(transform, DeMix):
        sampler = WithPositives(sampler, 3)
    model = Model(Table(graph, scorer.space), scorer)
    if refused is None:
        step(model, sampler, transform, graph)
    else:
        with pytest.raises(ValueError, match=refused):
            step(model, sampler, transform, graph)


@every_transform
@pytest.mark.parametrize("make", discovered.encoders)
def test_encoders_and_transforms(make: Callable[..., Encoder], transform: Transform, graph: KnowledgeGraph) -> None:
    for scorer in (DistMult(4), MLP(4, 5)):
        try:
            encoder = make(graph, scorer.space)
        except ValueError:
            continue  # a combination of switches that the encoder refuses
        step(Model(encoder, scorer), WithPositives(Uniform(5, share="query"), 3), transform, graph)
