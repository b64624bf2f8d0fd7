"""Matching queries with candidates: (B, Q) against S tables of K candidates, without a tensor of size (B, K, D).

    dot      sum_d q_d t_d                                  DistMult, ComplEx, RESCAL, TuckER ...
    l1       sum_d |q_d - t_d|                              TransE
    squared  sum_d (a_d - c_d t_d)^2                        TransE-L2 (c = 1), HAKE's modulus
    modulus  sum_d |q_d - t_d| over complex components      RotatE
    sine     sum_d |sin((q_d - t_d) / 2)|                   HAKE's phase

Where each query has candidates of its own, these may be rows of a table (``Gathered``), which are matched where they stand. Scores
of the query's own tail come before those of the candidates of an ``OwnFirst``; a distance is taken from a margin that is given.
Each takes an optional ``Mix`` and then matches mutated candidates (EMU), at nearly the same cost where pairs share masks; ``both``
gives the sums without it and with it.
``reference.py`` is the definition, ``drawn.py`` that of masks for each pair; ``dispatch.py`` chooses Numba on CPU and Triton on
GPU, which compute the distances in float32 and have one derivative. Under ``gnnkg.ops.backends.use_reference()``, and in float64,
there are as many as you like.
"""

from gnnkg.ops.matching.dispatch import Tail, both, dot, l1, modulus, sine, squared
from gnnkg.ops.matching.drawn import Drawn
from gnnkg.ops.matching.gathered import Gathered, Mixture, Turns, candidates_of
from gnnkg.ops.matching.own_first import OwnFirst, behind
from gnnkg.ops.matching.reference import Mix, mutated, spread

__all__ = [
    "Drawn",
    "Gathered",
    "Mix",
    "Mixture",
    "OwnFirst",
    "Tail",
    "Turns",
    "behind",
    "both",
    "candidates_of",
    "dot",
    "l1",
    "modulus",
    "mutated",
    "sine",
    "spread",
    "squared",
]
