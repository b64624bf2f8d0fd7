"""Rows of a table, by their ids: what an encoder reads for a batch.

    out[...] = table[ids[...]]

Read once a candidate of each query, they are most of what a training step moves. Torch asks the system for fresh memory for them
and adds their gradients up in one thread's passes; here memory asks for huge pages, and each row of the table collects its own
gradients. ``reference.py`` is the definition; ``dispatch.py`` chooses Numba for much of float32 on CPU.
"""

from gnnkg.ops.rows.dispatch import rows, several

__all__ = ["rows", "several"]
