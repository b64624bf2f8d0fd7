"""The public matching ops: inputs are checked, a backend is chosen, and mixing is taken apart.

``dot`` is matrix products, except with masks that are drawn for each pair. The distances, and every op with such masks, go to the
backend that ``gnnkg.ops.backends`` names: the reference for float64 and under ``use_reference()``, else fused kernels that compute
and return float32 and have one derivative. The fused kernels take a mask that is a tensor as zeros and ones, and give it no
gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.ops import backends, cpu
from gnnkg.ops.matching import in_place, reference
from gnnkg.ops.matching.drawn import Drawn
from gnnkg.ops.matching.fused import Distance
from gnnkg.ops.matching.gathered import Gathered
from gnnkg.ops.matching.reference import Mix, spread

Op = Literal["dot", "l1", "squared", "modulus", "sine"]
Tail = Float[Tensor, "S K D"] | Gathered

MIN_QUERIES = 16
"""queries a mask from which dividing products among masks pays"""


def dot(query: Float[Tensor, "B D"], tail: Tail, mix: Mix | None = None) -> Float[Tensor, "B K"]:
    """sum_d query_d * tail_d"""
    _check(query, tail, mix)
    if isinstance(tail, Gathered) and not in_place.serves("dot", query, tail, mix, None):
        tail = tail.read()
    if mix is None:
        return in_place.match("dot", query, tail) if isinstance(tail, Gathered) else _product(query, tail)
    own, keep = mix
    if isinstance(keep, Drawn):
        return _fused("dot", query, tail, mix)
    keep = spread(keep, len(query))
    if keep.dim() == 2:
        return dot(query * keep, tail) + ((1 - keep) * query * own).sum(1, keepdim=True)
    assert isinstance(tail, Tensor)  # masks of candidates do not serve where rows stand
    return _product(query, tail * keep) + _product(query * own, 1 - keep)


def l1(query: Float[Tensor, "B D"], tail: Tail, mix: Mix | None = None) -> Float[Tensor, "B K"]:
    """sum_d |query_d - tail_d|"""
    return _fused("l1", query, tail, mix)


def squared(
    query: Float[Tensor, "B D"],
    tail: Tail,
    mix: Mix | None = None,
    scale: Float[Tensor, "B D"] | None = None,
) -> Float[Tensor, "B K"]:
    """sum_d (query_d - scale_d * tail_d)^2; scale is 1 where it is None."""
    return _fused("squared", query, tail, mix, scale)


def modulus(query: Float[Tensor, "B D"], tail: Tail, mix: Mix | None = None) -> Float[Tensor, "B K"]:
    """sum over complex components of |query - tail|; vectors are ``[re | im]``. The modulus is sqrt(re^2 + im^2 + 1e-12)."""
    _check_even(query)
    return _fused("modulus", query, tail, mix)


def sine(query: Float[Tensor, "B D"], tail: Tail, mix: Mix | None = None) -> Float[Tensor, "B K"]:
    """sum_d |sin((query_d - tail_d) / 2)|, angles in radians."""
    return _fused("sine", query, tail, mix)


def both(
    op: Op,
    query: Float[Tensor, "B D"],
    tail: Tail,
    mix: Mix,
    scale: Float[Tensor, "B D"] | None = None,
) -> tuple[Float[Tensor, "B K"], Float[Tensor, "B K"]]:
    """The op of this name without the mix, and with it: ``(l1(query, tail), l1(query, tail, mix))``.

    On CPU at little more than the cost of one: distances and masks of pairs in one pass, and products with tables that many queries
    share where they share masks too, (G, D) with G far below B. Where masks are of pairs, products have one derivative and float32
    as distances do, without the mix too; and of components that a mask takes out, and that are no number, a sum may not tell.

    Raises ValueError for a scale of another op than "squared".
    """
    if scale is not None and op != "squared":
        raise ValueError(f"{op} takes no scale")
    if op == "modulus":
        _check_even(query)
    keep = mix.keep
    if op != "dot" or isinstance(keep, Drawn):
        return _fused_both(op, query, tail, mix, scale)
    _check(query, tail, mix)
    if (
        isinstance(tail, Tensor)
        and len(tail) == 1
        and keep.dim() == 2
        and len(keep) * MIN_QUERIES <= len(query)
        and _divides(query, tail, mix, keep)
    ):
        return _Divided.apply(query, mix.own, tail[0], keep)
    return dot(query, tail), dot(query, tail, mix)


def _check_even(query: Tensor) -> None:
    if query.shape[-1] % 2:
        raise ValueError(f"complex vectors are [re | im], of an even width; this width is {query.shape[-1]}")


def _check(query: Tensor, tail: Tensor | Gathered, mix: Mix | None, scale: Tensor | None = None) -> None:
    if query.dim() != 2 or len(tail.shape) != 3 or query.shape[1] != tail.shape[2]:
        raise ValueError(
            f"expected queries (B, D) and candidates (S, K, D), not {tuple(query.shape)} and {tuple(tail.shape)}"
        )
    if query.shape[0] % max(tail.shape[0], 1) or (query.shape[0] and not tail.shape[0]):
        raise ValueError(f"{tail.shape[0]} tables cannot serve {query.shape[0]} queries: S must divide B")
    if scale is not None and scale.shape != query.shape:
        raise ValueError(f"expected a scale of the queries' shape {tuple(query.shape)}, not {tuple(scale.shape)}")
    if mix is None:
        return
    if isinstance(mix.keep, Drawn):
        if mix.own.shape != query.shape:
            raise ValueError(f"expected mix.own of shape {tuple(query.shape)}, not {tuple(mix.own.shape)}")
        if not 0 <= mix.keep.rate <= 1:
            raise ValueError(f"expected a probability as the rate of masks, not {mix.keep.rate}")
        return
    keep = mix.keep
    of_queries = keep.dim() == 2 and keep.shape[1] == query.shape[1] and min(len(query), 1) <= len(keep) <= len(query)
    if mix.own.shape != query.shape or not (of_queries or keep.shape == tail.shape):
        raise ValueError(
            f"expected mix.own of shape {tuple(query.shape)} and mix.keep of that shape, of fewer rows that queries share, or of "
            f"{tuple(tail.shape)}, not {tuple(mix.own.shape)} and {tuple(mix.keep.shape)}"
        )


def _product(query: Tensor, tail: Tensor) -> Tensor:
    """(B, D) and (S, K, D) to (B, K)."""
    num_queries, (num_tables, num_candidates, width) = query.shape[0], tail.shape
    if num_tables == 1:
        return query @ tail[0].t()
    if num_candidates == 1 and num_tables == num_queries:  # a candidate a query: the matrix product is 8 times slower
        return (query * tail[:, 0]).sum(1, keepdim=True)
    if num_tables == num_queries:
        if backends.choose(query, tail) == "numba":
            return _OwnProduct.apply(query, tail)
        return torch.bmm(query.unsqueeze(1), tail.transpose(1, 2)).squeeze(1)
    grouped = query.reshape(num_tables, num_queries // max(num_tables, 1), width)
    return torch.bmm(grouped, tail.transpose(1, 2)).reshape(num_queries, num_candidates)


class _OwnProduct(torch.autograd.Function):
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


class _Divided(torch.autograd.Function):
    """``dot`` without and with masks that queries share: (B, D), (B, D), (K, D), (G, D) to two (B, K).

    The components are divided into those that a mask keeps and the others, whose products are summed for the first: so both take
    the multiplications of one. Differentiable any number of times.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, own: Tensor, tail: Tensor, keep: Tensor):
        ctx.save_for_backward(query, own, tail, keep)
        plain, kept = cpu.empty(len(query), len(tail)), cpu.empty(len(query), len(tail))
        columns = tail.t().contiguous()
        for rows, order, number in _divisions(len(query), keep):
            part, ordered, out = query[rows].index_select(1, order), columns.index_select(0, order), kept[rows]
            torch.mm(part[:, :number], ordered[:number], out=out)
            torch.mm(part[:, number:], ordered[number:], out=plain[rows]).add_(out)
            out.add_((part[:, number:] * own[rows].index_select(1, order[number:])).sum(1, keepdim=True))
        return plain, kept

    @staticmethod
    def backward(ctx: Any, of_plain: Tensor, of_kept: Tensor):  # type: ignore[override]  # torch declares *args
        query, own, tail, keep = ctx.saved_tensors
        if torch.is_grad_enabled():  # to be differentiated again
            mask = spread(keep, len(query))
            lost = (1 - mask) * of_kept.sum(1, keepdim=True)
            d_query = of_plain @ tail + mask * (of_kept @ tail) + lost * own
            return d_query, lost * query, of_plain.t() @ query + of_kept.t() @ (mask * query), None
        columns, d_columns = tail.t().contiguous(), torch.zeros(tail.shape[1], len(tail))
        d_query, d_own = torch.empty_like(query), torch.zeros_like(own)
        for rows, order, number in _divisions(len(query), keep):
            part, ordered = query[rows].index_select(1, order), columns.index_select(0, order)
            outer = of_plain[rows]
            inner = outer + of_kept[rows]
            d_columns.index_add_(0, order[:number], part[:, :number].t() @ inner)
            d_columns.index_add_(0, order[number:], part[:, number:].t() @ outer)
            by_kept, by_other = inner @ ordered[:number].t(), outer @ ordered[number:].t()
            lost, others = of_kept[rows].sum(1, keepdim=True), order[number:]
            by_other.addcmul_(lost, own[rows].index_select(1, others))
            d_query[rows] = torch.cat([by_kept, by_other], 1).index_select(1, order.argsort())
            d_own[rows] = d_own[rows].index_copy(1, others, lost * part[:, number:])
        return d_query, d_own, d_columns.t(), None


