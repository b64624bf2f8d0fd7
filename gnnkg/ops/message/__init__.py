"""Relational message passing: every edge (u, r, v) sends phi(x_u, w_r) to v, and v keeps an aggregate of what it gets.

    out_v = AGG over edges e = (u, r, v) of weight_e * phi(x_u, w_r)

    mul      x * w                        DistMult
    add      x + w                        TransE
    rotate   x * w as complex numbers     RotatE (w on the unit circle), circular correlation in the Fourier domain

    sum, mean, max, min
    pna      mean, max, min and standard deviation, side by side

Memory is that of x and out, never one vector an edge. ``reference.py`` is the definition; ``dispatch.py`` chooses Numba on CPU
and Triton on GPU, which have one derivative. Edges are an ``Adjacency``: sorted once, then read by every layer.
"""

from gnnkg.ops.message.adjacency import Adjacency
from gnnkg.ops.message.dispatch import propagate
from gnnkg.ops.message.reference import Aggregate, Message
from gnnkg.ops.message.scalers import degree_scales, degrees

__all__ = ["Adjacency", "Aggregate", "Message", "degree_scales", "degrees", "propagate"]
