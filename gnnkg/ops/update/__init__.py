"""The update of a message-passing layer after its matrix products: scaled parts summed, layer norm, relu, shortcut.

    out = shortcut + relu(norm(own + sum_k scales_k * parts_k))

Plain torch passes over the states some ten times, and as often again backwards; fused, it is one pass each. ``reference.py`` is
the definition; ``dispatch.py`` chooses Numba for float32 on CPU, which has one derivative.
"""

from gnnkg.ops.update.dispatch import update

__all__ = ["update"]
