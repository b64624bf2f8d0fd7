"""``dot`` as matrix products, without mixes, and with masks that queries share."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.ops import backends, cpu
from gnnkg.ops.matching.reference import Mix, spread

MIN_QUERIES = 16
"""queries a mask from which dividing products among masks pays"""
BLOCK = 1 << 18
"""scores that are formed and differentiated together: what is found of them is used while caches hold it"""


def product(query: Float[Tensor, "B D"], tail: Float[Tensor, "S K D"]) -> Float[Tensor, "B K"]:
    """sum_d query_d * tail_d"""
    num_queries, (num_tables, num_candidates, width) = query.shape[0], tail.shape
    if num_tables == 1:
        return query @ tail[0].t()
    if num_candidates == 1 and num_tables == num_queries:  # a candidate a query: the matrix product is 8 times slower
        return own_product(query, tail[:, 0])
    if num_tables == num_queries:
        if backends.choose(query, tail) == "numba":
            return _OwnTables.apply(query, tail)
        return torch.bmm(query.unsqueeze(1), tail.transpose(1, 2)).squeeze(1)
    grouped = query.reshape(num_tables, num_queries // max(num_tables, 1), width)
    return torch.bmm(grouped, tail.transpose(1, 2)).reshape(num_queries, num_candidates)


def own_product(query: Float[Tensor, "B D"], own: Float[Tensor, "B D"]) -> Float[Tensor, "B 1"]:
    """That with a tail of each query's own."""
    return (query * own).sum(1, keepdim=True)


def behind_own(
    query: Float[Tensor, "B D"], leader: Float[Tensor, "B D"], tail: Float[Tensor, "S K D"]
) -> Float[Tensor, "B X"]:
    """(B, 1 + K): the products with candidates behind those with own tails."""
    if len(tail) == 1 and _serves(query, leader, tail):
        return _BehindOwn.apply(query, leader, tail[0])
    return torch.cat([own_product(query, leader), product(query, tail)], dim=1)


def divides(query: Tensor, tail: Tensor, mix: Mix, leader: Tensor | None) -> bool:
    """Whether ``divided`` serves: on CPU, in float32, one table for all queries, and few masks for many of them, zeros and ones
    without a gradient.
    """
    keep = mix.keep
    return (
        isinstance(keep, Tensor)
        and len(tail) == 1
        and keep.dim() == 2
        and len(keep) * MIN_QUERIES <= len(query)
        and _serves(query, mix.own, tail, keep, *([] if leader is None else [leader]))
        and not keep.requires_grad
        and binary(keep)
    )


def divided(
    query: Float[Tensor, "B D"], tail: Float[Tensor, "1 K D"], mix: Mix, leader: Float[Tensor, "B D"] | None
) -> tuple[Float[Tensor, "B X"], Float[Tensor, "B X"]]:
    """The products without and with masks that queries share, behind those with own tails where a ``leader`` is given."""
    assert isinstance(mix.keep, Tensor)
    leader = None if leader is None else leader.contiguous()  # here, where a second differentiation sees it
    return _Divided.apply(query.contiguous(), mix.own.contiguous(), tail[0], mix.keep.contiguous(), leader)


def binary(keep: Tensor) -> bool:
    """Whether it holds zeros and ones."""
    return bool((keep == keep.bool()).all())


def _serves(*given: Tensor) -> bool:
    alike = all(each.dtype == torch.float32 for each in given) and not torch.is_autocast_enabled("cpu")
    return alike and all(each.numel() for each in given) and backends.choose(*given) == "numba"


class _OwnTables(torch.autograd.Function):
    """Each query with a table of its own: (B, D) and (B, K, D) to (B, K).

    On CPU the gradients of ``torch.bmm``, which are the same, take several times as long for products with vectors. Differentiable
    any number of times.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, tail: Tensor) -> Tensor:
        ctx.save_for_backward(query, tail)
        return torch.bmm(query.unsqueeze(1), tail.transpose(1, 2)).squeeze(1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor):  # type: ignore[override]  # torch declares *args
        query, tail = ctx.saved_tensors
        alike = {query.dtype, tail.dtype, gradient.dtype} == {torch.float32}
        if ctx.needs_input_grad[1] and alike and not torch.is_grad_enabled():
            from gnnkg.ops.matching import numba_products

            return numba_products.backward(query, tail, gradient)
        d_query = d_tail = None  # to be differentiated again
        if ctx.needs_input_grad[0]:
            d_query = torch.bmm(gradient.to(tail.dtype).unsqueeze(1), tail).squeeze(1)
        if ctx.needs_input_grad[1]:
            d_tail = gradient.unsqueeze(2) * query.unsqueeze(1)
        return d_query, d_tail


class _BehindOwn(torch.autograd.Function):
    """(B, D), (B, D), (K, D) to (B, 1 + K), written once. Differentiable any number of times."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, own: Tensor, tail: Tensor) -> Tensor:
        ctx.save_for_backward(query, own, tail)
        out = cpu.empty(len(query), 1 + len(tail))
        torch.mm(query, tail.t(), out=out[:, 1:])
        out[:, :1] = own_product(query, own)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor):  # type: ignore[override]  # torch declares *args
        query, own, tail = ctx.saved_tensors
        of_own, of_tail = gradient[:, :1], gradient[:, 1:]
        for_query, for_own, for_tail = ctx.needs_input_grad
        return (
            torch.addcmul(of_tail @ tail, of_own, own) if for_query else None,
            of_own * query if for_own else None,
            of_tail.t() @ query if for_tail else None,
        )


