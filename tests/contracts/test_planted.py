"""The batteries catch mistakes: each test plants one that somebody may make, and asks the battery to fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gnnkg.core import EVERY_ENTITY, Batch, Candidates, Labels, Scorer, Space, Vectors
from gnnkg.data.queries import EpochPlan, Queries
from gnnkg.encoders import Table
from gnnkg.graph import KnowledgeGraph
from gnnkg.losses import BCE, CrossEntropy
from gnnkg.ops import matching
from gnnkg.ops.matching import OwnFirst
from gnnkg.samplers import Uniform
from gnnkg.samplers.tables import known
from gnnkg.scorers import ComplEx, DistMult, TransE
from gnnkg.terms import Ranking
from gnnkg.transforms import EMU
from tests.contracts import test_encoders, test_losses, test_samplers, test_scorers, test_transforms_and_terms
from tests.data import test_queries


def caught(check: Callable[..., None], *arguments: Any, **named: Any) -> None:
    with pytest.raises(AssertionError):
        check(*arguments, **named)


class ServesEveryOtherQuery(DistMult):
    """Table s serves queries s, s + S, ... instead of consecutive ones."""

    def match(self, query: Tensor, tail: Tensor, mix: Any = None) -> Tensor:
        return (query.unsqueeze(1) * tail.repeat(len(query) // len(tail), 1, 1)).sum(-1)


def test_scorer_that_ignores_how_tables_are_shared() -> None:
    test_scorers.test_sharing(ServesEveryOtherQuery, tables=1, layout="none")
    caught(test_scorers.test_sharing, ServesEveryOtherQuery, tables=2, layout="none")


class LooksAtTheBatch(DistMult):
    def query(self, head: Tensor, relation: Tensor) -> Tensor:
        return head * relation - (head * relation).mean(0)


def test_scorer_that_mixes_queries() -> None:
    caught(test_scorers.test_sharing, LooksAtTheBatch, tables=1, layout="none")


class ForgetsWhoItWasMadeFor(Table):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.vocabulary = None


def test_encoder_that_takes_one_entity_for_another(graph: KnowledgeGraph) -> None:
    test_encoders.test_other_names(Table, lambda: DistMult(4), graph)
    caught(test_encoders.test_other_names, ForgetsWhoItWasMadeFor, lambda: DistMult(4), graph)


def test_scorer_with_a_wrong_inverse() -> None:
    def make() -> Scorer:
        scorer = ComplEx(4)
        scorer.space = replace(scorer.space, inverse=torch.neg)
        return scorer

    caught(test_scorers.test_inverse, make)


def test_scorer_that_leaves_numbers_unset() -> None:
    def init(entity: Tensor, relation: Tensor) -> None:
        nn.init.uniform_(entity[:-1])
        nn.init.uniform_(relation)

    def make() -> Scorer:
        scorer = DistMult(4)
        scorer.space = replace(scorer.space, init=init)
        return scorer

    caught(test_scorers.test_initial_values, make)


class HalfGradient(torch.autograd.Function):
    """The identity, with a gradient half as large."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] / 2


@pytest.mark.parametrize("layout", test_scorers.LAYOUTS)
def test_backend_with_a_wrong_gradient(monkeypatch: pytest.MonkeyPatch, layout: str) -> None:
    right = matching.l1

    def wrong(query: Tensor, tail: OwnFirst, mix: Any = None, margin: float | None = None) -> Tensor:
        return right(query, OwnFirst(tail.own, HalfGradient.apply(tail.rest)), mix, margin)

    monkeypatch.setattr(matching, "l1", wrong)
    caught(test_scorers.test_backend, lambda: TransE(4), layout, torch.float64, tables=3)


def test_backend_that_mixes_the_wrong_way_round(monkeypatch: pytest.MonkeyPatch) -> None:
    right = matching.dot

    def swapped(query: Tensor, tail: Tensor, mix: Any = None) -> Tensor:
        return right(query, tail, None if mix is None else mix._replace(keep=1 - mix.keep))

    monkeypatch.setattr(matching, "dot", swapped)
    for layout in ("query", "negative"):
        caught(test_scorers.test_mutation, lambda: DistMult(4), tables=2, layout=layout)


class AddsDegrees(Table):
    """Adds each entity's degree to its vector, of the graph that it is given."""

    def degrees(self, graph: KnowledgeGraph) -> Tensor:
        return torch.bincount(graph.facts[:, [0, 2]].flatten(), minlength=graph.num_entities).float()

    def forward(self, graph: KnowledgeGraph) -> Any:
        inner, degree = super().forward(graph), self.degrees(graph)

        def lookup(head: Tensor, relation: Tensor, candidates: Candidates = EVERY_ENTITY) -> Vectors:
            vectors = inner(head, relation, candidates)
            return vectors.replace(head=vectors.head + degree[head].unsqueeze(1))

        return lookup


class AddsDegreesOfTheFirstGraph(AddsDegrees):
    first: Tensor | None = None

    def degrees(self, graph: KnowledgeGraph) -> Tensor:
        if self.first is None:
            self.first = super().degrees(graph)
        return self.first


