"""The public matching ops: inputs are checked, a backend is chosen, and mixing is taken apart.

``dot`` is matrix products, except with masks that are drawn for each pair. The distances, and every op with such masks, go to the
backend that ``gnnkg.ops.backends`` names: the reference for float64 and under ``use_reference()``, else fused kernels that compute
and return float32 and have one derivative. The fused kernels take a mask that is a tensor as zeros and ones, and give it no
gradient.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.ops import backends
from gnnkg.ops.matching import in_place, products, reference
from gnnkg.ops.matching.drawn import Drawn
from gnnkg.ops.matching.fused import Distance, Form
from gnnkg.ops.matching.gathered import Gathered
from gnnkg.ops.matching.own_first import OwnFirst, behind
from gnnkg.ops.matching.reference import Mix, spread

Op = Literal["dot", "l1", "squared", "modulus", "sine"]
Tail = Float[Tensor, "S K D"] | Gathered | OwnFirst
"""candidates: tables, rows that are not read yet, or either behind each query's own tail"""


def dot(query: Float[Tensor, "B D"], tail: Tail, mix: Mix | None = None) -> Float[Tensor, "B X"]:
    """sum_d query_d * tail_d"""
    if mix is not None and isinstance(mix.keep, Drawn):
        if mix.keep.biases:
            whole, biases = _without_biases(query, tail, mix)
            return dot(*whole) + biases
        return _fused("dot", query, tail, mix)
    leader, tail = _parted(query, tail)
    _check(query, tail, mix)
    if isinstance(tail, Gathered) and not in_place.serves("dot", query, tail, mix, None):
        tail = tail.read()
    if mix is None and isinstance(tail, Tensor):
        return products.product(query, tail) if leader is None else products.behind_own(query, leader, tail)
    found = _rows_or_mixed(query, tail, mix)
    return found if leader is None else torch.cat([products.own_product(query, leader), found], dim=1)


def _rows_or_mixed(query: Tensor, tail: Tensor | Gathered, mix: Mix | None) -> Tensor:
    """Products with rows where they stand, or with mutated candidates."""
    if mix is None:
        assert isinstance(tail, Gathered)
        return in_place.match("dot", query, tail)
    own, keep = mix
    assert isinstance(keep, Tensor)
    keep = spread(keep, len(query))
    if keep.dim() == 2:
        return dot(query * keep, tail) + ((1 - keep) * query * own).sum(1, keepdim=True)
    assert isinstance(tail, Tensor)  # masks of candidates do not serve where rows stand
    return products.product(query, tail * keep) + products.product(query * own, 1 - keep)


def l1(
    query: Float[Tensor, "B D"], tail: Tail, mix: Mix | None = None, margin: float | None = None
) -> Float[Tensor, "B X"]:
    """sum_d |query_d - tail_d|; margin - the sum where a margin is given, as in each of the distances."""
    return _fused("l1", query, tail, mix, margin=margin)


def squared(
    query: Float[Tensor, "B D"],
    tail: Tail,
    mix: Mix | None = None,
    scale: Float[Tensor, "B D"] | None = None,
    margin: float | None = None,
) -> Float[Tensor, "B X"]:
    """sum_d (query_d - scale_d * tail_d)^2; scale is 1 where it is None."""
    return _fused("squared", query, tail, mix, scale, margin)


def modulus(
    query: Float[Tensor, "B D"], tail: Tail, mix: Mix | None = None, margin: float | None = None
) -> Float[Tensor, "B X"]:
    """sum over complex components of |query - tail|; vectors are ``[re | im]``. The modulus is sqrt(re^2 + im^2 + 1e-12)."""
    _check_even(query)
    return _fused("modulus", query, tail, mix, margin=margin)


def sine(
    query: Float[Tensor, "B D"], tail: Tail, mix: Mix | None = None, margin: float | None = None
) -> Float[Tensor, "B X"]:
    """sum_d |sin((query_d - tail_d) / 2)|, angles in radians."""
    return _fused("sine", query, tail, mix, margin=margin)


