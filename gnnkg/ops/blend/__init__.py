"""Mixup of a query's candidates with each other: one new vector for each pair of columns.

Column 0 of a query is its own tail and column 1 + k candidate k of its table. Plain torch copies the columns four times and adds
their gradients up row by row; fused, it is one pass each way. ``reference.py`` is the definition; ``dispatch.py`` chooses Numba for
float32 on CPU where every query has a table of its own, which has one derivative.
"""

from gnnkg.ops.blend.dispatch import blend

__all__ = ["blend"]
