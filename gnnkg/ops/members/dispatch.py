"""The public ops: a backend is chosen. Where there is no fused kernel, the definition serves."""

from __future__ import annotations

from jaxtyping import Bool, Int
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

    Those of query b lie in keys[starts[part_b]:starts[part_b + 1]], which is where they are sought.
    """
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
    """
    if backends.choose(keys, low) != "numba" or not (len(keys) and wanted.numel()):
        return reference.members(keys, low, wanted)
    from gnnkg.ops.members import numba

    return numba.members(keys, *numba.ranges(keys, starts, part, low, width), low, wanted)
