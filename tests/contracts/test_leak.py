"""Validation and test facts change nothing that a model is trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gnnkg.core import Encoder, Model, Objective, Sampler
from gnnkg.data.dataset import Dataset
from gnnkg.data.queries import Queries
from gnnkg.losses import CrossEntropy
from gnnkg.scorers import DistMult
from gnnkg.terms import Ranking
from tests.contracts import discovered

ENCODERS, SAMPLERS = ("Table",), ("Uniform", "AllEntities")
"""each sampler meets this encoder, each encoder these samplers: what leaks is read by one of the two, not by a pair"""
PAIRS = [
    pytest.param(*sampler.values, *encoder.values, id=f"{sampler.id}-{encoder.id}")
    for sampler in discovered.samplers
    for encoder in discovered.encoders
    if encoder.id in ENCODERS or sampler.id in SAMPLERS
]


def trained(
    dataset: Dataset, make_encoder: Callable[..., Encoder], make_sampler: Callable[..., Sampler]
) -> list[Tensor]:
    """What an epoch of training reads and writes: batches, candidates, labels, losses, gradients, parameters."""
    torch.manual_seed(3)
    scorer = DistMult(4)
    model = Model(make_encoder(dataset.graph, scorer.space), scorer)
    seen: list[Tensor] = []
    sampler = make_sampler()

    def recording(batch):
        candidates, labels = sampler(batch)
        found = [batch.head, batch.relation, batch.tail, batch.weight, candidates.table, candidates.own]
        seen.extend(x for x in [*found, labels.value, labels.mask, labels.truth, labels.weight] if x is not None)
        return candidates, labels

    objective = Objective(recording, {"plain": Ranking(CrossEntropy())})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
    for batch in Queries(30, subsampling=True, drop_last=True).of(dataset.graph, seed=1):
        optimizer.zero_grad()
        loss = objective(model, batch)["plain"]
        loss.backward()
        seen += [loss.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]
        optimizer.step()
    return [*seen, *model.parameters()]


@pytest.mark.parametrize(("make_sampler", "make_encoder"), PAIRS)
def test_held_out_facts_change_nothing(
    make_sampler: Callable[..., Sampler], make_encoder: Callable[..., Encoder], dataset: Dataset
) -> None:
    plain = trained(dataset, make_encoder, make_sampler)
    swapped = replace(dataset, valid=dataset.test.flip(0), test=dataset.valid[:1])
    emptied = replace(dataset, valid=dataset.valid[:0], test=dataset.test[:0])
    for other in (swapped, emptied):
        again = trained(other, make_encoder, make_sampler)
        assert len(again) == len(plain)
        assert all(torch.equal(one, two) for one, two in zip(plain, again, strict=True))


def test_the_named_encoders_and_samplers_exist() -> None:
    assert set(ENCODERS) <= {encoder.id for encoder in discovered.encoders}
    assert set(SAMPLERS) <= {sampler.id for sampler in discovered.samplers}


def test_training_facts_do_change_it(dataset: Dataset) -> None:
    """The check above can fail: a test fact put into the graph is seen."""
    make_encoder, make_sampler = discovered.encoders[0].values[0], discovered.samplers[0].values[0]
    leaking = replace(dataset, graph=dataset.graph_with("test"))
    plain, again = trained(dataset, make_encoder, make_sampler), trained(leaking, make_encoder, make_sampler)
    assert len(plain) != len(again) or not all(torch.equal(one, two) for one, two in zip(plain, again, strict=True))
