"""The definition of the matching ops, in torch. Slow and plain; differentiable any number of times.

``query`` is (B, D), ``tail`` (S, K, D) with S dividing B: table s serves queries s*B/S .. (s+1)*B/S - 1. All ops return (B, K), and
(B, 1 + K) where each query's own tail comes first (``OwnFirst``).

With a ``Mix``, candidate k of query b is not its own vector n but the mutated

    m * n + (1 - m) * p,    p = mix.own[b],  m = mix.keep: (B, D) one mask a query, (G, D) one for B / G queries that follow
                            each other, (S, K, D) one mask a candidate, or ``Drawn``: one mask for each pair of a query and
                            a candidate.

Every op is a sum over units, sum_u phi(q_u, t_u), so for a mask of zeros and ones this equals
sum_u m_u phi(q_u, n_u) + (1 - m_u) phi(q_u, p_u), which is what the fast backends compute: the mutated candidates, (B, K, D),
are never stored. A unit is one stored real; for ``modulus`` it is a complex number, and a mask that is a tensor must agree on
its halves. Masks that are drawn (``drawn.py``) need no such form: the fast backends mutate and draw as they sum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from gnnkg.ops.matching.drawn import Drawn, masks
from gnnkg.ops.matching.own_first import OwnFirst


class Mix(NamedTuple):
    """Mutation of the candidates towards each query's own tail (EMU, arXiv 2504.03327), with zeros and ones as mask."""

    own: Float[Tensor, "B D"]
    keep: Float[Tensor, "G D"] | Float[Tensor, "S K D"] | Drawn
    """1: the component stays the candidate's; 0: it is the own tail's. Query b takes row b * G // B"""

    def halves(self) -> tuple[Mix, Mix]:
        """The mixes of the two halves of the vectors."""
        keep = self.keep.halves() if isinstance(self.keep, Drawn) else self.keep.chunk(2, -1)
        first, second = self.own.chunk(2, -1)
        return Mix(first, keep[0]), Mix(second, keep[1])


