from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from gnnkg.ops import cpu
from gnnkg.ops.backends import use_reference
from gnnkg.ops.rows import dispatch, reference, rows, several

SHAPES = [((7,), 5, 3), ((4, 130), 9, 17), ((2, 3, 4), 300, 1), ((1000,), 1, 16)]  # ids, rows, width


@pytest.fixture(autouse=True)
def kernels_at_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "MUCH", 0)


def values(function, ids: Tensor, num_rows: int, width: int) -> list[Tensor]:
    """The rows, their gradient, and the gradient of that."""
    draw = torch.Generator().manual_seed(1)
    table = torch.randn(num_rows, width, generator=draw).requires_grad_()
    out = function(ids, table)
    upstream = torch.randn(out.shape, generator=draw).requires_grad_()
    (first,) = torch.autograd.grad(out, table, upstream, create_graph=True)
    (second,) = torch.autograd.grad(first.sin().sum(), upstream)
    return [out, first, second]


@pytest.mark.parametrize(("shape", "num_rows", "width"), SHAPES)
def test_equals_the_definition(shape: tuple[int, ...], num_rows: int, width: int) -> None:
    ids = torch.randint(num_rows, shape)
    ours, theirs = (values(function, ids, num_rows, width) for function in (rows, reference.rows))
    assert torch.equal(ours[0], theirs[0])
    assert_close(ours[1:], theirs[1:])


def test_several_have_one_gradient() -> None:
    """As each by itself, to the second derivative, also where some are empty or go unused."""
    table = torch.randn(30, 5, requires_grad=True)
    ids = [torch.randint(30, shape) for shape in ((4,), (3, 50), (0,), (6,))]
    weights = [torch.randn(*each.shape, 5, requires_grad=True) for each in ids]

    def found(read: list[Tensor], used: tuple[int, ...]) -> list[Tensor]:
        loss = sum((read[number] * weights[number]).sum() for number in used)
        (first,) = torch.autograd.grad(loss, table, create_graph=True)
        second = torch.autograd.grad(first.sin().sum(), [weights[number] for number in used])
        return [*read, first, *second]

    for used in ((0, 1, 2, 3), (0, 3), (1,), (2,)):
        expected = found([table[each] for each in ids], used)
        assert_close(found(list(several(table, *ids)), used), expected)
    with pytest.raises(IndexError, match="there is 30"):
        several(table, ids[0], torch.tensor([30]))


def test_nothing_to_read() -> None:
    table = torch.randn(4, 2, requires_grad=True)
    out = rows(torch.empty(0, 3, dtype=torch.int64), table)
    assert out.shape == (0, 3, 2)
    assert not torch.autograd.grad(out.sum(), table)[0].any()


def test_any_memory_layout() -> None:
    ids, table = torch.randint(6, (5, 8)).t(), torch.randn(4, 6).t()
    assert torch.equal(rows(ids, table), table[ids])
    table.requires_grad_()
    gradient = torch.randn(4, 8, 5).permute(1, 2, 0)
    ours, theirs = (torch.autograd.grad(read(ids, table), table, gradient) for read in (rows, reference.rows))
    assert_close(ours, theirs)
    assert_close(torch.autograd.grad(rows(ids, table).sum(), table)[0].sum(), torch.tensor(160.0))


def test_the_number_of_threads_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = torch.randint(500, (4000,))

    def read(ids: Tensor, table: Tensor) -> Tensor:
        return torch.cat(several(table, ids, ids[::3]))

    for function in (rows, read):
        monkeypatch.setattr(cpu, "WORK_PER_THREAD", 400_000)
        one = values(function, ids, 500, 8)
        monkeypatch.setattr(cpu, "WORK_PER_THREAD", 1)
        assert all(torch.equal(a, b) for a, b in zip(one, values(function, ids, 500, 8), strict=True))


def test_other_types_are_read_by_the_definition() -> None:
    ids = torch.tensor([2, 0])
    for dtype in (torch.float64, torch.bfloat16):
        table = torch.randn(3, 4).to(dtype).requires_grad_()
        out = rows(ids, table)
        assert out.dtype == dtype
        assert type(out.grad_fn).__name__ == "EmbeddingBackward0"
    with use_reference():
        assert type(rows(ids, torch.randn(3, 4, requires_grad=True)).grad_fn).__name__ == "EmbeddingBackward0"


@pytest.mark.parametrize("wrong", [-1, 3])
def test_ids_of_no_row(wrong: int) -> None:
    with pytest.raises(IndexError, match=rf"\[0, 3\), but there is {wrong}"):
        rows(torch.tensor([0, wrong, 2]), torch.randn(3, 4))
