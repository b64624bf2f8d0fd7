"""Blocks of vectors under Householder-like maps x -> x - c (u . x) u, and distances to candidates that went through them.

Axes: n blocks of width k, m maps one after the other; D = n k.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

AT_ONCE = 2**18
"""numbers that are stored at once while candidates are measured on a CPU: what stays in its cache (2.3 times faster than 2**24)"""
AT_ONCE_ON_GPU = 2**26


def unit(x: Float[Tensor, "*X k"]) -> Float[Tensor, "*X k"]:
    """x / ||x||, with derivatives at zero."""
    return x / (x.square().sum(-1, keepdim=True) + 1e-12).sqrt()


def apply(
    x: Float[Tensor, "*X k"], units: Float[Tensor, "*#X m k"], shares: Float[Tensor, "*#X m"]
) -> Float[Tensor, "*X k"]:
    """x <- x - c_j (u_j . x) u_j for j = 1 .. m. A share of 2 reflects, 1 projects, 0 leaves x alone."""
    for u, share in zip(units.unbind(-2), shares.unbind(-1), strict=True):
        x = x - (share * (u * x).sum(-1)).unsqueeze(-1) * u
    return x


def transposed(
    x: Float[Tensor, "*X k"], units: Float[Tensor, "*#X m k"], shares: Float[Tensor, "*#X m"]
) -> Float[Tensor, "*X k"]:
    """The transpose of ``apply``, as a matrix: the same maps in the reverse order."""
    return apply(x, units.flip(-2), shares.flip(-1))


def undone(
    x: Float[Tensor, "*X k"], units: Float[Tensor, "*#X m k"], shares: Float[Tensor, "*#X m"]
) -> Float[Tensor, "*X k"]:
    """The inverse of ``apply``. What a share of 1 projects away comes back as 0."""
    others = torch.where(shares == 1, shares, shares / (shares - 1))
    return transposed(x, units, others)


def distance(
    query: Float[Tensor, "B n k"],
    tail: Float[Tensor, "S K D"],
    units: Float[Tensor, "B n m k"],
    shares: Float[Tensor, "B n m"],
) -> Float[Tensor, "B K"]:
    """sum_i || q_i - P_i t_i ||_2, where P applies the query's own maps. The definition: stores candidates a query, (B, K, D)."""
    num_queries, num_blocks, width = query.shape
    each = tail.repeat_interleave(num_queries // max(len(tail), 1), 0).unflatten(2, (num_blocks, width))
    moved = apply(each, units.unsqueeze(1), shares.unsqueeze(1))  # (B, K, n, k)
    return ((query.unsqueeze(1) - moved).square().sum(-1) + 1e-12).sqrt().sum(-1)


def distance_by_products(
    query: Float[Tensor, "B n k"],
    tail: Float[Tensor, "S K D"],
    units: Float[Tensor, "B n m k"],
    shares: Float[Tensor, "B n m"],
    keep: Float[Tensor, "B n k"] | None = None,
) -> Float[Tensor, "B K"]:
    """``distance`` for tables that queries share, by matrix products: k / (1 + m) times less memory, a part of them at once.

        || q - P t ||^2 = |q|^2 - 2 (P^T q) . t + |t|^2 - sum_j (2 c_j - c_j^2) (v_j . t)^2,    v_j = P_1 .. P_{j-1} u_j

    ``keep`` multiplies the candidates. In float32 a block's square is exact to about 1e-7 of |q|^2 + |t|^2 only.
    """
    num_tables, num_candidates, _ = tail.shape
    num_queries, num_blocks, width = query.shape
    group, num_maps = num_queries // num_tables, shares.shape[-1]
    pulled = [transposed(units[..., j, :], units[..., :j, :], shares[..., :j]) for j in range(num_maps)]
    left = torch.stack([transposed(query, units, shares), *pulled], dim=2)  # (B, n, 1 + m, k)
    if keep is not None:
        left = left * keep.unsqueeze(2)
    grouped = (num_tables, group, num_blocks)
    left = left.unflatten(0, grouped[:2]).transpose(1, 2).flatten(0, 1).flatten(1, 2)  # (S n, G (1 + m), k)
    lost = (2 * shares - shares.square()).view(*grouped, num_maps, 1).transpose(1, 2)  # (S, n, G, m, 1)
    own = query.square().sum(-1).view(*grouped, 1).transpose(1, 2)  # (S, n, G, 1)
    kept = None if keep is None else keep.unflatten(0, grouped[:2]).transpose(1, 2).flatten(0, 1)  # (S n, G, k)
    at_once = AT_ONCE if tail.is_cpu else AT_ONCE_ON_GPU
    size = max(64, at_once // max(1, num_queries * num_blocks * (1 + num_maps)) // 64 * 64)
    parts = []
    for part in tail.split(size, dim=1):
        right = part.unflatten(2, (num_blocks, width)).permute(0, 2, 3, 1).flatten(0, 1)  # (S n, k, K)
        product = torch.bmm(left, right).view(num_tables, num_blocks, group, 1 + num_maps, -1)
        squares = right.square().sum(1, keepdim=True) if kept is None else torch.bmm(kept.square(), right.square())
        square = own - 2 * product[..., 0, :] + squares.view(num_tables, num_blocks, -1, part.shape[1])
        square = square - (lost * product[..., 1:, :].square()).sum(-2)
        parts.append((square.clamp(min=0) + 1e-12).sqrt().sum(1))  # (S, G, K)
    return torch.cat(parts, dim=-1).view(num_queries, num_candidates)