def test_encoder_that_remembers_a_graph(graph: KnowledgeGraph) -> None:
    test_encoders.test_removed_facts_are_gone(AddsDegrees, lambda: DistMult(4), graph)
    caught(test_encoders.test_removed_facts_are_gone, AddsDegreesOfTheFirstGraph, lambda: DistMult(4), graph)


class DropsAlways(Table):
    def forward(self, graph: KnowledgeGraph) -> Any:
        self.entity_dropout.train()
        return super().forward(graph)


def test_encoder_with_dropout_in_evaluation(graph: KnowledgeGraph) -> None:
    def make(graph: KnowledgeGraph, space: Space, **rates: float) -> Table:
        return DropsAlways(graph, space, **rates)

    make.cls = DropsAlways  # type: ignore[attr-defined]
    caught(test_encoders.test_dropout_in_training_only, make, lambda: DistMult(4), graph)


def filter_off_by_one(batch: Batch, table: Tensor) -> Tensor:
    return known(batch, (table + 1) % batch.graph.num_entities)


def filter_of_the_other_direction(batch: Batch, table: Tensor) -> Tensor:
    turned = (batch.relation + batch.graph.num_relations) % (2 * batch.graph.num_relations)
    return known(replace(batch, relation=turned), table)


@pytest.mark.parametrize("broken", [filter_off_by_one, filter_of_the_other_direction])
def test_sampler_with_a_wrong_filter(
    broken: Callable[[Batch, Tensor], Tensor], graph: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    test_samplers.test_filter(lambda: Uniform(5, filtered=True), graph)
    monkeypatch.setattr("gnnkg.samplers.uniform.known", broken)
    caught(test_samplers.test_filter, lambda: Uniform(5, filtered=True), graph)


class TruthInAnotherColumn(Uniform):
    def __call__(self, batch: Batch) -> tuple[Candidates, Labels]:
        candidates, labels = super().__call__(batch)
        return candidates, replace(labels, truth=labels.truth + 1)


def test_sampler_with_a_wrong_truth(graph: KnowledgeGraph) -> None:
    caught(test_samplers.test_truth_is_the_own_tail, lambda: TruthInAnotherColumn(5), graph)


class ForgetsTheMask(BCE):
    def __call__(self, scores: Tensor, labels: Labels) -> Tensor:
        return super().__call__(scores, replace(labels, mask=None))


class MultipliesByTheMask(CrossEntropy):
    """0 * inf is NaN."""

    def __call__(self, scores: Tensor, labels: Labels) -> Tensor:
        assert labels.mask is not None
        unmasked = replace(labels, value=labels.value * labels.mask, mask=None)
        return super().__call__(scores * labels.mask - 1e4 * ~labels.mask, unmasked)


def test_loss_that_forgets_the_mask() -> None:
    caught(test_losses.test_masked_columns_have_no_influence, ForgetsTheMask, 1e6)
    test_losses.test_masked_columns_have_no_influence(MultipliesByTheMask, 1e6)
    caught(test_losses.test_masked_columns_have_no_influence, MultipliesByTheMask, torch.inf)


class MutatesTheTruth(EMU):
    def __call__(self, scorer: Scorer, vectors: Vectors, labels: Labels) -> tuple[Vectors, Labels]:
        vectors, labels = super().__call__(scorer, vectors, labels)
        assert vectors.own is not None
        return vectors.replace(own=vectors.own.lerp(vectors.tail[0, 0], 1e-9)), labels


class LooksAtMaskedCandidates(EMU):
    """Shifts every candidate by the mean of all."""

    def __call__(self, scorer: Scorer, vectors: Vectors, labels: Labels) -> tuple[Vectors, Labels]:
        tail = vectors.tail - 1e-3 * vectors.tail.mean(1, keepdim=True)
        return super().__call__(scorer, vectors.replace(candidates=tail), labels)


def test_transform_that_changes_the_truth() -> None:
    test_transforms_and_terms.check_truth(EMU(), TransE(4).double(), tables=1)
    caught(test_transforms_and_terms.check_truth, MutatesTheTruth(), TransE(4).double(), tables=1)


def test_transform_that_looks_at_masked_candidates() -> None:
    for transform, check in ((EMU(), lambda f, *x: f(*x)), (LooksAtMaskedCandidates(), caught)):
        term = Ranking(CrossEntropy(), transform=transform)
        check(test_transforms_and_terms.check_masked_candidates, term, TransE(4).double())


def test_unshuffled_queries(monkeypatch: pytest.MonkeyPatch, graph: KnowledgeGraph) -> None:
    monkeypatch.setattr(EpochPlan, "_order", lambda self, epoch: torch.arange(2 * len(self.graph.facts)))
    caught(test_queries.test_queries_are_shuffled, graph)
    caught(test_queries.test_epochs_and_seeds_differ, Queries(7), graph)


def test_queries_that_depend_on_the_steps_before(monkeypatch: pytest.MonkeyPatch, graph: KnowledgeGraph) -> None:
    draw = torch.Generator().manual_seed(0)

    def order(self: EpochPlan, epoch: int) -> Tensor:
        return torch.randperm(2 * len(self.graph.facts), generator=draw)

    monkeypatch.setattr(EpochPlan, "_order", order)
    caught(test_queries.test_a_step_does_not_depend_on_the_steps_before_it, Queries(7), graph)
