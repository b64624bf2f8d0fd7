"""Scores from sums: a margin less the root of one, and less another, each by a weight.

    out = gamma - weight sqrt(squares + 1e-12) - other_weight other

Torch makes half a dozen tensors of the scores' size there and back. ``reference.py`` is the definition; ``dispatch.py`` chooses
Numba for float32 on CPU.
"""

from gnnkg.ops.root_margin.dispatch import root_margin

__all__ = ["root_margin"]
