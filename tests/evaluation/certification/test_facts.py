"""Sparse smoothing, against every subset of a tiny graph."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch

from gnnkg.core import Model
from gnnkg.encoders import RGCN, Table
from gnnkg.evaluation.certification.fact_certificate import largest, transferred
from gnnkg.evaluation.certification.facts import certify_facts, thinned
from gnnkg.graph import KnowledgeGraph
from gnnkg.scorers import DistMult

FACTS = frozenset(range(5))
Event = Callable[[frozenset], bool]


def probability(facts: frozenset, event: Event, deletion: float) -> float:
    """Of the event on what random deletion leaves: the sum over all subsets."""
    return sum(
        deletion ** (len(facts) - size) * (1 - deletion) ** size * event(frozenset(left))
        for size in range(len(facts) + 1)
        for left in itertools.combinations(sorted(facts), size)
    )


def random_event(seed: int, share: float) -> Event:
    """Any function of what is left: of the facts 0 to 4 and of two more that an attacker may add."""
    answers = np.random.default_rng(seed).random(2**7) < share
    return lambda left: bool(answers[sum(1 << fact for fact in left)])


@pytest.mark.parametrize("deletion", [0.3, 0.6, 0.9])
@pytest.mark.parametrize(("removed", "added"), [(1, 0), (2, 0), (0, 1), (0, 2), (2, 2), (5, 1)])
def test_no_change_of_the_graph_goes_below_the_bound(deletion, removed, added):
    for seed in range(6):
        event = random_event(seed, 0.97)
        bound = float(transferred(np.array(probability(FACTS, event, deletion)), deletion, removed, added))
        for gone in itertools.combinations(FACTS, removed):
            for more in itertools.combinations((5, 6), added):
                assert probability((FACTS - set(gone)) | set(more), event, deletion) >= bound - 1e-12


@pytest.mark.parametrize(("removed", "added"), [(1, 0), (2, 0), (0, 2), (2, 1)])
def test_some_model_reaches_the_bound(removed, added):
    gone, more = frozenset(range(removed)), frozenset(range(5, 5 + added))

    def event(left: frozenset) -> bool:
        """Fails without any of the facts that will be removed, unless 4 is left; fails with any that will be added."""
        return bool(left & gone or 4 in left or not gone) and not left & more

    deletion = 0.4
    bound = float(transferred(np.array(probability(FACTS, event, deletion)), deletion, removed, added))
    assert probability((FACTS - gone) | more, event, deletion) == pytest.approx(bound)
    assert bound > 0


def test_the_largest_numbers_by_hand():
    """d = 0.9: removing r asks for p > 1 - 0.9^r / 2, adding a for p > 0.9^-a / 2."""
    lower = np.array([0.4, 0.51, 0.56, 0.60, 0.993])
    assert largest(lower, 0.9, "removed").tolist() == [0, 0, 1, 2, 40]
    assert largest(lower, 0.9, "added").tolist() == [0, 0, 1, 1, 6]


def test_each_fact_is_deleted_as_often_as_asked(graph):
    counts = torch.zeros(len(graph.facts))
    rows = {tuple(fact): row for row, fact in enumerate(graph.facts.tolist())}
    for number in range(400):
        for fact in thinned(graph, 0.3, 0, number).facts.tolist():
            counts[rows[tuple(fact)]] += 1
    assert float(counts.mean() / 400) == pytest.approx(0.7, abs=0.01)
    assert float(counts.min()) > 400 * 0.55
    again = thinned(graph, 0.3, 0, 7)
    assert torch.equal(again.facts, thinned(graph, 0.3, 0, 7).facts)
    assert not torch.equal(again.facts, thinned(graph, 0.3, 1, 7).facts)


def test_successes_are_counted_on_what_is_left(dataset):
    scorer = DistMult(4)
    model = Model(RGCN(dataset.graph, scorer.space, num_layers=1), scorer).eval()
    certificate = certify_facts(
        model, dataset, 0.4, draws=25, confidence=0.9, top=3, direction="both", num_queries=None
    )
    known, expected = dataset.known("train", "valid", "test"), [0] * len(certificate.queries)
    found = []
    certify_facts(
        model, dataset, 0.4, draws=10, confidence=0.9, top=3, direction="both", num_queries=None,
        report=lambda successes, finished: found.append((successes, finished)),
    )  # fmt: skip
    assert [finished for _, finished in found] == [False] * 9 + [True]
    resumed = certify_facts(
        model,
        dataset,
        0.4,
        draws=25,
        confidence=0.9,
        top=3,
        direction="both",
        num_queries=None,
        known_successes=found[-1][0],
    )
    assert resumed == certificate
    with torch.no_grad():
        for number in range(25):
            left = thinned(dataset.graph, 0.4, 0, number)
            rebuilt = KnowledgeGraph(left.facts, 13, 3, dataset.graph.vocabulary)
            for place, (head, relation, truth) in enumerate(certificate.queries):
                asked = torch.tensor([head]), torch.tensor([relation])
                scores = model(rebuilt, *asked)[0]
                others = set(range(13)) - set(known.of(*asked).tails.tolist()) - {truth}
                expected[place] += sum(float(scores[i]) >= float(scores[truth]) for i in others) < 3
    assert list(certificate.successes) == expected
    assert 0 < sum(expected) < 25 * len(expected)
    assert (certificate.holds(2, 0) == (certificate.removed() >= 2)).all()
    assert (certificate.holds(0, 1) == (certificate.added() >= 1)).all()


def test_an_encoder_that_reads_no_facts_is_refused(dataset):
    scorer = DistMult(4)
    model = Model(Table(dataset.graph, scorer.space), scorer)
    with pytest.raises(ValueError, match="Table does not read the facts"):
        certify_facts(model, dataset, 0.5)
    with pytest.raises(ValueError, match="between 0 and 1, not 1"):
        certify_facts(model, dataset, 1.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"draws": 5}, "5 draws cannot"),
        ({"draws": 0}, "at least 1 draw"),
        ({"confidence": 2}, "confidence"),
        ({"top": 0}, "top 0"),
    ],
)
def test_settings_that_certify_nothing_are_refused_before_anything_is_drawn(dataset, settings, message):
    model = Model(RGCN(dataset.graph, DistMult(4).space, num_layers=1), DistMult(4))
    with pytest.raises(ValueError, match=message):
        certify_facts(model, dataset, 0.5, **settings, report=lambda *_: pytest.fail("something was drawn"))


def test_successes_of_other_queries_are_refused(dataset):
    model = Model(RGCN(dataset.graph, DistMult(4).space, num_layers=1), DistMult(4))
    with pytest.raises(ValueError, match="what is known is of 2 queries"):
        certify_facts(model, dataset, 0.5, num_queries=4, known_successes=[10, 3, 4])
