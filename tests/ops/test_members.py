from __future__ import annotations

from inspect import unwrap  # from the shape checks of the tests, which refuse these inputs first

import pytest
import torch
from torch import Tensor

from gnnkg.ops import cpu
from gnnkg.ops.members import members, others, ranges, reference

WIDTH, PARTS = 50, 7
QUERIES = [(1, 1), (60, 1), (60, 12), (60, 60)]


def inputs(queries: int, num_keys: int = 200) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Keys, where each of seven parts of three rows begins, and the part and the least key of some queries."""
    keys = torch.randint(3 * PARTS * WIDTH, (num_keys,)).unique()
    starts = torch.searchsorted(keys, 3 * WIDTH * torch.arange(PARTS + 1))
    row = torch.randint(3 * PARTS, (queries,))
    return keys, starts, row // 3, row * WIDTH


@pytest.mark.parametrize("num_keys", [0, 1, 200, 900])
def test_ranges_equal_the_definition(num_keys: int) -> None:
    keys, starts, part, low = inputs(60, num_keys)
    begin, end = ranges(keys, starts, part, low, WIDTH)
    for found, expected in zip((begin, end), reference.ranges(keys, low, WIDTH), strict=True):
        assert torch.equal(found, expected)
    for b in range(60):
        inside = (keys >= low[b]) & (keys < low[b] + WIDTH)
        assert torch.equal(keys[begin[b] : end[b]], keys[inside])


@pytest.mark.parametrize("num_keys", [0, 1, 200, 900])
@pytest.mark.parametrize(("queries", "tables"), QUERIES)
def test_members_equal_the_definition(queries: int, tables: int, num_keys: int) -> None:
    keys, starts, part, low = inputs(queries, num_keys)
    wanted = torch.randint(WIDTH, (tables, 30))
    found = members(keys, starts, part, low, WIDTH, wanted)
    assert torch.equal(found, reference.members(keys, low, wanted))
    each = wanted.repeat_interleave(queries // tables, 0)
    assert torch.equal(found, torch.isin(low.unsqueeze(1) + each, keys))


def test_nothing_is_asked() -> None:
    keys, starts, part, low = inputs(6)
    assert members(keys, starts, part, low, WIDTH, torch.empty(2, 0, dtype=torch.int64)).shape == (6, 0)
    none = low[:0]
    assert members(keys, starts, none, none, WIDTH, torch.empty(0, 4, dtype=torch.int64)).shape == (0, 4)
    assert all(not len(each) for each in ranges(keys, starts, none, none, WIDTH))


def test_any_layout_and_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    keys, starts, part, low = inputs(64)
    wanted = torch.randint(WIDTH, (64, 30))
    expected = members(keys, starts, part, low, WIDTH, wanted)
    monkeypatch.setattr(cpu, "WORK_PER_THREAD", 1)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert torch.equal(members(keys, starts, part, low, WIDTH, wanted.t().contiguous().t()), expected)
    finally:
        torch.set_num_threads(threads)


def test_a_part_that_is_not_there_has_no_keys() -> None:
    keys, starts, _, low = inputs(4)
    part = torch.tensor([-1, PARTS, 10**9, -(10**9)])
    begin, end = ranges(keys, starts, part, low, WIDTH)
    assert torch.equal(begin, end)
    assert not members(keys, starts, part, low, WIDTH, torch.arange(WIDTH).unsqueeze(0)).any()


def test_what_does_not_fit_is_refused() -> None:
    keys, starts, part, low = inputs(6)
    for tables in (4, 7, 12, 0):
        with pytest.raises(ValueError, match="tables that divide them"):
            members(keys, starts, part, low, WIDTH, torch.zeros(tables, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match="a part for each query"):
        unwrap(ranges)(keys, starts, part[:2], low, WIDTH)
    with pytest.raises(ValueError, match="a part for each query"):
        unwrap(members)(keys, starts, part[:2], low, WIDTH, torch.zeros(1, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match="an own number"):
        unwrap(others)(keys, starts, part, low, WIDTH, low[:2], torch.rand(6, 3))


@pytest.mark.parametrize("num_keys", [0, 1, 200, 900])
@pytest.mark.parametrize("places", [0, 1, 4, 60])
def test_others_equal_the_definition(num_keys: int, places: int) -> None:
    keys, starts, part, low = inputs(60, num_keys)
    own, uniform = torch.randint(WIDTH, (60,)), torch.rand(60, places)
    found, there = others(keys, starts, part, low, WIDTH, own, uniform)
    for ours, theirs in zip((found, there), reference.others(keys, low, WIDTH, own, uniform), strict=True):
        assert torch.equal(ours, theirs)
    for b in range(60):
        row = [int(key - low[b]) for key in keys if low[b] <= key < low[b] + WIDTH and key != low[b] + own[b]]
        mine = found[b][there[b]].tolist()
        assert len(mine) == min(len(row), places)
        assert mine == row if len(row) <= places else set(mine) <= set(row)
        assert (found[b][~there[b]] == own[b]).all()
        if len(row) > places > 0:  # one from each of equal parts
            assert [row.index(each) * places // len(row) for each in mine] == pytest.approx(range(places), abs=1)


def test_others_at_the_ends_of_the_parts() -> None:
    """The greatest number below 1 stays inside, in rows of every length."""
    for length in range(1, WIDTH):
        keys, starts = torch.arange(length), torch.tensor([0, length])
        none = torch.zeros(1, dtype=torch.int64)
        uniform = torch.full((1, 3), 1 - 2**-24)
        found, there = others(keys, starts, none, none, WIDTH, none, uniform)
        assert torch.equal(found, reference.others(keys, none, WIDTH, none, uniform)[0])
        assert there.sum() == min(3, length - 1)
        assert 0 not in found[there]
