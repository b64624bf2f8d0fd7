"""Encoders: from a graph to the vectors that scorers read. One file each."""

from gnnkg.encoders.compgcn import CompGCN
from gnnkg.encoders.diagonal_gat import DiagonalGAT
from gnnkg.encoders.gcn import GCN
from gnnkg.encoders.init import Normal, Uniform, XavierNormal
from gnnkg.encoders.modality_noise import GaussModalityNoise
from gnnkg.encoders.nbfnet import NBFNet
from gnnkg.encoders.rgcn import RGCN
from gnnkg.encoders.sampled import Sampled
from gnnkg.encoders.snag import SNAG
from gnnkg.encoders.table import Table

__all__ = [
    "GCN",
    "RGCN",
    "SNAG",
    "CompGCN",
    "DiagonalGAT",
    "GaussModalityNoise",
    "NBFNet",
    "Normal",
    "Sampled",
    "Table",
    "Uniform",
    "XavierNormal",
]
