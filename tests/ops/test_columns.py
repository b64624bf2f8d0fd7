from __future__ import annotations

import pytest
import torch

from gnnkg.ops.columns import columns_of


@pytest.mark.parametrize("chosen", [[0, 1, 2], [0, 2], [1, 2, 3], [3], [0], [0, 1, 2, 3], []])
def test_they_are_those_of_the_matrix(chosen: list[int]) -> None:
    matrix, columns = torch.rand(5, 4), torch.tensor(chosen, dtype=torch.int64)
    found = columns_of(matrix, columns)
    assert torch.equal(found, matrix[:, columns])
    assert (found.untyped_storage().data_ptr() == matrix.untyped_storage().data_ptr()) == (
        chosen == list(range(len(chosen))) != []
    )
