from __future__ import annotations

import pytest

from gnnkg.lab.report import confidence


def test_the_interval_is_that_of_students_t():
    # mean 2, standard deviation 1, t of 0.975 with 2 degrees of freedom is 4.3027
    assert confidence([1.0, 2.0, 3.0]) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5), abs=1e-5)


def test_one_seed_has_no_interval():
    assert confidence([0.4]) is None
