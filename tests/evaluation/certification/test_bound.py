from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from gnnkg.evaluation.certification.bound import fewest_successes, lower_bounds, radii, settled, side

TABLE = {
    549: (0.49967, 0.0),
    550: (0.50068, 0.002),
    600: (0.55108, 0.128),
    700: (0.65347, 0.395),
    800: (0.75845, 0.701),
    900: (0.86746, 1.114),
    950: (0.92505, 1.440),
    990: (0.97604, 1.978),
    999: (0.99080, 2.358),
    1000: (0.99312, 2.463),
}
"""of 1,000 draws at 99.9 %: the lower bound and the radius in deviations, as the specification prints them"""


def test_many_looks_share_one_doubt():
    """A fair coin, looked at after 50, 100, 200, ... draws: it is said to lie above no more often than the doubt allows."""
    draw, doubt = np.random.default_rng(0), 0.05
    found = [settled(lambda number: int(draw.binomial(number, 0.5)), 50, 6400, doubt)[0] for _ in range(2000)]
    assert 0 < found.count("above") < doubt * len(found)
    assert side(32, 50, doubt) != "open", "by one look alone this would be decided"
    looked = iter([32, 18])
    assert settled(lambda number: next(looked, number // 2), 50, 6400, doubt)[0] == "open"


@pytest.mark.parametrize("successes", TABLE)
def test_bounds_and_radii_are_those_of_the_table(successes):
    bound, radius = TABLE[successes]
    found = lower_bounds(np.array([successes]), 1000, 0.999)
    assert round(float(found[0]), 5) == bound
    assert round(float(radii(found)[0]), 3) == radius


@pytest.mark.parametrize(
    ("successes", "draws", "confidence"), [(1, 1, 0.9), (3, 7, 0.99), (20, 20, 0.999), (60, 100, 0.95)]
)
def test_the_bound_is_where_the_binomial_tail_reaches_the_doubt(successes, draws, confidence):
    """By its definition: the smallest p under which so many successes or more are not too unlikely; exact sums, bisection."""

    def tail(p: Fraction) -> Fraction:
        return sum(
            (math.comb(draws, i) * p**i * (1 - p) ** (draws - i) for i in range(successes, draws + 1)), Fraction(0)
        )

    low, high = Fraction(0), Fraction(1)
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if tail(middle) < 1 - Fraction(str(confidence)) else (low, middle)
    assert lower_bounds(np.array([successes]), draws, confidence)[0] == pytest.approx(float(low), abs=1e-8)


def test_no_success_bounds_nothing_and_below_550_nothing_is_certified():
    found = radii(lower_bounds(np.arange(1001), 1000, 0.999))
    assert lower_bounds(np.array([0]), 1000, 0.999)[0] == 0
    assert (found[:550] == 0).all()
    assert (np.diff(found[549:]) > 0).all()
    assert fewest_successes(1000, 0.999) == 550
    assert fewest_successes(9, 0.999) == 10  # even 9 of 9 do not
    assert fewest_successes(10, 0.999) == 10  # 0.001^(1/10) = 0.501


@pytest.mark.parametrize(("successes", "draws", "confidence"), [(3, 2, 0.9), (-1, 2, 0.9), (0, 0, 0.9), (0, 2, 1.0)])
def test_numbers_out_of_range_are_refused(successes, draws, confidence):
    with pytest.raises(ValueError, match="between"):
        lower_bounds(np.array([successes]), draws, confidence)
