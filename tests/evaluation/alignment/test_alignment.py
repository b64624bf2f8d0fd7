"""Similarities, corrections, ranks and matchings against brute force and values worked out by hand."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.metrics.pairwise import cosine_similarity
from torch.testing import assert_close

from gnnkg.evaluation.alignment import (
    Correction,
    Similarity,
    csls,
    evaluate_alignment,
    mutual_best,
    nearest,
    plain,
    sinkhorn,
)

SMALL = 600
"""bytes: a matrix of 30 x 20 does not fit, and one row is computed at a time"""


def vectors(num_left: int = 30, num_right: int = 20, width: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(num_left, width, generator=generator), torch.randn(num_right, width, generator=generator)


def whole(scores: Similarity | Correction) -> torch.Tensor:
    return torch.cat([block.scores for block in scores.blocks()])


def brute_force_ranks(scores: torch.Tensor, truth: torch.Tensor) -> list[float]:
    """1, one more for each better candidate, half of one more for each equal one."""
    found = []
    for row, own in zip(scores.tolist(), truth.tolist(), strict=True):
        others = [score for column, score in enumerate(row) if column != own]
        found.append(1 + sum(score > row[own] for score in others) + sum(score == row[own] for score in others) / 2)
    return found


@pytest.mark.parametrize("memory", [SMALL, 5_000, 2**20])
def test_cosines_in_blocks(memory):
    left, right = vectors()
    similarity = Similarity(left, right, memory)
    assert_close(whole(similarity), torch.from_numpy(cosine_similarity(left, right)).float())
    assert_close(whole(similarity.transposed), torch.from_numpy(cosine_similarity(right, left)).float())
    assert all(2 * block.scores.nbytes <= max(memory, 8 * 30) for block in similarity.blocks())


def test_vectors_that_cannot_be_compared():
    with pytest.raises(ValueError, match="one width"):
        Similarity(torch.ones(2, 3), torch.ones(2, 4))
    zero = whole(Similarity(torch.zeros(1, 3), torch.ones(2, 3)))
    assert zero.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("memory", [SMALL, 2**20])
@pytest.mark.parametrize("k", [1, 3, 100])
def test_csls_by_its_definition(k, memory):
    left, right = vectors()
    cosines = cosine_similarity(left, right)
    near_left = np.sort(cosines, axis=1)[:, ::-1][:, :k].mean(1, keepdims=True)
    near_right = np.sort(cosines, axis=0)[::-1][:k].mean(0, keepdims=True)
    corrected = whole(csls(Similarity(left, right, memory), k))
    assert_close(corrected, torch.from_numpy(2 * cosines - near_left - near_right).float(), atol=1e-5, rtol=1e-5)


def test_csls_of_a_permutation_is_the_permutation():
    order = torch.tensor([3, 0, 4, 1, 2])
    scores = csls(Similarity(torch.eye(5)[order], torch.eye(5)), k=1)
    assert_close(whole(scores), 2 * torch.eye(5)[order] - 2)
    assert mutual_best(scores).right.tolist() == order.tolist()


def test_csls_takes_a_hub_away():
    """A right vector between two left ones is nearest to both; each has one of its own."""
    left = torch.tensor([[1.0, 0.3], [0.3, 1.0]])
    right = torch.tensor([[1.0, 1.0], [1.0, -0.3], [-0.3, 1.0]])
    similarity = Similarity(left, right)
    assert nearest(plain(similarity)).of_left.right.tolist() == [0, 0]
    assert nearest(csls(similarity, k=2)).of_left.right.tolist() == [1, 2]


@pytest.mark.parametrize("memory", [SMALL, 2**20])
@pytest.mark.parametrize("temperature", [0.001, 0.1])
def test_sinkhorn_gives_everyone_the_same_mass(temperature, memory):
    left, right = vectors()
    plan = whole(sinkhorn(Similarity(left, right, memory), temperature, iterations=200)).double().exp()
    assert plan.isfinite().all()
    assert_close(plan.sum(0), torch.full((20,), 30 / 20, dtype=torch.float64), atol=1e-2, rtol=1e-2)
    if temperature == 0.1:  # it converges slowly where the temperature is low
        assert_close(plan.sum(1), torch.ones(30, dtype=torch.float64), atol=1e-3, rtol=1e-3)


def test_sinkhorn_by_its_definition():
    left, right = vectors(8, 8)
    kernel = np.exp(cosine_similarity(left, right).astype(float) / 0.2)
    for _ in range(3):
        kernel = kernel / kernel.sum(1, keepdims=True)
        kernel = kernel / kernel.sum(0, keepdims=True)
    ours = whole(sinkhorn(Similarity(left, right), 0.2, iterations=3)).exp()
    assert_close(ours, torch.from_numpy(kernel).float(), atol=1e-5, rtol=1e-4)


def test_a_cold_sinkhorn_is_the_best_assignment():
    left, right = vectors(12, 12, 3)
    best = linear_sum_assignment(-cosine_similarity(left, right))[1]
    scores = sinkhorn(Similarity(left, right), 0.005, iterations=2000)
    assert nearest(scores).of_left.right.tolist() == best.tolist()
    greedy = nearest(plain(Similarity(left, right))).of_left.right.tolist()
    assert greedy != best.tolist(), "otherwise this test shows nothing"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (partial(csls, k=0), "k >= 1"),
        (partial(sinkhorn, temperature=0.0), "temperature above 0"),
        (partial(sinkhorn, iterations=0), "an iteration"),
    ],
)
def test_settings_out_of_range(call, said):
    with pytest.raises(ValueError, match=said):
        call(Similarity(*vectors()))


@pytest.mark.parametrize("memory", [SMALL, 2**20])
@pytest.mark.parametrize("correct", [plain, csls, sinkhorn])
@pytest.mark.parametrize("candidates", ["linked", "all"])
def test_ranks_equal_brute_force(correct, candidates, memory):
    left, right = (part.round() for part in vectors(width=2))  # many tie
    links = torch.stack([torch.arange(0, 30, 2), torch.randperm(20)[:15]], 1)
    found = evaluate_alignment(left, right, links, correct, candidates, memory)
    if candidates == "linked":
        there = correct(Similarity(left[links[:, 0]], right[links[:, 1]], memory))
        back, own = there.transposed, (torch.arange(15), torch.arange(15))
        assert found.candidates == (15, 15)
    else:
        there = correct(Similarity(left[links[:, 0]], right, memory))
        back, own = correct(Similarity(right[links[:, 1]], left, memory)), (links[:, 1], links[:, 0])
        assert found.candidates == (20, 30)
    assert found.left_to_right.tolist() == brute_force_ranks(whole(there), own[0])
    assert found.right_to_left.tolist() == brute_force_ranks(whole(back), own[1])
    if correct is plain:
        assert (found.left_to_right % 1 == 0.5).any(), "some tie"


def test_metrics_by_hand():
    """Left 0 and 2 find their partners first; left 1's partner is opposite, so it comes last of three."""
    left = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    right = torch.tensor([[1.0, 0.1], [0.0, -1.0], [1.0, 1.0]])
    found = evaluate_alignment(left, right, torch.tensor([[0, 0], [1, 1], [2, 2]]))
    assert found.left_to_right.tolist() == [1, 3, 1]
    assert found.right_to_left.tolist() == [1, 3, 1]
    assert found.metrics()["hits@1"] == pytest.approx(2 / 3)
    assert found.metrics("both")["mrr"] == pytest.approx((1 + 1 / 3 + 1) / 3)
    with pytest.raises(ValueError, match="no links"):
        evaluate_alignment(left, right, torch.empty(0, 2, dtype=torch.int64))