def _divisions(num_queries: int, keep: Tensor) -> Iterator[tuple[slice, Tensor, int]]:
    """Queries that share a mask, the components in an order in which those that it keeps come first, and the number of these."""
    for group, row in enumerate(keep):
        first, last = (-(-each * num_queries // len(keep)) for each in (group, group + 1))
        yield slice(first, last), row.argsort(descending=True, stable=True), int(row.sum())


def _divides(query: Tensor, tail: Tensor, mix: Mix, keep: Tensor) -> bool:
    """Whether components can be divided: on CPU, in float32, by a mask of zeros and ones without a gradient."""
    return (
        backends.choose(query, tail, keep) == "numba"
        and {query.dtype, mix.own.dtype, tail.dtype, keep.dtype} == {torch.float32}
        and not (torch.is_autocast_enabled("cpu") or keep.requires_grad)
        and bool(((keep == 0) | (keep == 1)).all())
    )


def _fused(op: str, query: Tensor, tail: Tensor | Gathered, mix: Mix | None, scale: Tensor | None = None) -> Tensor:
    _check(query, tail, mix, scale)
    if isinstance(tail, Gathered):
        if in_place.serves(op, query, tail, mix, scale):
            return in_place.match(op, query, tail, scale, _of_rows(op, query, mix))
        tail = tail.read()
    backend = _backend(query, tail, mix, scale)
    if backend == "reference":
        plain = getattr(reference, op)
        return plain(query, tail, mix) if scale is None else plain(query, tail, mix, scale)
    return _apply(backend, op, query, tail, mix, scale)


def _fused_both(
    op: str, query: Tensor, tail: Tensor | Gathered, mix: Mix, scale: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    _check(query, tail, mix, scale)
    if isinstance(tail, Gathered):
        if in_place.serves(op, query, tail, mix, scale):
            return in_place.match(op, query, tail, scale, _of_rows(op, query, mix), both=True)
        tail = tail.read()
    backend = _backend(query, tail, mix, scale)
    if backend == "reference":
        return reference.both(op, query, tail, mix, scale)
    if backend == "triton":
        plain = _product(query, tail) if op == "dot" else _apply(backend, op, query, tail, None, scale)
        return plain, _apply(backend, op, query, tail, mix, scale)
    return _apply(backend, op, query, tail, mix, scale, both=True)


def _of_rows(op: str, query: Tensor, mix: Mix | None) -> Mix | None:
    """With a mask that is a tensor as a row of zeros and ones for each query."""
    if mix is None or isinstance(mix.keep, Drawn):
        return mix
    num_units = query.shape[1] // 2 if op == "modulus" else query.shape[1]
    keep = _mask(mix.keep.float(), num_units)
    return mix._replace(keep=spread(torch.cat([keep, keep], 1) if op == "modulus" else keep, len(query)))


def _backend(query: Tensor, tail: Tensor, mix: Mix | None, scale: Tensor | None) -> str:
    return backends.choose(query, tail, scale, *(x for x in mix or () if isinstance(x, Tensor)))


def _apply(
    backend: str, op: str, query: Tensor, tail: Tensor, mix: Mix | None, scale: Tensor | None, both: bool = False
) -> Any:
    """What a compiled backend gives: a tensor, or two for ``both``."""
    with torch.autocast(query.device.type, enabled=False):  # a sum of many small terms needs float32
        query, tail = query.float(), tail.float()
        if op == "squared":
            scale = torch.ones_like(query) if scale is None else scale.float()
        own, keep = (query, None) if mix is None else (mix.own.float(), mix.keep)
        if isinstance(keep, Drawn):
            fast = import_module(f"gnnkg.ops.matching.{backend}_drawn")
            return Distance.apply(fast, (op, keep), both, query, scale, tail, own)
        fast = import_module(f"gnnkg.ops.matching.{backend}")  # compilers are imported where they are needed
        num_units = query.shape[1] // 2 if op == "modulus" else query.shape[1]
        if keep is None:
            return Distance.apply(fast, (op,), False, query, scale, tail, None)
        keep = _mask(keep.float(), num_units)
        each = spread(keep, len(query))
        mutated = getattr(reference, f"{op}_units")(query, own if scale is None else scale * own)  # (B, U)
        fixed = ((1 - each) * mutated).sum(1, keepdim=True) if keep.dim() == 2 else _product(mutated, 1 - keep)
        keep = keep if backend == "numba" else each
        found = Distance.apply(fast, (op,), both, query, scale, tail, keep)
        return (found[0], found[1].add_(fixed)) if both else found.add_(fixed)


def _mask(keep: Tensor, num_units: int) -> Tensor:
    """One weight a unit; raises ValueError where the fused kernels cannot take the mask as one."""
    if keep.requires_grad:
        raise ValueError("mix.keep requires a gradient, which the fast matching ops do not give: use use_reference()")
    if keep.is_cpu and not torch.all((keep == 0) | (keep == 1)):  # on a GPU the look would stall the queue
        raise ValueError("mix.keep must hold zeros and ones; for a mask of fractions use use_reference()")
    if keep.shape[-1] == num_units:
        return keep
    re, im = keep.split(num_units, dim=-1)
    if keep.is_cpu and not torch.equal(re, im):
        raise ValueError("mix.keep must agree on the real and imaginary half of every complex number")
    return re
