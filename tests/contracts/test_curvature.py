"""What a scorer says of its scores as functions of the head's vector, on which certificates rest."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.testing import assert_close

from gnnkg.core import Scorer
from tests.contracts import discovered

shaped = [make for make in discovered.scorers if make.values[0]().curvature is not None]


def test_scorers_were_found() -> None:
    assert len(shaped) >= 5


@pytest.mark.parametrize("make", shaped)
@torch.no_grad()
def test_curvature_is_what_the_scorer_says(make: Callable[[], Scorer]) -> None:
    """Between two heads, a score lies on the chord where it is affine, and not below where it is concave; queries lie on it."""
    scorer = make().double().eval()
    space, draw = scorer.space, torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 8, space.entity_dim, generator=draw, dtype=torch.float64)
    relation = torch.randn(1, space.relation_dim, generator=draw, dtype=torch.float64).expand(8, -1)
    tail = torch.randn(1, 20, space.entity_dim, generator=draw, dtype=torch.float64)
    queries = [scorer.query(head, relation) for head in (first, second, 0.3 * first + 0.7 * second)]
    assert_close(queries[2], 0.3 * queries[0] + 0.7 * queries[1])
    one, other, between = (scorer.match(query, tail) for query in queries)
    above = between - (0.3 * one + 0.7 * other)
    assert float(above.min()) > -1e-9
    assert (float(above.max()) > 1e-3) is (scorer.curvature == "concave")
