"""The masks of pairs: what they promise as random numbers, and hash words that were worked out apart from torch."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import chi2
from torch import Tensor

from gnnkg.ops import matching
from gnnkg.ops.hashing import mix
from gnnkg.ops.matching import Drawn, Mix
from gnnkg.ops.matching.drawn import Form, masks
from tests.ops.cases import FORMS, OPS

SIZE = 200, 64, 100
RATE = 0.39


def standardised(seed: int, form: Form = "both") -> Tensor:
    """Masks with mean 0 and variance 1, in double precision."""
    return (masks(Drawn(RATE, seed, form), *SIZE).double() - RATE) / math.sqrt(RATE * (1 - RATE))


def sigmas(x: Tensor) -> float:
    """How many standard deviations the mean of independent numbers with mean 0 and variance 1 is away from 0."""
    return abs(x.mean().item()) * math.sqrt(x.numel())


def scalar_mix(x: int) -> int:
    x ^= x >> 16
    x = x * 0x7FEB352D % 2**32
    x ^= x >> 15
    x = x * 0x846CA68B % 2**32
    return x ^ x >> 16


def test_a_mask_by_hand() -> None:
    """From Python's integers and the formula of the module: query 3 of 4, candidate 2 of 5, widths 6 and 7."""
    seed = 0x123456789ABCDEF
    start = scalar_mix(seed % 2**32)
    salt = scalar_mix((seed >> 32) ^ start)

    def word(row: int, component: int) -> int:
        return scalar_mix(scalar_mix((component * (4 + 5) + row + start) % 2**32) ^ salt) // 4 * 4 + 1

    def kept(component: int) -> bool:
        product = word(3, component) * word(4 + 2, component) % 2**32
        return product - (2**32 if product >= 2**31 else 0) < 4 * round(0.4 * 2**30) - 2**31

    for width in (6, 7):
        half, by_hand = (width + 1) // 2, [kept(d) for d in range(2 * width)]
        assert masks(Drawn(0.4, seed), 4, 5, width)[3, 2].tolist() == by_hand[:width]
        assert masks(Drawn(0.4, seed, "block"), 4, 5, width)[3, 2].tolist() == [
            *by_hand[:half],
            *by_hand[: width - half],
        ]
        assert masks(Drawn(0.4, seed, "low"), 4, 5, width)[3, 2].tolist() == by_hand[:width]
        assert masks(Drawn(0.4, seed, "high"), 4, 5, width)[3, 2].tolist() == by_hand[width:]


@pytest.mark.parametrize("rate", [0.1, 0.39, 0.5, 0.94])
def test_share_of_ones(rate: float) -> None:
    """Of all masks, and of each component, query and candidate (chi-square tests)."""
    kept = masks(Drawn(rate, 1), *SIZE).double()
    assert abs(kept.mean().item() - rate) < 4 * math.sqrt(rate * (1 - rate) / kept.numel())
    for axis in range(3):
        ones = kept.transpose(0, axis).flatten(1)
        statistic = (ones.sum(1) - ones.shape[1] * rate).square().sum().item() / (ones.shape[1] * rate * (1 - rate))
        assert 1e-4 < chi2.sf(statistic, df=len(ones)) < 1 - 1e-4


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("shift", [1, 2, 3, 8, 16, 32, 50])
def test_neighbours_are_independent(axis: int, shift: int) -> None:
    """Along queries, candidates and components; 50 components apart are real and imaginary part."""
    x = standardised(2).transpose(0, axis)
    assert sigmas(x[shift:] * x[:-shift]) < 4.5


@pytest.mark.parametrize("axes", [(0, 1), (0, 2), (1, 2)])
def test_corners_of_rectangles_are_independent(axes: tuple[int, int]) -> None:
    """Of the four words that two queries have with two candidates, three give the last; of the masks they do not."""
    x = standardised(3).movedim(axes, (0, 1))
    for rows in (1, 2, 16):
        for columns in (1, 8, 50):
            corners = x[rows:, columns:] * x[:-rows, columns:] * x[rows:, :-columns] * x[:-rows, :-columns]
            assert sigmas(corners) < 4.5


