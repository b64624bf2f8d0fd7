"""Matching queries with candidates of their own, (B, K), that are rows of a table, without storing them as (B, K, D).

The ops are those of ``gnnkg.ops.matching``: ``match("l1", query, Gathered(table, ids))`` is ``l1(query, table[ids])``. Rows may be
mixed in pairs (DeMix). ``Gathered.read`` and the ops of ``matching`` are the definition; ``dispatch.py`` chooses Numba for float32
on CPU, where a training step with negatives of each query otherwise spends most of its time writing rows and their gradients.
"""

from gnnkg.ops.gathered.dispatch import match
from gnnkg.ops.gathered.table import Gathered, Mixture, Turns, candidates_of

__all__ = ["Gathered", "Mixture", "Turns", "candidates_of", "match"]
