from __future__ import annotations

import pytest

from gnnkg.ops.message.reference import AGGREGATES, MESSAGES
from tests.ops.message_cases import ODD, SHAPES, case, check_message, layouts

every_message = pytest.mark.parametrize("kind", MESSAGES)
every_aggregate = pytest.mark.parametrize("aggregate", AGGREGATES)


@every_message
@every_aggregate
def test_equals_the_definition(kind, aggregate):
    for shape in SHAPES + (ODD if kind != "rotate" else ()):
        for layout in layouts():
            check_message(kind, aggregate, case(shape, *layout))
