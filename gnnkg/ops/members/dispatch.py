"""The public ops: a backend is chosen. Where there is no fused kernel, the definition serves."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gnnkg.ops import backends
from gnnkg.ops.members import reference


def ranges(
    keys: Int[Tensor, " M"],
    starts: Int[Tensor, " X"],
    part: Int[Tensor, " B"],
    low: Int[Tensor, " B"],
    width: int,
) -> tuple[Int[Tensor, " B"], Int[Tensor, " B"]]:
    """The places of the first key in [low, low + width) and of the one behind the last, in ascending ``keys``.

    Those of query b lie in keys[starts[part_b]:starts[part_b + 1]], which is where they are sought; a part that is not there has
    none. Raises ValueError where there is not one part for each query.
    """
    if part.shape != low.shape:
        raise ValueError(f"expected a part for each query, and there are {tuple(part.shape)} for {tuple(low.shape)}")
    if backends.choose(keys, low) != "numba" or not len(keys):
        return reference.ranges(keys, low, width)
    from gnnkg.ops.members import numba

    return numba.ranges(keys, starts, part, low, width)


def members(
    keys: Int[Tensor, " M"],
    starts: Int[Tensor, " X"],
    part: Int[Tensor, " B"],
    low: Int[Tensor, " B"],
    width: int,
    wanted: Int[Tensor, "S K"],
) -> Bool[Tensor, "B K"]:
    """Whether low_b + wanted is a key, for a table of numbers in [0, width) that B / S consecutive queries share.

    As for ``ranges``, the keys of query b in [low_b, low_b + width) lie in keys[starts[part_b]:starts[part_b + 1]].
    Raises ValueError where there is not one part for each query, or where S does not divide B.
    """
    if part.shape != low.shape or len(low) % max(len(wanted), 1) or (len(low) and not len(wanted)):
        raise ValueError(
            f"expected a part for each query, and tables that divide them: there are {tuple(part.shape)} parts and "
            f"{len(wanted)} tables for {tuple(low.shape)} queries"
        )
    if backends.choose(keys, low) != "numba" or not (len(keys) and wanted.numel()):
        return reference.members(keys, low, wanted)
    from gnnkg.ops.members import numba

    return numba.members(keys, *numba.ranges(keys, starts, part, low, width), low, wanted)


def others(
    keys: Int[Tensor, " M"],
    starts: Int[Tensor, " X"],
    part: Int[Tensor, " B"],
    low: Int[Tensor, " B"],
    width: int,
    own: Int[Tensor, " B"],
    uniform: Float[Tensor, "B P"],
) -> tuple[Int[Tensor, "B P"], Bool[Tensor, "B P"]]:
    """Numbers in [0, width) that stand in the row of each query beside its own, and which of the P places they fill.

    A row of no more than P others gives all of them, in ascending order; of more, one is drawn from each of P equal parts, by
    numbers that are ``uniform`` in [0, 1). Places that are left hold the own number. Keys as for ``ranges``.
    Raises ValueError where there is not one part, own number and row of uniform numbers for each query.
    """
    if not part.shape == low.shape == own.shape == uniform.shape[:1]:
        raise ValueError(
            f"expected a part, an own number and a row of uniform numbers for each query, and there are {tuple(part.shape)}, "
            f"{tuple(own.shape)} and {len(uniform)} for {tuple(low.shape)}"
        )
    if backends.choose(keys, low, uniform) != "numba" or uniform.dtype != torch.float32 or not len(keys):
        return reference.others(keys, low, width, own, uniform)
    from gnnkg.ops.members import numba

    return numba.others(keys, *numba.ranges(keys, starts, part, low, width), low, own, uniform)
