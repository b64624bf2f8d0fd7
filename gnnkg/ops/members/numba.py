"""Searches on CPU; a task is a block of queries."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gnnkg.ops import cpu

BLOCK = 32  # queries in a task


def ranges(
    keys: Int[Tensor, " M"],
    starts: Int[Tensor, " X"],
    part: Int[Tensor, " B"],
    low: Int[Tensor, " B"],
    width: int,
) -> tuple[Int[Tensor, " B"], Int[Tensor, " B"]]:
    begin, end = torch.empty_like(low), torch.empty_like(low)
    given = keys.contiguous(), starts.contiguous(), part.contiguous(), low.contiguous()
    cpu.run(_ranges, -(-len(low) // BLOCK), 32 * len(low), *given, width, begin, end)
    return begin, end


def members(
    keys: Int[Tensor, " M"],
    begin: Int[Tensor, " B"],
    end: Int[Tensor, " B"],
    low: Int[Tensor, " B"],
    wanted: Int[Tensor, "S K"],
) -> Bool[Tensor, "B K"]:
    out = torch.empty(len(low), wanted.shape[1], dtype=torch.bool)
    given = keys.contiguous(), begin, end, low.contiguous(), wanted.contiguous()
    cpu.run(_members, -(-len(low) // BLOCK), 4 * out.numel(), *given, len(low) // len(wanted), out)
    return out


def others(
    keys: Int[Tensor, " M"],
    begin: Int[Tensor, " B"],
    end: Int[Tensor, " B"],
    low: Int[Tensor, " B"],
    own: Int[Tensor, " B"],
    uniform: Float[Tensor, "B P"],
) -> tuple[Int[Tensor, "B P"], Bool[Tensor, "B P"]]:
    found = torch.empty(uniform.shape, dtype=torch.int64)
    there = torch.empty(uniform.shape, dtype=torch.bool)
    given = keys.contiguous(), begin, end, low.contiguous(), own.contiguous(), uniform.contiguous()
    cpu.run(_others, -(-len(low) // BLOCK), 4 * found.numel(), *given, found, there)
    return found, there


@cpu.kernel
def _place(keys, begin, end, sought):
    """The first place in keys[begin:end] whose key is not below; no branch depends on a key, for it could not be foreseen."""
    number = end - begin
    while number > 0:
        half = (number + 1) // 2
        begin = begin + half if keys[begin + half - 1] < sought else begin
        number -= half
    return begin


@cpu.kernel
def _ranges(first, last, keys, starts, part, low, width, begin, end):
    for b in range(first * BLOCK, min(last * BLOCK, len(low))):
        begin[b] = end[b] = 0
        if 0 <= part[b] < len(starts) - 1:
            start, stop = starts[part[b]], starts[part[b] + 1]
            begin[b] = _place(keys, start, stop, low[b])
            end[b] = _place(keys, begin[b], stop, low[b] + width)


@cpu.kernel
def _members(first, last, keys, begin, end, low, wanted, group, out):
    for b in range(first * BLOCK, min(last * BLOCK, len(low))):
        row, result = wanted[b // group], out[b]
        if begin[b] == end[b]:
            result[:] = False
            continue
        for k in range(len(row)):
            place = _place(keys, begin[b], end[b], low[b] + row[k])
            result[k] = place < end[b] and keys[place] == low[b] + row[k]


def _others(first, last, keys, begin, end, low, own, uniform, found, there):
    number = uniform.shape[1]
    for b in range(first * BLOCK, min(last * BLOCK, len(low))):
        mine = _place(keys, begin[b], end[b], low[b] + own[b])
        held = mine < end[b] and keys[mine] == low[b] + own[b]
        count = end[b] - begin[b] - (1 if held else 0)
        for p in range(number):
            place = p
            if count > number:
                drawn = (np.float32(p) + uniform[b, p]) * np.float32(count) / np.float32(number)
                place = min(np.int64(drawn), count - 1)
            there[b, p] = place < count
            found[b, p] = own[b]
            if place < count:
                place += begin[b]
                found[b, p] = keys[place + 1 if held and place >= mine else place] - low[b]


_others = cpu.kernel(_others, set())  # the very numbers that torch finds: no division by a product with the inverse