def both(
    op: Op,
    query: Float[Tensor, "B D"],
    tail: Tail,
    mix: Mix,
    scale: Float[Tensor, "B D"] | None = None,
    margin: float | None = None,
) -> tuple[Float[Tensor, "B X"], Float[Tensor, "B X"]]:
    """The op of this name without the mix, and with it: ``(l1(query, tail), l1(query, tail, mix))``.

    On CPU at little more than the cost of one: distances and masks of pairs in one pass, and products with tables that many queries
    share where they share masks too, (G, D) with G far below B. Where masks are of pairs, products have one derivative and float32
    as distances do, without the mix too; and of components that a mask takes out, and that are no number, a sum may not tell.

    Raises ValueError for a scale of another op than "squared", and for a margin of products.
    """
    if scale is not None and op != "squared":
        raise ValueError(f"{op} takes no scale")
    if margin is not None and op == "dot":
        raise ValueError("dot takes no margin")
    if op == "modulus":
        _check_even(query)
    if op == "dot" and isinstance(mix.keep, Drawn) and mix.keep.biases:
        whole, biases = _without_biases(query, tail, mix)
        plain, mutated = both(op, *whole)
        return plain + biases, mutated + biases
    if op != "dot" or isinstance(mix.keep, Drawn):
        return _fused(op, query, tail, mix, scale, margin, both=True)
    leader, tail = _parted(query, tail)
    _check(query, tail, mix)
    if isinstance(tail, Tensor) and products.divides(query, tail, mix, leader):
        return products.divided(query, tail, mix, leader)
    found = [dot(query, tail), dot(query, tail, mix)]
    plain, mutated = found if leader is None else behind(products.own_product(query, leader), found)
    return plain, mutated


def _without_biases(query: Tensor, tail: Tail, mix: Mix) -> tuple[tuple[Tensor, Tail, Mix], Float[Tensor, "B X"]]:
    """What has masks, and the products of the last components, which have none."""
    assert isinstance(mix.keep, Drawn)
    width = query.shape[1] - mix.keep.biases
    leader, rest = _parted(query, tail)
    rest = rest.read() if isinstance(rest, Gathered) else rest

    def some(part: slice) -> Tail:
        return rest[..., part] if leader is None else OwnFirst(leader[:, part], rest[..., part])

    first, last = slice(width), slice(width, None)
    masked = Mix(mix.own[:, first], mix.keep._replace(biases=0))
    return (query[:, first], some(first), masked), dot(query[:, last], some(last))


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
        if mix.keep.biases:
            raise ValueError("products have biases that masks leave alone, and distances have none")
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


def _fused(
    op: str,
    query: Tensor,
    tail: Tail,
    mix: Mix | None,
    scale: Tensor | None = None,
    margin: float | None = None,
    both: bool = False,
) -> Any:
    """The sums of any backend: a tensor, or two for ``both``."""
    leader, rest = _parted(query, tail)
    _check(query, rest, mix, scale)
    if isinstance(rest, Gathered):
        if in_place.serves(op, query, rest, mix, scale):
            found = in_place.match(op, query, rest, scale, _of_rows(op, query, mix), both)
            return _finished(op, query, [*found] if both else [found], leader, scale, margin)
        rest = rest.read()
    given = [query, rest, scale, leader, *(x for x in mix or () if isinstance(x, Tensor))]
    backend = backends.choose(*given) if query.numel() and rest.numel() else "reference"
    if backend == "reference":
        candidates = rest if leader is None else OwnFirst(leader, rest)
        if both and mix is not None:
            return reference.both(op, query, candidates, mix, scale, margin)
        return reference.one(op, query, candidates, mix, scale, margin)
    if backend == "numba" and (mix is None or isinstance(mix.keep, Drawn) or mix.keep.dim() == 2):
        return _in_one_kernel(op, query, rest, mix, scale, margin, both, leader)
    if backend == "triton" and both:
        bare = products.product(query, rest) if op == "dot" else _apply(backend, op, query, rest, None, scale)
        found = [bare, _apply(backend, op, query, rest, mix, scale)]
    else:
        found = _apply(backend, op, query, rest, mix, scale, both)
        found = [*found] if both else [found]
    return _finished(op, query, found, leader, scale, margin)


def _finished(
    op: str,
    query: Tensor,
    sums: list[Tensor],
    leader: Tensor | None,
    scale: Tensor | None,
    margin: float | None,
) -> Any:
    """One sum or two, taken from the margin and put behind those of own tails, where the backend does neither."""
    if margin is not None:
        sums = [margin - sums.pop(0) for _ in range(len(sums))]
    if leader is not None:
        if op == "dot":
            own = products.own_product(query, leader)
        else:
            own = _fused(op, query, leader.unsqueeze(1), None, scale, margin)
        sums = behind(own, sums)
    return sums[0] if len(sums) == 1 else tuple(sums)


