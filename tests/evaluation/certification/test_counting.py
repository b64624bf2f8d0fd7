"""The fast counts against the plain loop, in float64."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from gnnkg.core import Scorer
from gnnkg.evaluation.certification import counting, reference
from gnnkg.evaluation.certification.bound import lower_bounds, radii
from gnnkg.evaluation.certification.counting import Counter
from gnnkg.evaluation.certification.pruning import chances, pruned, responses, tangents
from gnnkg.evaluation.certification.question import TIE, Question, draws
from gnnkg.scorers import MLP, DistMult, TransE
from tests.contracts import discovered

ENTITIES, DRAWS = 90, 60


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that ninety entities meet in several blocks."""
    for name, size in (("FIRST", 5), ("SECOND", 9), ("BLOCK", 23)):
        monkeypatch.setattr(counting, name, size)


def sorted_rivals(scorer: Scorer, question: Question) -> Question:
    asked = question.queries(scorer, torch.zeros(1, len(question.head)))
    scores = question.match(scorer, asked, question.table)[0]
    rivals = question.rivals[scores[question.rivals].argsort(descending=True)]
    return Question(question.head, question.relation, question.table, question.truth, rivals)


def random_question(scorer: Scorer, seed: int, top: int) -> Question:
    """The truth is one of the candidates that score best, so that noise decides; some candidates are filtered."""
    draw = torch.Generator().manual_seed(seed)
    space = scorer.space
    head, relation = torch.randn(space.entity_dim, generator=draw), torch.randn(space.relation_dim, generator=draw)
    table = torch.randn(ENTITIES, space.entity_dim, generator=draw)
    asked = scorer.query(head.unsqueeze(0), relation.unsqueeze(0))
    order = scorer.match(asked, table.unsqueeze(0))[0].argsort(descending=True)
    truth = int(order[top * (seed % 3) // 2])
    others = torch.randperm(ENTITIES, generator=draw)[: ENTITIES - 10]
    return sorted_rivals(scorer, Question(head, relation, table, truth, others[others != truth]))


def plain(scorer: Scorer, question: Question, noise: Tensor, top: int = 1) -> int:
    return reference.count(copy.deepcopy(scorer).double(), question.double(), noise.double(), top)


reading = [make for make in discovered.scorers if make.values[0]().reads_head]


@pytest.mark.parametrize("make", reading)
@pytest.mark.parametrize("top", [1, 3])
@torch.no_grad()
def test_the_counts_are_those_of_the_plain_loop(make, top):
    scorer = make().eval()
    found, expected = [], []
    for seed in range(6):
        question, deviation = random_question(scorer, seed, top), 1.5 if seed % 2 else 0.15
        noise = deviation * draws(seed, 0, 0, (DRAWS, len(question.head)))
        found.append(Counter(scorer, deviation, top)(question, noise).successes)
        expected.append(plain(scorer, question, noise, top))
    assert found == expected
    assert 0 < sum(found) < 6 * DRAWS  # otherwise the questions were too easy to tell anything


def test_giving_up_is_abstaining():
    scorer = DistMult(8)
    given_up = 0
    for seed in range(12):
        question = random_question(scorer, seed, 1)
        noise = 0.3 * draws(seed, 0, 0, (DRAWS, 8))
        full, enough = Counter(scorer, 0.3)(question, noise), 40
        found = Counter(scorer, 0.3, enough=enough)(question, noise)
        assert not full.stopped
        assert found.stopped == (full.successes < enough)
        assert found.successes >= full.successes
        assert found.stopped or found.successes == full.successes
        given_up += found.stopped
    assert 0 < given_up < 12


def test_pruning_leaves_rivals_out_and_no_draw_notices():
    scorer = DistMult(40)
    left_out = 0
    for seed in range(8):
        question = random_question(scorer, seed, 1)
        noise = 0.1 * draws(seed, 0, 0, (DRAWS, 40))
        found = Counter(scorer, 0.1, budget=1e-6)(question, noise)
        assert found.successes == plain(scorer, question, noise)  # fails once in 16,000 times 8 draws at most
        left_out += found.left_out
    assert left_out > 100


def test_chances_are_those_of_the_closed_form():
    """DistMult: f_c - f_t = sum_d (h_d + s u_d) r_d (c_d - t_d) is normal."""
    scorer = DistMult(6)
    precise, question = copy.deepcopy(scorer).double(), random_question(scorer, 2, 1)
    found = chances(precise, question, responses(precise, question, 0.4), question.rivals)
    for place, rival in enumerate(question.rivals.tolist()):
        slope = question.relation * (question.table[rival] - question.table[question.truth])
        mean, deviation = float(question.head @ slope), 0.4 * float(slope.norm())
        expected = 0.5 * math.erfc(-mean / deviation / math.sqrt(2))
        assert float(found[place]) == pytest.approx(expected, rel=1e-3)


def test_pruning_knows_rivals_that_float32_cannot_tell_from_the_truth():
    """Scores share 1e4, beside which float32 loses what noise changes; each rival wins with a probability of Phi(-5)."""
    draw = torch.Generator().manual_seed(0)
    scorer, deviation = DistMult(50), 0.003
    table = 0.01 * torch.randn(1, 50, generator=draw) + 0.01 * torch.randn(801, 50, generator=draw)
    table[:, 0] = 1e4
    apart = table - table[0]
    table[1:, 1] += (-5 * deviation * apart[:, 1:].norm(dim=1) - apart[:, 1:].sum(1))[1:]
    question = Question(torch.ones(50), torch.ones(50), table, 0, torch.arange(1, 801))
    apart = (table - table[0]).double()[1:]
    exact = torch.special.ndtr(apart.sum(1) / (deviation * apart.norm(dim=1)))
    precise = copy.deepcopy(scorer).double()
    found = chances(precise, question, responses(precise, question, deviation), question.rivals)
    assert (found >= exact * (1 - 1e-9)).all()
    assert (found <= 2 * exact).all()
    gone = torch.ones(800, dtype=torch.bool)
    gone[pruned(found, 1e-6)] = False
    assert float(exact[gone].sum()) <= 1e-6 < float(exact.sum())


def test_float32_is_not_trusted_with_a_weak_rival_whose_score_cancels():
    """It meets the draws long after the strongest, and sums 1e6 - 1e6 and the little that counts."""
    scorer = DistMult(4)
    draw = torch.Generator().manual_seed(0)
    strong = torch.cat([torch.zeros(20, 2), 0.5 * torch.rand(20, 2, generator=draw)], 1)
    weak = torch.tensor([[1e6, -1e6, 0.25, 0.25]])
    table = torch.cat([torch.tensor([[0.0, 0.0, 0.51, 0.51]]), strong, weak])
    question = Question(torch.full((4,), 1 / 3), torch.ones(4), table, 0, torch.arange(1, 22))
    noise = torch.cat([torch.full((400, 2), 1e-3), torch.zeros(400, 2)], 1) * draws(0, 0, 0, (400, 1))
    noise[:, :1] += 2e-7 * draws(1, 0, 0, (400, 1))
    expected, naive = plain(scorer, question, noise), reference.count(scorer, question, noise)
    assert Counter(scorer, 1e-3)(question, noise).successes == expected
    assert 0 < expected < 400
    assert naive != expected


def test_what_is_pruned_stays_within_the_budget():
    given = torch.tensor([0.5, 1e-7, 3e-7, 0.2, 5e-7, 4e-7], dtype=torch.float64)
    assert pruned(given, 1e-6).tolist() == [0, 3, 4]  # 1e-7 + 3e-7 + 4e-7, and 5e-7 would be too much
    assert pruned(given, 0.0).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("distance", [0.0, 1e-13, 1e-9, 1e-7])
def test_rivals_beside_the_truth_are_decided_in_float64(distance):
    """The query is (1, 1) plus noise, and the rival differs from the truth by (distance, -distance)."""
    scorer = DistMult(2)
    table = torch.tensor([[3.0, 5.0], [3.0, 5.0], [-1.0, -1.0]], dtype=torch.float64)
    table[1] += torch.tensor([distance, -distance])
    question = Question(torch.ones(2).double(), torch.ones(2).double(), table, 0, torch.tensor([1, 2]))
    noise = 0.1 * draws(0, 0, 0, (DRAWS, 2)).double()
    truth = (1 + noise) @ table[0]
    expected = int((distance * (noise[:, 1] - noise[:, 0]) > TIE * (1 + truth)).sum())
    assert (expected == 0) is (distance < 1e-12)
    found = Counter(scorer, 0.1)(question, noise)
    assert found.successes == expected == plain(scorer, question, noise)
    assert (found.close > 0) is (distance < 1e-8)


def test_ties_and_numbers_that_are_none_count_against_the_truth():
    scorer = DistMult(2)
    noise = 0.1 * draws(0, 0, 0, (DRAWS, 2))
    for other in ([3.0, 5.0], [math.nan, 0.0]):
        table = torch.tensor([[3.0, 5.0], other, [-1.0, -1.0]])
        question = Question(torch.ones(2), torch.ones(2), table, 0, torch.tensor([1, 2]))
        assert Counter(scorer, 0.1)(question, noise).successes == plain(scorer, question, noise) == 0
        assert Counter(scorer, 0.1, top=2)(question, noise).successes == plain(scorer, question, noise, top=2) == DRAWS


def test_float32_alone_would_be_wrong_where_float64_decides():
    """Scores of about 1e4 that differ by about 1e-4, a tenth of what float32 resolves there."""
    scorer = DistMult(4)
    draw = torch.Generator().manual_seed(0)
    truth = torch.tensor([1e4, 1.0, 2.0, 3.0])
    rival = torch.cat([truth[:1], truth[1:] - 1e-4 * (1 + torch.randn(3, generator=draw))])
    question = Question(torch.ones(4), torch.ones(4), torch.stack([truth, rival]), 0, torch.tensor([1]))
    noise = draws(0, 0, 0, (400, 4))
    expected, naive = plain(scorer, question, noise), reference.count(scorer, question, noise)
    assert Counter(scorer, 1.0)(question, noise).successes == expected
    assert 0 < expected < 400
    assert naive != expected


def test_a_linear_classifier_is_certified_up_to_its_margin_and_no_further():
    """Two entities: the decision boundary in the head is a plane at a known distance, which is the smoothed model's margin too."""
    scorer = DistMult(2)
    question_at = {
        margin: Question(
            torch.tensor([margin, 0.0]), torch.ones(2), torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), 0, torch.tensor([1])
        )
        for margin in (0.2, 0.6, 1.1)
    }
    for margin, question in question_at.items():
        gaps = []
        for number in (1000, 30_000, 1_000_000):
            noise = 0.5 * draws(7, 0, 0, (number, 2))
            successes = Counter(scorer, 0.5)(question, noise).successes
            gaps.append(margin - 0.5 * float(radii(lower_bounds(np.array([successes]), number, 0.999))[0]))
        assert all(gap > 0 for gap in gaps)  # at a confidence of 99.9 % each; these draws are fixed
        assert gaps[2] < 0.01 * margin + 0.003
        assert gaps[2] < gaps[0]


@pytest.mark.parametrize("make", [TransE, lambda: DistMult(100), lambda: TransE(p=2)])
def test_tangents_lie_above_concave_scores(make):
    scorer = make()
    question = random_question(scorer, 0, 1)
    query = question.queries(scorer, torch.zeros(1, 100))
    values, slopes = tangents(scorer, query, question.table)
    other = question.queries(scorer, 0.5 * draws(0, 0, 0, (50, 100)))
    above = values + (other - query) @ slopes.t() - question.match(scorer, other, question.table)
    assert float(above.min()) > -1e-3
    assert (float(above.max()) > 1) is (scorer.curvature == "concave")


def test_draws_are_a_querys_own():
    first = draws(0, 3, 5, (4, 6))
    assert torch.equal(first, draws(0, 3, 5, (4, 6)))
    for other in ((1, 3, 5), (0, 5, 3), (0, 3, 6)):
        assert not torch.equal(first, draws(*other, (4, 6)))
    many = draws(0, 0, 0, (1000, 100))
    assert float(many.mean()) == pytest.approx(0, abs=0.02)
    assert float(many.std()) == pytest.approx(1, abs=0.02)


def test_scorers_of_no_known_shape_are_counted_too():
    scorer = MLP(4, 8)
    assert scorer.curvature is None
    question = random_question(scorer, 1, 1)
    noise = 0.3 * draws(0, 0, 0, (DRAWS, 4))
    assert Counter(scorer, 0.3, budget=1e-3)(question, noise).successes == plain(scorer, question, noise)
