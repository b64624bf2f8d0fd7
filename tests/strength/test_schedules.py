from __future__ import annotations

import math

import pytest
import torch

from gnnkg.core import Batch, Labels, Vectors
from gnnkg.graph import KnowledgeGraph
from gnnkg.scorers import DistMult
from gnnkg.strength import Annealed, ByFrequency, HoldWins, Strength

# entity 0 is in 3 facts, 1 in 3, 2 in none, 3 in 2 (a loop counts twice); relation 0 has 3 facts, relation 1 has 1
GRAPH = KnowledgeGraph(torch.tensor([[0, 0, 1], [1, 0, 0], [0, 1, 1], [3, 0, 3]]), 4, 2)


def batch(heads: list[int], relations: list[int], tails: list[int] | None = None) -> Batch:
    head, tail = torch.tensor(heads), torch.tensor(heads if tails is None else tails)
    return Batch(GRAPH, head, torch.tensor(relations), tail, torch.ones(len(head)))


def test_alpha_goes_from_start_to_end():
    linear, cosine = Annealed(0.5, 2.5, 4), Annealed(0.5, 2.5, 4, "cosine")
    assert linear(batch([0], [0])).item() == 2.5  # outside of a training
    found = []
    for epoch in (0, 1, 2, 4, 9):
        for schedule in (linear, cosine):
            schedule.before_epoch(epoch)
        found.append((linear(batch([0], [0])).item(), cosine(batch([0], [0])).item()))
    quarter = 0.5 + 2 * (1 - math.cos(math.pi / 4)) / 2
    expected = [(0.5, 0.5), (1.0, quarter), (1.5, 1.5), (2.5, 2.5), (2.5, 2.5)]
    assert found == [pytest.approx(pair) for pair in expected]


def test_frequent_entities_and_relations_get_more():
    mean = (4 * 4 * 1 * 3) ** 0.25
    found = ByFrequency(2.0, power=0.5)(batch([0, 2, 3, 0], [0, 0, 0, 0]))
    assert found.tolist() == pytest.approx([2 * (x / mean) ** 0.5 for x in (4, 1, 3, 4)])
    found = ByFrequency(power=1.0, of="relation")(batch([0, 0, 0], [0, 1, 3]))  # 3 asks 1 backwards
    assert found.tolist() == pytest.approx([4 / 8**0.5, 2 / 8**0.5, 2 / 8**0.5])
    assert ByFrequency(power=-9.0, limit=2.0)(batch([0, 2], [0, 0])).tolist() == pytest.approx([0.5, 2.0])


def test_wins_are_held_by_less_noise_where_too_few_are_kept():
    scorer = DistMult(1)
    head, relation, tail = torch.ones(4, 1), torch.ones(4, 1), torch.tensor([[[2.0], [1.0]]])
    labels = Labels(torch.tensor([[1.0, 0.0]]).expand(4, 2), None, torch.zeros(4, dtype=torch.long), torch.ones(4))
    clean = Vectors(head, relation, tail)
    turned = clean.replace(head=torch.tensor([[1.0], [1.0], [1.0], [-1.0]]))  # the last query is lost
    schedule = HoldWins(target=0.8, start=1.0, rate=2.0, every=2)
    schedule.observe(scorer, clean, turned, labels)
    assert schedule(batch([0], [0])).item() == pytest.approx(math.exp(2 * (0.75 - 0.8)))
    schedule.observe(scorer, clean, clean, labels)  # not its turn
    assert schedule.alpha.item() == pytest.approx(math.exp(-0.1))
    schedule.observe(scorer, clean, clean, labels)
    assert schedule.alpha.item() == pytest.approx(math.exp(-0.1 + 0.4))


def test_a_strength_of_its_own_for_each_entity():
    strength = Strength(2.0, divisor=1.0, quantile=1.0, per_entity=True)
    table = torch.tensor([[1.0, -2.0], [3.0, 0.0], [0.5, 0.5], [0.0, 4.0]])
    strength.before_batch(batch([3, 0], [0, 0], [0, 1]), lambda: table)
    assert strength.of(torch.ones(2, 2)).tolist() == [[8.0], [4.0]]
    assert strength.of(torch.ones(2, 2), tails=True).tolist() == [[4.0], [6.0]]
    with pytest.raises(ValueError, match="facts of the batch"):
        strength.of(torch.ones(3, 2))


def test_sigma_is_measured_when_it_is_due():
    seen = []

    def vectors() -> torch.Tensor:
        seen.append(strength.epoch)
        return torch.ones(3, 2)

    for refresh, expected in ((1, [0, 1, 2, 3, 4]), (2, [0, 2, 4]), (None, [0])):
        strength = Strength(refresh=refresh)
        seen.clear()
        for epoch in range(5):
            strength.before_epoch(epoch)
            for _ in range(2):
                strength.before_batch(batch([0], [0]), vectors)
        assert seen == expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Annealed(epochs=0), "epochs at least 1"),
        (lambda: ByFrequency(limit=0.5), "limit at least 1"),
        (lambda: HoldWins(target=1.0), r"target must lie in \(0, 1\)"),
        (lambda: HoldWins(rate=-1.0), "rate above 0"),
        (lambda: Annealed(0.0, math.nan), "start and end must be at least 0"),
        (lambda: ByFrequency(alpha=math.inf), "alpha must be at least 0"),
        (lambda: Strength(alpha=math.nan), "alpha must be at least 0"),
        (lambda: Strength(sigma=math.nan), "one number above 0"),
        (lambda: Strength(divisor=math.nan), "divisor must be a number above 0"),
        (lambda: Strength(divisor=math.inf), "divisor must be a number above 0"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
