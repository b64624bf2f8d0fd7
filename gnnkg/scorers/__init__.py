"""Scorers: one file each. All are differentiable any number of times on the reference ops.

``spaces.py`` holds the initial values that several share. An encoder is built for ``scorer.space``.
"""

from gnnkg.scorers.complex import ComplEx
from gnnkg.scorers.conve import ConvE
from gnnkg.scorers.distmult import DistMult
from gnnkg.scorers.hake import HAKE
from gnnkg.scorers.house import HousE
from gnnkg.scorers.mlp import MLP
from gnnkg.scorers.rescal import RESCAL
from gnnkg.scorers.rotate import RotatE
from gnnkg.scorers.transe import TransE
from gnnkg.scorers.tucker import TuckER

__all__ = ["HAKE", "MLP", "RESCAL", "ComplEx", "ConvE", "DistMult", "HousE", "RotatE", "TransE", "TuckER"]
