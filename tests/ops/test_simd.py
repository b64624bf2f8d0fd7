from __future__ import annotations

import numpy as np
import pytest

from gnnkg.ops.simd import (
    LANES,
    LINE,
    absolute,
    aligned,
    counted,
    entry,
    inlined,
    inverse_root,
    lanes_below,
    load,
    load_some,
    nearest,
    select,
    splat,
    store,
    store_some,
    strict,
    total,
    with_sign,
)

VALUES = np.array(
    [0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 1e-12, 1e-6, 3, -7, 1e6, 1e12, -1e20, np.inf, -np.inf], np.float32
)


@strict
def _aligned(rows):
    return aligned(rows)


@strict
def _absolute(table, out):
    store(out, 0, absolute(load(table, 0)))


@strict
def _nearest(table, out):
    store(out, 0, nearest(load(table, 0)))


@inlined
def _inside(vector):
    """As the kernels have it: in a part of theirs."""
    return inverse_root(vector)


@strict
def _inverse_root(table, out):
    store(out, 0, _inside(load(table, 0)))


@strict
def _signed(numbers, signs, out):
    store(out, 0, with_sign(load(numbers, 0), load(signs, 0)))


def _result(kernel, *rows: np.ndarray) -> np.ndarray:
    out = _aligned(1)
    kernel(*map(_lines, rows), out)
    return out[0]


def _lines(values: np.ndarray) -> np.ndarray:
    table = _aligned(1)
    table[0] = values
    return table


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_a_table_of_whole_lines(rows: int):
    tables = [_aligned(rows) for _ in range(5)]
    assert all(table.shape == (rows, LANES) and table.dtype == np.float32 for table in tables)
    assert all(table.ctypes.data % LINE == 0 for table in tables)


@pytest.mark.parametrize(("kernel", "plain"), [(_absolute, np.abs), (_nearest, np.rint)])
def test_functions_of_each_number(kernel, plain):
    np.testing.assert_array_equal(_result(kernel, VALUES), plain(VALUES))


def test_inverse_roots():
    values = np.geomspace(1e-12, 1e30, LANES).astype(np.float32)
    found = _result(_inverse_root, values)
    np.testing.assert_allclose(found, 1 / np.sqrt(values.astype(np.float64)), rtol=4e-7)


def test_signs():
    numbers = np.arange(-8, 8, dtype=np.float32)
    np.testing.assert_array_equal(_result(_signed, numbers, VALUES), numbers * np.nan_to_num(np.sign(VALUES)))
    assert np.isnan(_result(_signed, np.full(LANES, np.nan, np.float32), np.ones(LANES, np.float32))).all()


@strict
def _words(table, others, out):
    x, y = load(table, 0), load(others, 0)
    store(out, 0, x * y)
    store(out, 1, counted())
    store(out, 2, select(x < y, x, y))


def test_integers():
    x, y = np.random.default_rng(0).integers(2**32, size=(2, LANES), dtype=np.uint32)
    x[0] = y[0] = 2**32 - 1
    tables = [_lines(np.zeros(LANES)).view(np.int32) for _ in range(2)]
    for table, numbers in zip(tables, (x, y), strict=True):
        table[0] = numbers.view(np.int32)
    out = _aligned(3).view(np.int32)
    _words(*tables, out)
    np.testing.assert_array_equal(out[:2].view(np.uint32), [x * y, np.arange(LANES, dtype=np.uint32)])
    np.testing.assert_array_equal(out[2], np.minimum(x.view(np.int32), y.view(np.int32)))


def test_entries_of_a_matrix():
    @strict
    def each(matrix, row, column):
        out = aligned(1)
        store(out, 0, splat(entry(matrix, row, column)))
        return out

    matrix = np.arange(15, dtype=np.float32).reshape(3, 5)
    assert all((each(matrix, i, j) == matrix[i, j]).all() for i in range(3) for j in range(5))


@pytest.mark.parametrize("number", [0, 1, 7, 16, 40])
def test_some_columns_of_a_matrix(number: int):
    """Others are neither read nor written: the last row ends where the memory does."""

    @strict
    def doubled(matrix, row, column, number, out):
        lanes = lanes_below(number)
        found = load_some(matrix, row, column, lanes)
        store_some(out, row, column, lanes, found + found)
        return total(found)

    matrix = np.arange(1, 3 * 21 + 1, dtype=np.float32).reshape(3, 21)[:, 1:]  # strided
    for column in (0, 4, 20 - min(number, LANES)):
        some = slice(column, column + min(number, LANES))
        out, expected = np.zeros((3, 20), np.float32), np.zeros((3, 20), np.float32)
        expected[2, some] = 2 * matrix[2, some]
        assert doubled(matrix, 2, column, number, out) == matrix[2, some].sum()
        np.testing.assert_array_equal(out, expected)