@pytest.mark.parametrize("memory", [SMALL, 2**20])
def test_mutual_best_equals_brute_force(memory):
    left, right = vectors()
    scores = torch.from_numpy(cosine_similarity(left, right))
    expected = [
        (i, int(scores[i].argmax())) for i in range(30) if int(scores[:, int(scores[i].argmax())].argmax()) == i
    ]
    pairs = mutual_best(plain(Similarity(left, right, memory)))
    assert list(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)) == expected
    assert_close(pairs.score, scores[pairs.left, pairs.right].float())
    assert len(expected) < 20


@pytest.mark.parametrize("memory", [SMALL, 2**20])
def test_an_entity_in_several_links_is_one_candidate(memory):
    """Otherwise it would be its own rival, and half a rank worse."""
    axes = torch.eye(3)
    links = torch.tensor([[2, 0], [0, 0], [1, 1]])
    left = torch.stack([axes[0], axes[1], axes[0]])
    found = evaluate_alignment(left, axes, links, plain, "linked", memory)
    assert found.left_to_right.tolist() == [1, 1, 1]
    assert found.right_to_left.tolist() == [1.5, 1.5, 1], "its two partners are rivals"
    assert found.candidates == (2, 3)
    left, right = vectors()
    links = torch.stack([torch.randint(12, (40,)), torch.randint(12, (40,))], 1).unique(dim=0)
    links = links[torch.randperm(len(links))]
    linked = evaluate_alignment(left, right, links, plain, "linked", memory)
    scores = whole(Similarity(left[links[:, 0].unique()], right[links[:, 1].unique()]))
    rows, columns = (column.unique(return_inverse=True)[1] for column in links.unbind(1))
    assert linked.left_to_right.tolist() == brute_force_ranks(scores[rows], columns)
    assert linked.right_to_left.tolist() == brute_force_ranks(scores.T[columns], rows)


@pytest.mark.parametrize("correct", [plain, csls, sinkhorn])
def test_of_whom_nothing_is_known_has_no_partner(correct):
    left, right = (torch.cat([side, torch.zeros(2, 6)]) for side in vectors(5, 5))
    pairs = mutual_best(correct(Similarity(left, right)))
    assert len(pairs.left) > 0
    assert pairs.left.max() < 5
    assert pairs.right.max() < 5


def test_constant_vectors_are_ranked_in_the_middle():
    found = evaluate_alignment(torch.ones(9, 2), torch.ones(9, 2), torch.arange(9).repeat(2, 1).T)
    assert found.left_to_right.tolist() == [5.0] * 9
