"""Whom a query's candidates are mixed with, and how much of their own they keep: DeMix's choices for each column of a score matrix.

Plain torch makes some thirty tensors of the size of the scores for them; fused, they are two passes over the rows. ``reference.py``
is the definition; ``dispatch.py`` chooses Numba on CPU. What is random is drawn before: the same draws give the same columns.
"""

from gnnkg.ops.partners.dispatch import partners, shares

__all__ = ["partners", "shares"]