class _Divided(torch.autograd.Function):
    """``dot`` without and with masks that queries share: (B, D), (B, D), (K, D), (G, D), perhaps own tails (B, D), to two (B, X).

    The components are divided into those that a mask keeps and the others, whose products are summed for the first: so both take
    the multiplications of one. Differentiable any number of times.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, own: Tensor, tail: Tensor, keep: Tensor, leader: Tensor | None):
        from gnnkg.ops.matching import numba_products

        ctx.save_for_backward(query, own, tail, keep, leader)
        ctx.divisions = divisions = _divisions(len(query), len(tail), keep)
        lead, columns = 0 if leader is None else 1, tail.t().contiguous()
        plain, kept = (cpu.empty(len(query), lead + len(tail)) for _ in range(2))
        for blocks, order, number in divisions:
            ordered = columns.index_select(0, order)
            for rows in blocks:
                part = query[rows].index_select(1, order)
                torch.mm(part[:, :number], ordered[:number], out=kept[rows, lead:])
                torch.mm(part[:, number:], ordered[number:], out=plain[rows, lead:])
        numba_products.join(plain, kept, query, own, keep, leader)
        return plain, kept

    @staticmethod
    def backward(ctx: Any, of_plain: Tensor, of_kept: Tensor):  # type: ignore[override]  # torch declares *args
        query, own, tail, keep, leader = ctx.saved_tensors
        of_leader: Any = None
        if leader is not None:
            of_leader = of_plain[:, :1] + of_kept[:, :1]
            of_plain, of_kept = of_plain[:, 1:], of_kept[:, 1:]
        if torch.is_grad_enabled():  # to be differentiated again
            mask = spread(keep, len(query))
            lost = (1 - mask) * of_kept.sum(1, keepdim=True)
            d_query, d_leader = of_plain @ tail + mask * (of_kept @ tail) + lost * own, None
            if leader is not None:
                d_query, d_leader = d_query + of_leader * leader, of_leader * query
            return d_query, lost * query, of_plain.t() @ query + of_kept.t() @ (mask * query), None, d_leader
        from gnnkg.ops.matching import numba_products

        columns = tail.t().contiguous()
        d_query, d_columns, of_lost = torch.empty_like(query), torch.zeros_like(columns), cpu.empty(len(query), 1)
        for blocks, order, number in ctx.divisions:
            ordered, d_ordered = columns.index_select(0, order), torch.zeros_like(columns)
            for rows in blocks:
                part, outer = query[rows].index_select(1, order), of_plain[rows]
                inner = numba_products.summed(outer, of_kept[rows], of_lost[rows])
                d_ordered[:number].addmm_(part[:, :number].t(), inner)
                d_ordered[number:].addmm_(part[:, number:].t(), outer)
                found = part.new_empty(part.shape[::-1])  # units as rows: products take less time
                torch.mm(ordered[:number], inner.t(), out=found[:number])
                torch.mm(ordered[number:], outer.t(), out=found[number:])
                numba_products.put_back(found, order, d_query[rows])
            d_columns.index_add_(0, order, d_ordered)
        d_own, d_leader = numba_products.of_own(query, own, keep, leader, of_lost, of_leader, d_query)
        return d_query, d_own, d_columns.t(), None, d_leader


def _divisions(num_queries: int, num_candidates: int, keep: Tensor) -> list[tuple[list[slice], Tensor, int]]:
    """Of each mask its queries, in blocks, the components in an order in which those that it keeps come first, and how many."""
    most = max(1, BLOCK // max(1, num_candidates))
    ends = [-(-group * num_queries // len(keep)) for group in range(len(keep) + 1)]
    orders = torch.from_numpy(np.argsort(-keep.numpy(), axis=1, kind="stable"))
    return [
        ([slice(at, min(at + most, last)) for at in range(first, last, most)], order, int(number))
        for (first, last), order, number in zip(pairwise(ends), orders, keep.sum(1).tolist(), strict=True)
    ]
