"""Transforms: methods that act on what a scorer reads, before it scores. One file each."""

from gnnkg.transforms.demix import DeMix
from gnnkg.transforms.emu import EMU
from gnnkg.transforms.mixup import Mixup
from gnnkg.transforms.noise import Noise

__all__ = ["EMU", "DeMix", "Mixup", "Noise"]
