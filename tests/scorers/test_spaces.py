"""What every scorer refuses."""

from __future__ import annotations

import pytest

from gnnkg import scorers


@pytest.mark.parametrize("name", scorers.__all__)
def test_a_width_below_one_is_refused(name):
    with pytest.raises(ValueError, match="at least 1"):
        getattr(scorers, name)(dim=0)
