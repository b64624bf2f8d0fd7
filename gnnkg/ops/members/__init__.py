"""Rows of sorted numbers: where each begins, which numbers stand in them, and some that are drawn. So samplers ask which candidates
are known tails, and for known tails.

The rows follow each other in one array of ascending keys; those of query b are the keys in [low_b, low_b + width). ``reference.py``
is the definition, which searches all keys; ``dispatch.py`` chooses Numba on CPU, which searches where the query's own can be.
"""

from gnnkg.ops.members.dispatch import members, others, ranges

__all__ = ["members", "others", "ranges"]
