"""What the kernels of message passing share: how they read tiles, and the messages and their derivatives.

Tiles are (edges, units), indexed by e and u. A unit is a column of the (B D) that a node's states have side by side; rotate's
is a complex number, two planes a and b, ``span`` columns apart.
"""

from __future__ import annotations

from typing import no_type_check

import triton
import triton.language as tl

MUL, ADD, ROTATE = (tl.constexpr(message) for message in range(3))
SUM, MEAN, MAX, MIN, PNA = (tl.constexpr(aggregate) for aggregate in range(5))
ITSELF = tl.constexpr(-1)  # the place of a node's boundary: before all edges
NOTHING = tl.constexpr(2**31 - 1)  # the place of no message: after all edges


@triton.jit
@no_type_check
def phi(message: tl.constexpr, a, b, c, d):
    first, second = a, b
    if message == MUL:
        first = a * c
    elif message == ADD:
        first = a + c
    else:
        first, second = a * c - b * d, a * d + b * c
    return first, second


@triton.jit
@no_type_check
def pulled(message: tl.constexpr, a, b, c, d):
    """The gradient of one factor of phi, where phi's is a and b, the other factor c and d. All phi commute."""
    first, second = a, b
    if message == MUL:
        first = a * c
    elif message == ROTATE:
        first, second = a * c + b * d, b * c - a * d
    return first, second


@triton.jit
@no_type_check
def columns(message: tl.constexpr, shared: tl.constexpr, u, span):
    """Where plane a of a unit stands in a row."""
    column = u
    if shared:
        column = u % span
    elif message == ROTATE:
        column = u + u // span * span
    return column


@triton.jit
@no_type_check
def out_columns(message: tl.constexpr, aggregate: tl.constexpr, u, span):
    """The same for a row of out, and its number of columns a state."""
    column = columns(message, False, u, span)
    dim = span
    if message == ROTATE:
        dim = span * 2
    if aggregate == PNA:
        column = u // span * (4 * dim) + u % span
    return column, dim


@triton.jit
@no_type_check
def load(message: tl.constexpr, table, row, width, column, span, inside):
    """Both planes of table[row, column] as an (edges, units) tile, 0 outside."""
    place = table + row[:, None] * width + column[None, :]
    a = tl.load(place, mask=inside, other=0.0).to(tl.float32)
    b = a
    if message == ROTATE:
        b = tl.load(place + span, mask=inside, other=0.0).to(tl.float32)
    return a, b


@triton.jit
@no_type_check
def weigh(weight, e, in_e):
    """The weights of edges and which of them are there."""
    w = tl.where(in_e, 1.0, 0.0)
    if weight is not None:
        w = tl.load(weight + e, mask=in_e, other=0.0)
    return w, w != 0