@pytest.mark.parametrize("other", [8, 7 + 2**32, 7 + 2**31, 7 + 2**61, 6])
def test_seeds_are_independent(other: int) -> None:
    one, two = standardised(7), standardised(other)
    assert sigmas(one * two) < 4.5
    assert sigmas(one[:, 1:] * two[:, :-1]) < 4.5
    assert sigmas(one[:, :-1] * two[:, 1:]) < 4.5


def test_no_pairs_share_a_mask() -> None:
    rows = masks(Drawn(0.5, 4), *SIZE).flatten(0, 1)
    assert len(rows.unique(dim=0)) == len(rows)


@pytest.mark.parametrize("form", ["both", "block"])
def test_halves_are_those_of_the_whole(form: Form) -> None:
    whole = Drawn(0.4, 9, form)
    assert torch.equal(torch.cat([masks(half, 6, 5, 8) for half in whole.halves()], -1), masks(whole, 6, 5, 16))
    with pytest.raises(ValueError, match="halved"):
        whole.halves()[0].halves()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("tables", [1, 24])
def test_rates_of_0_and_1_are_exact(op: str, form: Form, tables: int) -> None:
    query, own, tail = torch.randn(24, 10), torch.randn(24, 10), torch.randn(tables, 21, 10)
    everything, nothing = (getattr(matching, op)(query, tail, Mix(own, Drawn(r, 5, form))) for r in (1.0, 0.0))
    tolerance = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(everything, getattr(matching, op)(query, tail), **tolerance)
    torch.testing.assert_close(nothing, getattr(matching, op)(query, own.unsqueeze(1)).expand_as(nothing), **tolerance)


@pytest.mark.parametrize("op", OPS)
def test_own_tails_gradients_are_sums_of_their_own(op: str) -> None:
    """Of the gradient of what masks take out: that of the sum without masks, a million times as large, costs no digit of it."""
    query, own, tail = torch.randn(16, 32), torch.randn(16, 32), torch.randn(1, 64, 32)
    gradients = torch.randn(16, 64), 1e-6 * torch.randn(16, 64)

    def of_own(convert: torch.dtype) -> Tensor:
        vectors = [x.to(convert).requires_grad_() for x in (query, own, tail)]
        sums = matching.both(op, vectors[0], vectors[2], Mix(vectors[1], Drawn(RATE, 3)))
        return torch.autograd.grad(sums, vectors[1], [g.to(convert) for g in gradients])[0]

    exact = of_own(torch.float64)
    assert (of_own(torch.float32) - exact).norm() < 1e-5 * exact.norm()


@pytest.mark.parametrize("op", ["l1", "squared", "modulus"])
@pytest.mark.parametrize("queries", [2, 18])
@pytest.mark.parametrize("large", [math.inf, 3e19])
def test_infinity_comes_through(op: str, queries: int, large: float) -> None:
    """A query's, or that of a square that is too large: both sums are infinite where the mask keeps one such component."""
    query, own, tail = torch.randn(queries, 4), torch.randn(queries, 4), torch.randn(1, 19, 4)
    query[1, :2] = large if op != "l1" else math.inf
    found = matching.both(op, query, tail, Mix(own, Drawn(RATE, 3)))
    for sums in found:
        assert sums[1].eq(math.inf).all()
        assert sums[torch.arange(queries) != 1].isfinite().all()


def test_what_is_refused() -> None:
    query, tail = torch.randn(2, 4), torch.randn(1, 3, 4)
    with pytest.raises(ValueError, match="probability"):
        matching.l1(query, tail, Mix(query, Drawn(1.5, 0)))
    with pytest.raises(ValueError, match=r"mix\.own"):
        matching.dot(query, tail, Mix(query[:1], Drawn(0.5, 0)))


def test_mix_takes_integers_and_tensors() -> None:
    numbers = [0, 1, 2**31, 2**32 - 1]
    assert mix(torch.tensor(numbers)).tolist() == [mix(n) for n in numbers] == [scalar_mix(n) for n in numbers]
