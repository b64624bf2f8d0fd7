"""Softmax cross-entropy on soft labels, without tensors of the scores' size but their gradient.

    out[b] = - sum_j y_bj log softmax(s_b)_j     over the columns of the mask

Torch makes half a dozen of them, and passes over each. ``reference.py`` is the definition; ``dispatch.py`` chooses Numba for
float32 on CPU.
"""

from gnnkg.ops.entropy.dispatch import cross_entropy

__all__ = ["cross_entropy"]