def _parted(query: Tensor, tail: Tail) -> tuple[Tensor | None, Tensor | Gathered]:
    """The own tails that come first, if any do, and the candidates."""
    if not isinstance(tail, OwnFirst):
        return None, tail
    if tail.own.shape != query.shape:
        raise ValueError(f"expected own tails of the queries' shape {tuple(query.shape)}, not {tuple(tail.own.shape)}")
    return tail.own, tail.rest


def _of_rows(op: str, query: Tensor, mix: Mix | None) -> Mix | None:
    """With a mask that is a tensor as a row of zeros and ones for each query."""
    if mix is None or isinstance(mix.keep, Drawn):
        return mix
    keep = _mask(mix.keep.float(), _num_units(op, query))
    return mix._replace(keep=spread(torch.cat([keep, keep], 1) if op == "modulus" else keep, len(query)))


def _in_one_kernel(
    op: str,
    query: Tensor,
    tail: Tensor,
    mix: Mix | None,
    scale: Tensor | None,
    margin: float | None,
    both: bool,
    leader: Tensor | None,
) -> Any:
    """What Numba's kernels do the whole of, with own tails that come first, the margin, and what masks of queries take out."""
    from gnnkg.ops.matching import numba, numba_drawn  # compilers are imported where they are needed

    with torch.autocast(query.device.type, enabled=False):  # a sum of many small terms needs float32
        scale = torch.ones_like(query) if op == "squared" and scale is None else scale
        options = Form(both, margin)
        if mix is None:
            return _differentiable(numba, (op, options), *_floats(query, scale, tail, None, None, leader))
        if isinstance(mix.keep, Drawn):
            inputs = _floats(query, scale, tail, mix.own, leader)
            return _differentiable(numba_drawn, (op, mix.keep, options), *inputs)
        keep = _mask(mix.keep.float(), _num_units(op, query))
        return _differentiable(numba, (op, options), *_floats(query, scale, tail, keep, mix.own, leader))


def _floats(*inputs: Tensor | None) -> list[Tensor | None]:
    return [None if x is None else x.float() for x in inputs]


def _apply(
    backend: str, op: str, query: Tensor, tail: Tensor, mix: Mix | None, scale: Tensor | None, both: bool = False
) -> Any:
    """What a compiled backend gives for the candidates alone: a tensor, or two for ``both``."""
    with torch.autocast(query.device.type, enabled=False):
        query, tail = query.float(), tail.float()
        if op == "squared":
            scale = torch.ones_like(query) if scale is None else scale.float()
        own, keep = (query, None) if mix is None else (mix.own.float(), mix.keep)
        if isinstance(keep, Drawn):
            from gnnkg.ops.matching import triton_drawn  # Numba's do this in one kernel

            return _differentiable(triton_drawn, (op, keep), query, scale, tail, own)
        fast = import_module(f"gnnkg.ops.matching.{backend}")
        if keep is None:
            return _differentiable(fast, (op,), query, scale, tail, None)
        keep = spread(_mask(keep.float(), _num_units(op, query)), len(query))
        mutated = getattr(reference, f"{op}_units")(query, own if scale is None else scale * own)  # (B, U)
        fixed = ((1 - keep) * mutated).sum(1, keepdim=True) if keep.dim() == 2 else products.product(mutated, 1 - keep)
        if backend == "triton":
            return _differentiable(fast, (op,), query, scale, tail, keep).add_(fixed)
        found = _differentiable(fast, (op, Form(both)), query, scale, tail, keep, None, None)
        return (found[0], found[1].add_(fixed)) if both else found.add_(fixed)


def _differentiable(backend: Any, options: tuple[Any, ...], *inputs: Tensor | None) -> Any:
    """Inputs are made contiguous here, where a second differentiation sees it."""
    return Distance.apply(backend, options, *(None if x is None else x.contiguous() for x in inputs))


def _num_units(op: str, query: Tensor) -> int:
    return query.shape[1] // 2 if op == "modulus" else query.shape[1]


def _mask(keep: Tensor, num_units: int) -> Tensor:
    """One weight a unit; raises ValueError where the fused kernels cannot take the mask as one."""
    if keep.requires_grad:
        raise ValueError("mix.keep requires a gradient, which the fast matching ops do not give: use use_reference()")
    if keep.is_cpu and not products.binary(keep):  # on a GPU the look would stall the queue
        raise ValueError("mix.keep must hold zeros and ones; for a mask of fractions use use_reference()")
    if keep.shape[-1] == num_units:
        return keep
    re, im = keep.split(num_units, dim=-1)
    if keep.is_cpu and not torch.equal(re, im):
        raise ValueError("mix.keep must agree on the real and imaginary half of every complex number")
    return re