def spread(keep: Tensor, num_queries: int) -> Tensor:
    """A mask that is a tensor, with a row for each query where queries share rows: (G, D) to (B, D).

    Raises ValueError where it has more rows than there are queries, or none.
    """
    if keep.dim() == 2 and not min(num_queries, 1) <= len(keep) <= num_queries:
        raise ValueError(f"{len(keep)} masks cannot serve {num_queries} queries")
    if keep.dim() == 3 or len(keep) == num_queries:
        return keep
    return keep[torch.arange(num_queries, device=keep.device) * len(keep) // num_queries]


def mutated(tail: Float[Tensor, "S K D"], mix: Mix) -> Float[Tensor, "S G K D"]:
    """The candidates of each query, stored: G = B / S queries a table."""
    own, keep = mix
    grouped = (len(tail), len(own) // max(len(tail), 1), 1, tail.shape[2])
    if isinstance(keep, Drawn):
        keep = masks(keep, len(own), *tail.shape[1:], device=tail.device).to(tail.dtype)
        keep = keep.reshape(*grouped[:2], *tail.shape[1:])
    else:
        keep = spread(keep, len(own))
        keep = keep.reshape(grouped) if keep.dim() == 2 else keep.unsqueeze(1)
    return keep * tail.unsqueeze(1) + (1 - keep) * own.reshape(grouped)


Units = Callable[[Tensor, Tensor], Tensor]
"""phi: query (..., D) and candidates (..., D), broadcast, to one number a unit (..., U)"""


def dot_units(query: Float[Tensor, "*#X D"], tail: Float[Tensor, "*#X D"]) -> Float[Tensor, "*X D"]:
    return query * tail


def l1_units(query: Float[Tensor, "*#X D"], tail: Float[Tensor, "*#X D"]) -> Float[Tensor, "*X D"]:
    return (query - tail).abs()


def squared_units(query: Float[Tensor, "*#X D"], tail: Float[Tensor, "*#X D"]) -> Float[Tensor, "*X D"]:
    return (query - tail).square()


def modulus_units(query: Float[Tensor, "*#X D"], tail: Float[Tensor, "*#X D"]) -> Float[Tensor, "*X U"]:
    re, im = (query - tail).chunk(2, dim=-1)
    return (re.square() + im.square() + 1e-12).sqrt()


def sine_units(query: Float[Tensor, "*#X D"], tail: Float[Tensor, "*#X D"]) -> Float[Tensor, "*X D"]:
    return torch.sin((query - tail) / 2).abs()


def _sum(
    phi: Units,
    query: Tensor,
    tail: Tensor | OwnFirst,
    mix: Mix | None,
    scale: Tensor | None = None,
    margin: float | None = None,
) -> Tensor:
    if isinstance(tail, OwnFirst):
        first = _sum(phi, query, tail.own.unsqueeze(1), None, scale, margin)
        rest = tail.rest if isinstance(tail.rest, Tensor) else tail.rest.read()
        return torch.cat([first, _sum(phi, query, rest, mix, scale, margin)], dim=1)
    num_tables, num_candidates, width = tail.shape
    num_queries = query.shape[0]
    grouped = (num_tables, num_queries // max(num_tables, 1), 1, width)
    candidates = tail.unsqueeze(1) if mix is None else mutated(tail, mix)  # (S, 1 or G, K, D)
    if scale is not None:
        candidates = scale.reshape(grouped) * candidates
    found = phi(query.reshape(grouped), candidates).sum(-1).reshape(num_queries, num_candidates)
    return found if margin is None else margin - found


Tail = Float[Tensor, "S K D"] | OwnFirst


def dot(query: Float[Tensor, "B D"], tail: Tail, mix: Mix | None = None) -> Float[Tensor, "B X"]:
    """sum_d query_d * tail_d"""
    return _sum(dot_units, query, tail, mix)


def l1(
    query: Float[Tensor, "B D"], tail: Tail, mix: Mix | None = None, margin: float | None = None
) -> Float[Tensor, "B X"]:
    """sum_d |query_d - tail_d|; margin - the sum where a margin is given, as in each of the distances."""
    return _sum(l1_units, query, tail, mix, margin=margin)


def squared(
    query: Float[Tensor, "B D"],
    tail: Tail,
    mix: Mix | None = None,
    scale: Float[Tensor, "B D"] | None = None,
    margin: float | None = None,
) -> Float[Tensor, "B X"]:
    """sum_d (query_d - scale_d * tail_d)^2; scale is 1 where it is None."""
    return _sum(squared_units, query, tail, mix, scale, margin)


def modulus(
    query: Float[Tensor, "B D"], tail: Tail, mix: Mix | None = None, margin: float | None = None
) -> Float[Tensor, "B X"]:
    """sum over complex components of |query - tail|; vectors are ``[re | im]``. The modulus is sqrt(re^2 + im^2 + 1e-12)."""
    return _sum(modulus_units, query, tail, mix, margin=margin)


def sine(
    query: Float[Tensor, "B D"], tail: Tail, mix: Mix | None = None, margin: float | None = None
) -> Float[Tensor, "B X"]:
    """sum_d |sin((query_d - tail_d) / 2)|, angles in radians."""
    return _sum(sine_units, query, tail, mix, margin=margin)


def one(
    op: str,
    query: Float[Tensor, "B D"],
    tail: Tail,
    mix: Mix | None = None,
    scale: Float[Tensor, "B D"] | None = None,
    margin: float | None = None,
) -> Float[Tensor, "B X"]:
    """The op of this name."""
    return _sum(globals()[f"{op}_units"], query, tail, mix, scale, margin)


def both(
    op: str,
    query: Float[Tensor, "B D"],
    tail: Tail,
    mix: Mix,
    scale: Float[Tensor, "B D"] | None = None,
    margin: float | None = None,
) -> tuple[Float[Tensor, "B X"], Float[Tensor, "B X"]]:
    """The op of this name without the mix, and with it."""
    return one(op, query, tail, None, scale, margin), one(op, query, tail, mix, scale, margin)
