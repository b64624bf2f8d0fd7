"""Whom a query's candidates are mixed with: DeMix's choice of a column for each column of a score matrix.

Plain torch makes some twenty tensors of the size of the scores for it; fused, it is one pass over the rows. ``reference.py`` is the
definition; ``dispatch.py`` chooses Numba on CPU. What is random is drawn before: the same draws give the same columns.
"""

from gnnkg.ops.partners.dispatch import partners

__all__ = ["partners"]
