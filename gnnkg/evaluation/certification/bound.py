"""From counted successes to a certified radius: Clopper-Pearson and Cohen's theorem.

    p_ = BetaInv(a; k, n - k + 1),  a = 1 - confidence      k successes of n draws; 0 where k = 0
    radius = s * Phi^-1(p_)  if p_ > 1/2,  else 0           s: standard deviation of the Gaussian noise, an L2 ball

Cohen, Rosenfeld, Kolter, "Certified Adversarial Robustness via Randomized Smoothing", ICML 2019, in the form for two classes:
the event happens, or it does not. Wherever the event has a probability above 1/2 at distance 0, it keeps one above 1/2 inside
the radius; the chance that p_ lies above the true probability is at most a.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy.stats import beta, norm

FIRST_DRAWS = 250
"""after which attacks are judged for the first time whether an answer turned; then after twice as many, and so on"""


def lower_bounds(successes: np.ndarray, draws: int, confidence: float) -> np.ndarray:
    """One-sided lower bounds on the probabilities of success. Raises ValueError where the numbers make no sense."""
    if draws < 1 or not 0 < confidence < 1:
        raise ValueError(f"expected at least 1 draw and a confidence between 0 and 1, not {draws} and {confidence}")
    successes = np.asarray(successes, dtype=np.float64)
    if ((successes < 0) | (successes > draws)).any():
        raise ValueError(f"successes lie between 0 and the number of draws, {draws}")
    some = np.maximum(successes, 1)
    return np.where(successes > 0, beta.ppf(1 - confidence, some, draws - some + 1), 0.0)


Side = Literal["below", "above", "open"]


def side(successes: int, draws: int, doubt: float) -> Side:
    """On which side of 1/2 a probability of success lies. It is said to lie on the wrong one with a chance of ``doubt`` at most."""
    if lower_bounds(np.array(successes), draws, 1 - doubt) > 0.5:
        return "above"
    return "below" if lower_bounds(np.array(draws - successes), draws, 1 - doubt) > 0.5 else "open"


def settled(held: Callable[[int], int], first: int, most: int, doubt: float) -> tuple[Side, int]:
    """On which side of 1/2 a probability lies, and after how many draws.

    ``held``: how often the event happens in so many more draws. It is looked at after ``first`` draws, then after twice as many,
    and so on, and after ``most`` at last. Each look has its share of the doubt.
    """
    looks = [min(first, most)]
    while looks[-1] < most:
        looks.append(min(2 * looks[-1], most))
    found, done = 0, 0
    for number in looks:
        found += held(number - done)
        done = number
        which = side(found, done, doubt / len(looks))
        if which != "open":
            return which, done
    return "open", done


def radii(lower: np.ndarray) -> np.ndarray:
    """Certified radii in units of the noise's standard deviation; 0 where nothing is certified."""
    lower = np.asarray(lower, dtype=np.float64)
    return np.where(lower > 0.5, norm.ppf(np.maximum(lower, 0.5)), 0.0)


def fewest_successes(draws: int, confidence: float) -> int:
    """The smallest number of successes that certifies anything; ``draws + 1`` where none does."""
    enough = lower_bounds(np.arange(draws + 1), draws, confidence) > 0.5
    return int(enough.argmax()) if enough.any() else draws + 1
