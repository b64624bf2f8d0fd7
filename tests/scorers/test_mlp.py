from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from gnnkg.core import Vectors
from gnnkg.scorers import MLP


@pytest.mark.parametrize("reads_head", [True, False])
def test_is_a_network_on_the_joined_vector(reads_head: bool) -> None:
    scorer = MLP(4, 7, reads_head)
    head, relation, tail = torch.randn(3, 4), torch.randn(3, 4), torch.randn(3, 2, 4)
    first = torch.cat([scorer.of_query.weight, scorer.of_tail.weight], 1)
    joined = [head.unsqueeze(1).expand(-1, 2, -1)] if reads_head else []
    joined = torch.cat([*joined, relation.unsqueeze(1).expand(-1, 2, -1), tail], -1)
    expected = torch.relu(joined @ first.t() + scorer.of_query.bias) @ scorer.out.weight[0] + scorer.out.bias
    assert_close(scorer(Vectors(head, relation, tail)), expected)


def test_the_hidden_layer_has_a_width() -> None:
    with pytest.raises(ValueError, match="hidden_dim"):
        MLP(4, 0)
